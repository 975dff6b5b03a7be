# Whatever kills the reset of a physical function wherever, recover gives back its driver and its VFs, each with the driver and
# the override that it had.
# topology: sriov
# kernels: 6.12
# run: named
# timeout: 1800
pf=$(of_kind nvme)
echo 1 >"$pci/$pf/sriov_numvfs"
# With a driver that only its override brings.
give "$(basename "$(readlink "$pci/$pf/virtfn0")")" pci-stub
overrides() {
    cat "$pci"/*/driver_override
}
before=$(functions) overridden=$(overrides)
expect_status 0 pcictl reset --force vfs --yes "$pf"
same "$before" "$(functions)"
same "$overridden" "$(overrides)"
note "$out"
survives_kills "$pf" : pcictl reset --force vfs --yes "$pf"
[ "$undone" -gt 0 ] || fail 'nothing was ever put back'
same "$before" "$(functions)"
same "$overridden" "$(overrides)"
echo 0 >"$pci/$pf/sriov_numvfs"
