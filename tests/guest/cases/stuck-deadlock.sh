# The kernel's own deadlock, made by raw writes: the doctor proves it and says that only a reboot helps; whatever only
# looks still answers; whatever would write refuses at once, and adds nothing to what hangs.
# topology: nested
# kernels: all
# boot: own
# timeout: 120
# expect: stuck
# allow: changed
top=$(of_kind upstream | nth 1)
elsewhere=$(of_kind edu | tail -n 1)
expect_status 0 pcictl doctor
deadlock "$top"

# hundredths COMMAND...: how long it takes; the report shows it.
hundredths() {
    started=$(now)
    "$@"
    note "$4 ${5-}: $((($(now) - started) * 10)) ms"
}
hundredths expect_status 124 pcictl doctor
contains "$out" "a removal and a write below it wait for each other"
contains "$out" "removing $top, has the PCI core's mutex"
contains "$out" "nothing but a reboot ends this"
contains "$out" "writes to the kernel past pcictl's locks"
echo "$out" >/dev/ttyS0
hundredths expect_status 0 pcictl list
hundredths expect_status 0 pcictl show "$elsewhere"
hundredths expect_status 0 pcictl tree
hundredths expect_status 0 pcictl show "$top"
hundredths expect_status 0 pcictl locks
hundredths expect_status 0 pcictl status
hundredths expect_status 0 pcictl remove -n "$top"
hundredths expect_status 0 pcictl rescan -n "$elsewhere"
hundredths expect_status 0 pcictl recover -n
stuck=$(stuck_tasks | grep -c '^[0-9]')
hundredths expect_status 4 pcictl remove "$elsewhere"
contains "$err" "the kernel's PCI core is stuck"
contains "$err" "reboot"
hundredths expect_status 4 pcictl rescan --all
hundredths expect_status 4 pcictl replug "$elsewhere"
same "$stuck" "$(stuck_tasks | grep -c '^[0-9]')"
for pid in $(stuck_tasks | sed -n 's/^\([0-9]*\) .*/\1/p'); do
    echo "--- $pid $(cat "/proc/$pid/comm")"
    cat "/proc/$pid/stack"
    for fd in "/proc/$pid/fd"/*; do
        readlink "$fd"
    done
done >/dev/ttyS0
