# Two operators on subtrees that do not overlap work at the same time: the drivers of the one are stopping while those of
# the other are, as the log of the drivers shows. Nothing is timed, as the drivers stop only when told to.
# topology: nested
# kernels: any
before=$(functions)
first=$(of_kind upstream | nth 2)
second=$(of_kind upstream | nth 3)
begun() {
    [ "$(dmesg | grep -c 'remove begin$')" = "$1" ]
}
slow remove_ms 600000
pcictl remove "$first" >/tmp/case/first 2>&1 &
one=$!
wait_until 60 begun 2 || fail "nothing began: $(cat /tmp/case/first)"
pcictl remove "$second" >/tmp/case/second 2>&1 &
two=$!
wait_until 60 begun 4 || fail "the second waits for the first: $(cat /tmp/case/second)"
slow remove_ms 0
wait $one || fail "the first ended with $?: $(cat /tmp/case/first)"
wait $two || fail "the second ended with $?: $(cat /tmp/case/second)"

order=$(dmesg | sed -n 's/.*remove \(begin\|end\)$/\1/p' | xargs)
same "begin begin begin begin end end end end" "$order"
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
