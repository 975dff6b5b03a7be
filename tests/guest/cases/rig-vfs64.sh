# The rig has a physical function with 64 virtual ones, which the slow driver takes by override and by id.
# topology: vfs64
# kernels: any
# run: named
before=$(functions)
pf=$(of_kind nvme)
same 64 "$(cat "$pci/$pf/sriov_totalvfs")"

# By override. Emulated VFs of a drive do not get ready by themselves, so the drive's driver must not have them.
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
echo 64 >"$pci/$pf/sriov_numvfs"
same 65 "$(of_kind nvme | wc -l)"
vf=$(basename "$(readlink "$pci/$pf/virtfn63")")
give "$vf" slowpci_other
same slowpci_other "$(basename "$(readlink "$pci/$vf/driver")")"
echo 0 >"$pci/$pf/sriov_numvfs"
echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
same "$before" "$(functions)"

# By id, at once: then the physical function has a driver that does nothing but make them, and the drive's driver is away.
modprobe pci-pf-stub
give "$pf" pci-pf-stub
rmmod nvme
echo '1b36 0010' >/sys/bus/pci/drivers/slowpci_other/new_id
dmesg -c >/dev/null
slow probe_ms 20
echo 64 >"$pci/$pf/sriov_numvfs"
slow probe_ms 0
same 64 "$(functions | grep -c slowpci_other)"
same 64 "$(dmesg | grep -c "probe end")"
echo 0 >"$pci/$pf/sriov_numvfs"
echo '1b36 0010' >/sys/bus/pci/drivers/slowpci_other/remove_id
modprobe nvme
give "$pf" ''
same "$before" "$(functions)"
