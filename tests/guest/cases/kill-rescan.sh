# The same for a rescan: killed at each system call that changes anything, it is brought to its end by `recover`.
# topology: sriov
# timeout: 900
device=$(of_kind edu)
port=$(parent_of "$device")
before=$(functions)
after=$(echo "$before" | grep -v "^$device ")
undone=0 completed=0 nothing=0
over() {
    ! pidof pcictl pcictl-write >/dev/null
}
# at N WHO: 1 if the removal ended before its Nth call.
at() {
    got=0
    drop "$device"
    kill-at "$1" "$2" pcictl rescan --settle 0 "$port" >/tmp/case/out 2>&1 || got=$?
    [ "$got" = 0 ] || [ "$got" = 3 ] || [ "$got" = 4 ] || fail "kill-at ended with $got: $(cat /tmp/case/out)"
    wait_until 20 over || fail "$2 killed at $1: somebody goes on: $(stuck_tasks)"
    state=0
    pcictl status >/tmp/case/status 2>&1 || state=$?
    [ "$state" = 0 ] || [ "$state" = 5 ] || fail "$2 killed at $1: status ended with $state: $(cat /tmp/case/status)"
    pcictl recover >/tmp/case/recover 2>&1 || fail "$2 killed at $1: recover: $(cat /tmp/case/status /tmp/case/recover)"
    case $(cat /tmp/case/recover) in
    *undone*) undone=$((undone + 1)) ;;
    *completed*) completed=$((completed + 1)) ;;
    *) nothing=$((nothing + 1)) ;;
    esac
    now=$(functions)
    if [ "$now" = "$after" ]; then
        echo 1 >"$pci/$port/rescan"
        now=$(functions)
    fi
    [ "$now" = "$before" ] || fail "$2 killed at $1: neither the start nor the end:
$now
$(cat /tmp/case/out /tmp/case/status /tmp/case/recover)"
    pcictl status 2>&1 | grep -qE 'interrupted|trusted|under way' && fail "$2 killed at $1: $(pcictl status)"
    [ "$got" != 3 ]
}
for who in main helper all; do
    point=1
    while at $point $who; do point=$((point + 1)); done
    note "$who: $((point - 1)) points"
done
note "undone $undone, completed $completed, nothing left to do $nothing"
[ "$completed" -gt 0 ] || fail "no rescan was ever completed"
same "$before" "$(functions)"
