# Virtual functions, driver overrides and power settings do not come back by themselves: that is told, and --restore puts
# them back in this order.
# topology: sriov
# kernels: any
# timeout: 120
pf=$(of_kind nvme | nth 1)
echo 4 >"$pci/$pf/sriov_numvfs"
vf=$(basename "$(readlink "$pci/$pf/virtfn1")")
give "$vf" pci-stub
echo auto >"$pci/$pf/power/control"
is_live() {
    [ "$(cat "$pci/$pf"/nvme/nvme*/state)" = live ]
}
wait_until 20 is_live || fail 'the controller is not live'
before=$(functions)

expect_status 0 pcictl remove "$pf"
expect_status 6 pcictl rescan "$pf"
contains "$out" "! $pf VFs: 4 -> 0"
expect_status 0 pcictl rescan --restore "$pf"
contains "$out" "= put back: create 4 VFs of $pf
  = put back: set the driver override of $vf to pci-stub"
contains "$out" "= put back: set power/control of $pf to auto"
same "$before" "$(functions)"
[ "$(cat "$pci/$pf/power/control")" = auto ] || fail 'power/control was not put back'

# In one go, and by the address of a VF.
expect_status 0 pcictl replug --restore "$pf"
contains "$out" "= put back: create 4 VFs of $pf"
same "$before" "$(functions)"

echo 0 >"$pci/$pf/sriov_numvfs"
echo on >"$pci/$pf/power/control"
