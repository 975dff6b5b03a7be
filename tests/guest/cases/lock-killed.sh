# What runs under `pcictl lock` keeps the lock when pcictl is killed: while the command, or what it started, is in the kernel,
# nobody else may change the device. The lock ends with the last of them.
# topology: switch8
# kernels: any
before=$(functions)
device=$(of_kind edu | nth 1)
begun() {
    dmesg | grep -q "$device: remove begin"
}
is_free() {
    pcictl lock --no-wait "$device" -- true 2>/tmp/case/err
}
# killed COMMAND...: by SIGKILL while that runs under its lock and is in the kernel.
killed() {
    dmesg -c >/dev/null
    slow remove_ms 600000
    pcictl lock "$device" -- "$@" >/tmp/case/out 2>&1 &
    pid=$!
    wait_until 30 begun || fail "nothing began: $(cat /tmp/case/out)"
    kill -9 $pid
    wait $pid
    expect_status 75 pcictl remove --no-wait "$device"
    contains "$err" "$device"
    expect_status 75 pcictl replug --wait 0.5 "$device"
    [ -e "$pci/$device" ] || fail "the driver was done too early for this to prove anything"
    slow remove_ms 0
    wait_until 30 is_free || fail "the lock did not end: $(cat /tmp/case/err)"
    [ ! -e "$pci/$device/driver" ] || fail "the write was not made: $(functions)"
    echo "$device" >/sys/bus/pci/drivers/slowpci/bind
    same "$before" "$(functions)"
}
killed sh -c "echo $device >/sys/bus/pci/drivers/slowpci/unbind"
# A shell that waits for another process, as scripts do.
killed sh -c "sh -c 'echo $device >/sys/bus/pci/drivers/slowpci/unbind'; :"
expect_status 0 pcictl replug "$device"
same "$before" "$(functions)"
