# The same for a rescan: killed at each system call that changes anything, it is brought to its end by `recover`.
# topology: sriov
# kernels: 6.1
# run: named
# timeout: 900
before=$(functions)
device=$(of_kind edu)
port=$(parent_of "$device")
gone() {
    drop "$device"
}
survives_kills "$device" gone pcictl rescan --settle 0 "$port"
[ "$completed" -gt 0 ] || fail "no rescan was ever completed"
same "$before" "$(functions)"
