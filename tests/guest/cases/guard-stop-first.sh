# With --stop-first a raw echo stops nothing under the kernel's mutex: eight drivers of a second each stop side by side before
# it goes on, and are given back if whoever wrote is gone by then.
# topology: switch8
# kernels: any
# timeout: 600
before=$(functions)
top=$(of_kind upstream | nth 1)
guarded --wait 100
slow remove_ms 1000
begun=$(now)
drop "$top"
took=$(($(now) - begun))
echo 1 >/sys/bus/pci/rescan
unguarded
inside=$(sed -n 's/.*"kind":"remove".*"took_seconds":\([0-9.]*\),.*/\1/p' /run/pcictl/guard.log | tail -n 1)
note "a raw removal took $took hundredths, $inside s of it inside the kernel"
guarded --wait 100 --stop-first
begun=$(now)
drop "$top"
took=$(($(now) - begun))
inside=$(sed -n 's/.*"kind":"remove".*"took_seconds":\([0-9.]*\),.*/\1/p' /run/pcictl/guard.log | tail -n 1)
note "with --stop-first $took hundredths, $inside s inside the kernel"
slow remove_ms 0
echo 1 >/sys/bus/pci/rescan
same "$before" "$(functions)"
[ "$(dmesg | grep -c 'remove begin')" -ge 16 ] || fail "not all drivers were stopped: $(dmesg | tail)"
pcictl status >/tmp/case/status 2>&1 || fail "something is left over: $(cat /tmp/case/status)"

# Whoever dies while drivers stop leaves them as they were.
slow remove_ms 2000
dmesg -c >/dev/null
( drop "$top" ) &
writer=$!
begun_to_stop() { dmesg | grep -q 'remove begin'; }
wait_until 30 begun_to_stop || fail "nothing stops"
kill -9 $writer
slow remove_ms 0
all_back() { [ "$(functions)" = "$before" ]; }
wait_until 60 all_back || fail "drivers are not back: $(functions)"
unguarded
