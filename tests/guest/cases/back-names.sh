# Disks that come back in another order have each other's names: told with old and new, and 6.
# topology: two-hosts
of_name() { basename "$(readlink -f "/sys/class/nvme/$1/device")"; }
first=$(of_name nvme0)
second=$(of_name nvme1)
expect_status 0 pcictl remove "$first" "$second"
expect_status 6 pcictl rescan "$second"
contains "$out" "! $second nvme: nvme1 -> nvme0"
expect_status 6 pcictl rescan "$first"
contains "$out" "! $first nvme: nvme0 -> nvme1"
# They stay wrong, and are told, until they are right or accepted.
expect_status 6 pcictl rescan --all
expect_status 0 pcictl rescan --all --accept names
expect_status 0 pcictl rescan --all
[ -z "$out$err" ] || fail "says: $out $err"
expect_status 0 pcictl remove "$first" "$second"
expect_status 6 pcictl rescan "$first"
expect_status 6 pcictl rescan "$second"
expect_status 0 pcictl rescan --all --accept names
