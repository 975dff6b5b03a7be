# Two operators on subtrees that do not overlap work at the same time: the drivers of the one are stopping while those of
# the other are, as the log of the drivers shows.
# topology: nested
# timeout: 300
before=$(functions)
first=$(of_kind upstream | nth 2)
second=$(of_kind upstream | nth 3)
slow remove_ms 6000

begun() {
    dmesg | grep -q "$1: remove begin"
}
pcictl remove "$first" >/tmp/case/first 2>&1 &
one=$!
wait_until 30 begun "$(below "$first" | grep -xF "$(of_kind edu)" | nth 1)" || fail "nothing began: $(cat /tmp/case/first)"
pcictl remove "$second" >/tmp/case/second 2>&1 &
two=$!
wait $one || fail "the first ended with $?: $(cat /tmp/case/first)"
wait $two || fail "the second ended with $?: $(cat /tmp/case/second)"

# Each pair of stops of one operator is followed by its two ends; side by side, all four begin before any ends.
order=$(dmesg | sed -n 's/.*remove \(begin\|end\)$/\1/p' | xargs)
same "begin begin begin begin end end end end" "$order"
slow remove_ms 0
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
