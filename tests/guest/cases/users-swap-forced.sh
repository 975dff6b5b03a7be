# A disk that is swapped to goes if that is forced. The kernel lets nobody turn off such swap afterwards, so the drive has
# another name when it comes back, which is told.
# topology: users
# kernels: any
# boot: own
disk=$(of_kind nvme | nth 1)
before=$(functions)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
mkswap "/dev/$name" >/dev/null
swapon "/dev/$name"
refused "$disk" swap "/dev/$name is in use as swap"
expect_status 0 pcictl remove --force swap "$disk"
contains "$err" "overriding swap: /dev/$name is in use as swap"
[ ! -e "$pci/$disk" ] || fail "still there"
expect_status 6 pcictl rescan "$disk"
contains "$out" "! $disk block: $name -> "
same "$before" "$(functions)"
