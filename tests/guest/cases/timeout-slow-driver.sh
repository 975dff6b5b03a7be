# A driver that takes long to stop: pcictl gives the terminal back in time with 124 and says who waits for what; the lock
# stays held until the kernel is done, a later command gets 75, and then the operation is finished without anybody.
# topology: switch8
device=$(of_kind edu | nth 1)
port=$(parent_of "$device")
before=$(functions)
slow remove_ms 12000

started=$(now)
expect_status 124 pcictl remove --timeout 2 "$device"
took=$(($(now) - started))
contains "$err" "waiting for driver slowpci to stop $device"
contains "$err" "slow_remove [slowpci]"
contains "$err" "goes on in the background"
note "124 after $((took * 10)) ms with --timeout 2"

expect_status 75 pcictl remove --no-wait "$device"
contains "$err" "pcictl"
[ -e "$pci/$device" ] || fail "the driver was done too early for this to prove anything"

gone() {
    [ ! -e "$pci/$device" ]
}
wait_until 40 gone || fail "the operation was not finished: $(stuck_tasks)"
slow remove_ms 0
expect_status 0 pcictl rescan "$port"
same "$before" "$(functions)"
