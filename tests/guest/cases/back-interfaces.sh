# Network cards that come back in another order have each other's names.
# topology: mixed
# kernels: any
name_of() { ls "$pci/$1/net" 2>/dev/null || ls "$pci/$1"/virtio*/net; }
card=$(functions | awk '$3 == "e1000e" { print $1 }')
other=$(functions | awk '$3 == "virtio-pci" && $2 == "0x1af4:0x1041" { print $1 }')
was=$(name_of "$card") other_was=$(name_of "$other")
expect_status 0 pcictl remove "$card" "$other"
expect_status 6 pcictl rescan "$other"
contains "$out" "! $other net: $other_was -> $was"
expect_status 6 pcictl rescan "$card"
contains "$out" "! $card net: $was -> "
ip link set "$was" name swap0
ip link set "$(name_of "$card")" name "$was"
ip link set swap0 name "$other_was"
expect_status 0 pcictl rescan --all
contains "$out" "= $card was back already, and is as it was"
expect_status 0 pcictl rescan --all
[ -z "$out$err" ] || fail "says: $out $err"
