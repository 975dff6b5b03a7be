# Virtual functions go before their physical function, so that the kernel has nothing to say. They are set up anew
# by whoever wants them, not by a rescan.
# topology: sriov
# kernels: all 6.18
before=$(functions)
pf=$(of_kind nvme)
echo 4 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
[ "$(of_kind nvme | wc -l)" = 5 ] || fail "no virtual functions: $(functions)"
expect_status 0 pcictl remove "$pf"
[ -z "$(of_kind nvme)" ] || fail "not gone: $(functions)"
expect_status 6 pcictl rescan "$pf"
contains "$out" "! $pf VFs: 4 -> 0"
# Or else they would be waited for, whatever number there is next.
expect_status 0 pcictl rescan --accept vfs "$pf"
same "$before" "$(functions)"
