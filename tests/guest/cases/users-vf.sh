# A physical function is not taken away while one of its virtual functions is used; idle ones go with it.
# topology: sriov
# kernels: any
before=$(functions)
pf=$(of_kind nvme)
# Emulated VFs of a drive do not get ready by themselves, so they get no driver.
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
echo 2 >"$pci/$pf/sriov_numvfs"
vf=$(basename "$(readlink "$pci/$pf/virtfn1")")
sleep 1000 3<"$pci/$vf/resource0" &
holder=$!
refused "$pf" open,vfs "pid $holder (sleep 1000) has resource0 of $vf open" "$vf, a virtual function of $pf, is in use"
expect_status 4 pcictl remove --force open "$pf"
expect_status 4 pcictl remove --force vfs "$pf"
expect_status 0 pcictl remove --force open,vfs "$pf"
let_go
expect_status 6 pcictl rescan "$pf"
contains "$out$err" 'VFs: 2 -> 0'
# Or else they would be waited for, whatever number there is next.
expect_status 0 pcictl rescan --accept vfs "$pf"
same "$before" "$(functions)"
