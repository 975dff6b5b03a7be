# Two operators, one on a switch and one on an endpoint below it, take turns, whoever comes first; the second says for
# whom it waits. Nothing is timed, as the drivers stop only when told to.
# topology: nested
# kernels: any
before=$(functions)
switch=$(of_kind upstream | nth 1)
endpoint=$(of_kind edu | nth 1)
begun() {
    dmesg | grep -q "$endpoint: remove begin"
}
# in_turns FIRST SECOND: the second starts while the drivers of the first are stopping. Leaves the order in $order.
in_turns() {
    dmesg -c >/dev/null
    slow remove_ms 600000
    pcictl remove "$1" >/tmp/case/first 2>&1 &
    one=$!
    wait_until 60 begun || fail "nothing began: $(cat /tmp/case/first)"
    pcictl remove --if-present --wait 100 "$2" >/tmp/case/second 2>&1 &
    two=$!
    wait_until 60 grep -q "pid $one " /tmp/case/second || fail "the second does not wait: $(cat /tmp/case/second)"
    slow remove_ms 0
    wait $one || fail "the first ended with $?: $(cat /tmp/case/first)"
    wait $two || fail "the second ended with $?: $(cat /tmp/case/second)"
    order=$(dmesg | sed -n 's/.*remove \(begin\|end\)$/\1/p' | xargs)
    expect_status 0 pcictl rescan --all
    same "$before" "$(functions)"
}
# The endpoint alone, then the other four of the switch in any order.
in_turns "$endpoint" "$switch"
same "begin end" "$(echo "$order" | cut -d ' ' -f 1-2)"
same 10 "$(echo "$order" | wc -w)"
# All five together, and nothing left for the second.
in_turns "$switch" "$endpoint"
same "begin begin begin begin begin end end end end end" "$order"
