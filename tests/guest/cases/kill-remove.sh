# pcictl is killed by SIGKILL at each system call of a removal that changes anything, then its writer, then all of it at
# once; each time `recover` brings the device back with its driver, or the removal to its end, and nothing is left over. At
# what point pcictl dies is nothing that a kernel knows of, so one kernel will do.
# topology: sriov
# kernels: 6.1
# run: named
# timeout: 900
before=$(functions)
device=$(of_kind edu)
survives_kills "$device" : pcictl remove "$device"
[ "$undone" -gt 0 ] || fail "no removal was ever undone"
same "$before" "$(functions)"
