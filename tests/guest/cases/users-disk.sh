# A disk is not taken away from whoever uses it, however that is, from wherever above it: mounted, swap, dm, RAID, open.
# topology: users
# kernels: any
# timeout: 240
root_port=$(of_kind root-port | nth 1)
disk=$(of_kind nvme | nth 1)
before=$(functions)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
mount_new "$name" /tmp/mnt
refused "$disk" mounted "/tmp/mnt is mounted from $name (ext4)"
refused "$root_port" mounted "/tmp/mnt is mounted from $name (ext4)"
contains "$(pcictl list --no-header -o in-use "$disk")" /tmp/mnt
expect_status 4 pcictl remove --force swap,holders,open,network,management,vfio,vfs,console,protected,unchecked "$disk"
umount /tmp/mnt

# In a mount namespace of another process, and nowhere else.
in_background unshare -m sh -c "mount -t ext4 /dev/$name /tmp/mnt && echo ready && exec sleep 1000"
[ "$(grep -c /tmp/mnt /proc/mounts)" = 0 ] || fail "mounted here as well"
refused "$root_port" mounted "/tmp/mnt is mounted from $name (ext4) in the mount namespace of pid $holder (sleep)"
let_go

mkswap "/dev/$name" >/dev/null
swapon "/dev/$name"
refused "$root_port" swap "/dev/$name is in use as swap"
swapoff "/dev/$name"

hold linear data "/dev/$name" >/dev/null || fail "no dm device"
refused "$root_port" holders "(device mapper data) is built on $name"
hold unlinear data >/dev/null

hold raid "/dev/$name" >/dev/null || fail "no RAID"
refused "$root_port" holders "md0 (RAID) is built on $name"
hold unraid >/dev/null

controller=$(basename "$pci/$disk"/nvme/nvme*)
sleep 1000 3<"/dev/$controller" &
holder=$!
refused "$root_port" open "pid $holder (sleep 1000) has /dev/$controller open"
let_go

# A node of the same number under another name, as containers have it, locked as udev's convention wants it.
mkdir -p /tmp/container/dev
number=$(cat "/sys/class/block/$name/dev")
mknod /tmp/container/dev/data b "${number%:*}" "${number#*:}"
sleep 1000 3</tmp/container/dev/data &
holder=$!
refused "$disk" open "pid $holder (sleep 1000) has /dev/$name (/tmp/container/dev/data) open"
let_go

same "$before" "$(functions)"
expect_status 0 pcictl remove "$root_port"
[ -z "$err" ] || fail "not without a word: $err"
expect_status 0 pcictl rescan "$root_port"
same "$before" "$(functions)"
