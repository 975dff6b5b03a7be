# A node is a number, not a path: who has one open is found wherever it lies, outside of any directory called dev and in a
# container's overlay, also once it is deleted. A file system whose server never answers holds nobody up, and one that the
# kernel could have to ask about over a network changes only how it is looked at.
# topology: users
# kernels: any
# timeout: 240
disk=$(of_kind nvme | nth 2)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
before=$(functions)
number=$(tr ':' ' ' <"/sys/class/block/$name/dev")

# opened NODE TEXT: whoever has it open is found and named.
opened() {
    sh -c 'exec 7<"$1"; exec sleep 1000' sh "$1" &
    user=$!
    has_it() { readlink "/proc/$user/fd/7" >/dev/null; }
    wait_until 10 has_it || fail "nobody has $1 open"
    refused "$disk" open "pid $user (sleep 1000) has /dev/$name ($2) open"
}

nodes() {
    mkdir -p /tmp/osd/ceph-1
    # shellcheck disable=SC2086 # two numbers
    mknod /tmp/osd/ceph-1/block b $number
    opened /tmp/osd/ceph-1/block /tmp/osd/ceph-1/block
    kill "$user"
    opened /tmp/osd/ceph-1/block /tmp/osd/ceph-1/block
    rm /tmp/osd/ceph-1/block
    refused "$disk" open "pid $user (sleep 1000) has /dev/$name (/tmp/osd/ceph-1/block (deleted)) open"
    kill "$user"

    mkdir -p /tmp/layers/lower /tmp/layers/upper /tmp/layers/work /tmp/layers/all
    # shellcheck disable=SC2086 # two numbers
    mknod /tmp/layers/lower/data b $number
    mount -t overlay -o lowerdir=/tmp/layers/lower,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work none /tmp/layers/all ||
        fail "no overlay: $(dmesg | tail -n 2)"
    opened /tmp/layers/all/data /tmp/layers/all/data
    kill "$user"
    wait "$user" 2>/dev/null
    umount /tmp/layers/all
    rm -rf /tmp/layers
}

modprobe -a overlay fuse
nodes
# As many times as one that waits would be felt.
mkdir -p /tmp/dead
in_background hold fuse /tmp/dead
nodes
expect_status 0 pcictl remove -n "$disk"
expect_status 0 pcictl show "$disk"
let_go
umount -l /tmp/dead

# 9p is asked for by its mount, and nothing else changes.
modprobe 9p
nodes
expect_status 0 pcictl remove "$disk"
expect_status 0 pcictl rescan "$disk"
same "$before" "$(functions)"
