# A mounted disk goes if just that danger is forced, and what was overridden is told, to people and in JSON.
# topology: users
disk=$(of_kind nvme | nth 1)
before=$(functions)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
mke2fs "/dev/$name" >/dev/null 2>&1
mkdir /tmp/mnt
mount -t ext4 "/dev/$name" /tmp/mnt
expect_status 0 pcictl remove --json --force mounted "$disk"
contains "$err" "overriding mounted: /tmp/mnt is mounted from $name (ext4)"
contains "$out" '"overridden": ['
contains "$out" '"by": "/tmp/mnt"'
[ ! -e "$pci/$disk" ] || fail "still there"
umount /tmp/mnt
expect_status 0 pcictl rescan "$disk"
same "$before" "$(functions)"
