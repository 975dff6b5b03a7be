# Whatever kills a reset by another method than the first wherever, the list of methods is as before, and the driver back.
# topology: mixed
# kernels: 6.12
# run: named
# timeout: 1200
card=$(functions | awk '$2 == "0x1af4:0x1041" && $3 == "virtio-pci" { print $1; exit }')
before=$(functions) methods=$(cat "$pci/$card/reset_method")
contains "$methods" 'flr pm'
expect_status 0 pcictl reset --method pm "$card"
note "$out"
as_before() {
    same "$methods" "$(cat "$pci/$card/reset_method")"
}
survives_kills "$card" as_before pcictl reset --method pm "$card"
[ "$undone" -gt 0 ] || fail 'nothing was ever put back'
as_before
same "$before" "$(functions)"
