# The same for a replug: killed before its removal it is undone, killed after it the device is brought back.
# topology: sriov
# kernels: 6.1
# run: named
# timeout: 900
before=$(functions)
device=$(of_kind edu)
survives_kills "$device" : pcictl replug --settle 0 "$device"
[ "$undone" -gt 0 ] || fail "no replug was ever undone"
[ "$completed" -gt 0 ] || fail "no replug was ever completed"
same "$before" "$(functions)"
