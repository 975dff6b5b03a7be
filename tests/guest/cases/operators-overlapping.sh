# Two operators, one on a switch and one on an endpoint below it, take turns, whoever comes first; the second says for
# whom it waits.
# topology: nested
# timeout: 300
before=$(functions)
switch=$(of_kind upstream | nth 1)
endpoint=$(of_kind edu | nth 1)

begun() {
    dmesg | grep -q "$1: remove begin"
}
# in_turns FIRST SECOND: the second starts while the drivers of the first are stopping.
in_turns() {
    dmesg -c >/dev/null
    slow remove_ms 4000
    pcictl remove "$1" >/tmp/case/first 2>&1 &
    one=$!
    wait_until 30 begun "$endpoint" || fail "nothing began: $(cat /tmp/case/first)"
    pcictl remove --if-present "$2" >/tmp/case/second 2>&1 &
    two=$!
    wait $one || fail "the first ended with $?: $(cat /tmp/case/first)"
    wait $two || fail "the second ended with $?: $(cat /tmp/case/second)"
    contains "$(cat /tmp/case/second)" "$one"
    slow remove_ms 0
    order=$(dmesg | sed -n 's/.*remove \(begin\|end\)$/\1/p' | xargs)
    expect_status 0 pcictl rescan --all
    same "$before" "$(functions)"
}
# The endpoint alone, then the other four of the switch together.
in_turns "$endpoint" "$switch"
same "begin end begin begin begin begin end end end end" "$order"
# All five together, and nothing left for the second.
in_turns "$switch" "$endpoint"
same "begin begin begin begin begin end end end end end" "$order"
