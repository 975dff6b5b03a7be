# Disks that come back in another order have other names: told with old and new, and 6.
# topology: users
# kernels: any
of_name() { basename "$(readlink -f "/sys/class/nvme/$1/device")"; }
names=$(for controller in /sys/class/nvme/*; do echo "${controller##*/}"; done)
name=$(echo "$names" | nth 1) other=$(echo "$names" | nth 2)
first=$(of_name "$name")
second=$(of_name "$other")
expect_status 0 pcictl remove "$first" "$second"
expect_status 6 pcictl rescan "$second"
contains "$out" "! $second nvme: $other -> nvme0"
expect_status 6 pcictl rescan "$first"
contains "$out" "! $first nvme: $name -> nvme1"
# They stay wrong, and are told, until they are right or accepted.
expect_status 6 pcictl rescan --all
expect_status 0 pcictl rescan --all --accept names
expect_status 0 pcictl rescan --all
[ -z "$out$err" ] || fail "says: $out $err"
