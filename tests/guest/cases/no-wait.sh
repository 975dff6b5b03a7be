# --no-wait does not wait: while a slow driver holds up one removal, another above it ends at once with 75 and names the
# process and the command that hold the lock, in words and in JSON. So does a wait that runs out.
# topology: nested
# kernels: any
before=$(functions)
switch=$(of_kind upstream | nth 1)
endpoint=$(of_kind edu | nth 1)
begun() {
    dmesg | grep -q "$endpoint: remove begin"
}
slow remove_ms 600000
pcictl remove "$endpoint" >/tmp/case/holder 2>&1 &
holder=$!
wait_until 60 begun || fail "nothing began: $(cat /tmp/case/holder)"

expect_status 75 pcictl remove --no-wait "$switch"
contains "$err" "$holder"
contains "$err" "pcictl remove $endpoint"
expect_status 75 pcictl remove --wait 0.5 "$switch"
contains "$err" "$holder"
expect_status 75 pcictl --json remove --no-wait "$switch"
contains "$out" '"schema": 1'
contains "$out" "$holder"
# On the other side of the machine nobody is in the way.
expect_status 0 pcictl rescan --no-wait "$(of_kind upstream | tail -n 1)"
kill -0 $holder || fail "the holder is gone: $(cat /tmp/case/holder)"

slow remove_ms 0
wait $holder || fail "the holder ended with $?: $(cat /tmp/case/holder)"
expect_status 0 pcictl rescan "$endpoint"
same "$before" "$(functions)"
