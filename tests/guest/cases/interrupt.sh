# Interrupted while drivers stop: what the kernel has is let end, what was done is undone, and the status is 130. A second
# signal gives the terminal back at once and names who goes on; the undoing is done all the same.
# topology: switch8
# kernels: any
# timeout: 120
before=$(functions)
switch=$(of_kind upstream)
begun() {
    [ "$(dmesg | grep -c ': remove begin')" = 8 ]
}
# interrupted TIMES SIGNAL: that many signals while eight drivers are stopping.
interrupted() {
    dmesg -c >/dev/null
    slow remove_ms 600000
    pcictl remove "$switch" >/tmp/case/out 2>&1 &
    pid=$!
    wait_until 30 begun || fail "nothing began: $(cat /tmp/case/out)"
    kill -"$2" $pid
    wait_until 30 grep -q 'interrupt again to detach' /tmp/case/out || fail "unheard: $(cat /tmp/case/out)"
    if [ "$1" = 2 ]; then
        kill -"$2" $pid
    else
        slow remove_ms 0
    fi
    got=0
    wait $pid || got=$?
    slow remove_ms 0
    [ "$got" = 130 ] || fail "ended with $got, not 130: $(cat /tmp/case/out)"
    note "$1 $2: $(tail -n 1 /tmp/case/out)"
}
for signal in TERM HUP; do
    interrupted 1 $signal
    contains "$(cat /tmp/case/out)" "interrupted after 8 of"
    contains "$(cat /tmp/case/out)" "all 8 steps were undone"
    same "$before" "$(functions)"
    expect_status 0 pcictl status
    same "nothing is under way, interrupted or removed" "$out"
done
interrupted 2 TERM
contains "$(cat /tmp/case/out)" "goes on in the background"
contains "$(dmesg)" "remove begin"
wait_until 60 nobody_at_work || fail "it was not finished: $(stuck_tasks)"
same "$before" "$(functions)"
expect_status 0 pcictl status
same "nothing is under way, interrupted or removed" "$out"
