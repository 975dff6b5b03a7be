# Why pcictl wakes a physical function before its virtual ones change: its driver has put it to sleep, the kernel asks the driver all
# the same, and when the function wakes the driver sets up for a second time what is set up already. (5.10 and 6.1 hang at once:
# igb_set_interrupt_capability takes the virtual functions off again, and waits for the routing lock that its writer has.)
# topology: igb
# kernels: any
# append: slub_debug=FPZ
# boot: own
# expect: complaint
# allow: stuck changed
# timeout: 240
pf=$(of_kind igb | nth 1)
monitor "set_link net1 off"
echo auto >"$pci/$pf/power/control"
asleep() { [ "$(cat "$pci/$pf/power/runtime_status")" = suspended ]; }
wait_until 120 asleep || fail "it does not sleep: $(cat "$pci/$pf/power/runtime_status")"
echo 2 >"$pci/$pf/sriov_numvfs"
(echo on >"$pci/$pf/power/control") || note "the one who wakes it was ended: $?"
wait_until 20 complaints || fail "it woke without harm"
