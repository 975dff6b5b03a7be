# A driver that takes long to stop: pcictl gives the terminal back in time with 124 and says who waits for what; the lock
# stays held, the doctor names driver and process, a later command gets 75. Once the driver is done, the operation is
# finished by itself: device gone, locks free, journal and ledger complete.
# topology: switch8
# kernels: any
device=$(of_kind edu | nth 1)
before=$(functions)
slow remove_ms 60000

started=$(now)
expect_status 124 pcictl remove --timeout 2 "$device"
took=$(($(now) - started))
contains "$err" "waiting for driver slowpci to stop $device"
contains "$err" "slow_remove [slowpci]"
contains "$err" "goes on in the background"
note "124 after $((took * 10)) ms with --timeout 2"

expect_status 0 pcictl doctor
contains "$out" "unbinding $device"
contains "$out" "waits for driver slowpci to stop the device"
writer=$(pidof pcictl-write)
contains "$out" "pid $writer, thread "
contains "$out" "pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind $device)"
expect_status 0 pcictl status
contains "$out" "under way: pcictl remove --timeout 2 $device"
contains "$out" "in the kernel's hands: unbind $device from slowpci"
expect_status 0 pcictl locks
contains "$out" "pcictl"
expect_status 75 pcictl remove --no-wait "$device"
contains "$err" "pcictl"
[ -e "$pci/$device" ] || fail "the driver was done too early for this to prove anything"

slow remove_ms 0
wait_until 60 nobody_at_work || fail "it was not finished: $(stuck_tasks)"
[ ! -e "$pci/$device" ] || fail "the device is still there: $(pcictl status)"
expect_status 0 pcictl status
same "$device: removed and not back; pcictl rescan $device" "$out"
expect_status 0 pcictl locks
expect_status 0 pcictl rescan "$device"
same "$before" "$(functions)"
