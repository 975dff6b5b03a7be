# A device that user space has open by vfio: the write waits until it is closed. pcictl says so in time, the doctor names
# the process that has it open, and closing it is all it takes.
# topology: iommu
# kernels: 5.10 6.12
# timeout: 120
device=$(of_kind edu)
before=$(functions)
give "$device" vfio-pci
group=$(basename "$(readlink "$pci/$device/iommu_group")")
# A group is usable only if all of it is in vfio's hands; the ports above do not count.
in_background hold vfio "/dev/vfio/$group" "$device"

expect_status 124 pcictl remove --timeout 2 --force vfio,open --yes "$device"
contains "$err" "waiting for user space to close the vfio device"
expect_status 124 pcictl doctor
contains "$out" "vfio waits until user space closes a device"
contains "$out" "pid $holder (hold vfio /dev/vfio/$group $device) has"
# The PCI core is free: others may go on.
expect_status 0 pcictl rescan "$(of_kind root-port | nth 1)"
let_go
wait_until 30 nobody_at_work || fail "it was not finished: $(stuck_tasks)"
[ ! -e "$pci/$device" ] || fail "the device is still there: $(pcictl status)"
# The driver override went with the device, so another driver takes it, and that is told until somebody agrees.
expect_status 6 pcictl rescan "$device"
contains "$out" "! $device driver: vfio-pci -> slowpci"
expect_status 0 pcictl rescan --accept driver "$device"
same "$before" "$(functions)"
