# Why pcictl stops virtual functions first: a physical function removed raw leaves them behind, and the kernel says so.
# On some kernels (6.17.4 to 6.18.15) the removal deadlocks with itself instead.
# topology: sriov
# kernels: 6.12
# boot: own
# expect: complaint
# allow: changed
pf=$(of_kind nvme)
echo 4 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
[ "$(of_kind nvme | wc -l)" = 5 ] || fail "no virtual functions: $(functions)"
drop "$pf"
complaint=$(complaints) || fail "the kernel had nothing to say: $(dmesg)"
contains "$complaint" 'left SR-IOV enabled'
