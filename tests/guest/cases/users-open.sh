# Registers that a process has mapped are found although no descriptor is left, a VF's user stands for its PF, and a
# device that was handed to user space is refused at once, where its removal would wait for ever.
# topology: users
# kernels: any
# timeout: 240
before=$(functions)
device=$(of_kind edu | nth 1)
driver=$(basename "$(readlink "$pci/$device/driver")")
in_background hold map "$pci/$device/resource0"
refused "$device" open "pid $holder (hold map $pci/$device/resource0) has resource0 of $device mapped"
expect_status 0 pcictl remove --force open "$device"
contains "$err" 'overriding open: '
let_go
expect_status 0 pcictl rescan "$device"
same "$before" "$(functions)"

# A process whose first thread has ended looks like a thread of the kernel, which has no files.
in_background hold thread "$pci/$device/resource0"
refused "$device" open "pid $holder ([hold]) has resource0 of $device open"
let_go

give "$device" vfio-pci
group=$(basename "$(readlink "$pci/$device/iommu_group")")
expect_status 0 pcictl remove -n "$device"
in_background hold vfio "/dev/vfio/$group" "$device"
refused "$device" vfio "pid $holder (hold vfio /dev/vfio/$group $device) has /dev/vfio/$group open"
# Forced, the driver waits for its user; pcictl gives the terminal back, and the removal goes on when the user has gone.
expect_status 124 pcictl remove --force vfio --timeout 2 "$device"
let_go
wait_until 60 [ ! -e "$pci/$device" ] || fail "still there"
# The override went with the device, so that its own driver has it again, which a rescan reports.
expect_status 6 pcictl rescan "$device"
[ "$(basename "$(readlink "$pci/$device/driver")")" = "$driver" ] || fail "no driver: $(functions)"
same "$before" "$(functions)"
