# A disk that is mounted or built on goes if just that danger is forced, and what was overridden is told, to
# people and in JSON.
#
# Behind an IOMMU Linux 6.1 crashes when the last user of a drive that is gone lets go (nvme_pci_free_ctrl gives back memory
# for a device that no IOMMU knows any more), so this topology has none.
# topology: mixed
# kernels: any
disk=$(of_kind nvme | nth 1)
before=$(functions)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
mount_new "$name" /tmp/mnt
expect_status 0 pcictl remove --json --force mounted "$disk"
contains "$err" "overriding mounted: /tmp/mnt is mounted from $name (ext4)"
contains "$out" '"overridden": ['
contains "$out" '"by": "/tmp/mnt"'
[ ! -e "$pci/$disk" ] || fail "still there"
umount /tmp/mnt
expect_status 0 pcictl rescan "$disk"
same "$before" "$(functions)"

# forced KIND WHAT
forced() {
    expect_status 0 pcictl remove --force "$1" "$disk"
    contains "$err" "overriding $1: $2"
    [ ! -e "$pci/$disk" ] || fail "still there"
}
back() {
    expect_status 0 pcictl rescan "$disk"
    same "$before" "$(functions)"
}
hold linear data "/dev/$name" >/dev/null || fail "no dm device"
forced holders "dm-0 (device mapper data) is built on $name"
hold unlinear data >/dev/null
back

hold raid "/dev/$name" >/dev/null || fail "no RAID"
forced holders "md0 (RAID) is built on $name"
hold unraid >/dev/null
back
