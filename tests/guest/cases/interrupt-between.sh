# Interrupted at any call by which pcictl changes something, between two writes to the kernel as well as around each: it
# ends there with 130 and everything is as it was, or it was all done already and it ends with 0.
# topology: mixed
# kernels: any
# timeout: 300
before=$(functions)
# A card with two functions, whose driver is slow.
card=$(of_kind edu | nth 1)
card="$card ${card%.0}.1"
# shellcheck disable=SC2086 # two arguments
interrupted_at() {
    kill-at "$1" interrupt pcictl remove $card >/tmp/case/out 2>&1
}
slow remove_ms 50
point=1 undone=0 completed=0
while :; do
    result=0
    interrupted_at $point || result=$?
    ended=$(sed -n 's/^ended with //p' /tmp/case/out)
    case $result.$ended in
    0.130)
        # Between the two removals the first is done for good, which is told; the other device is as it was.
        if grep -q 'done before: remove' /tmp/case/out; then
            contains "$(pcictl status)" "${card% *}: removed and not back"
            expect_status 0 pcictl rescan "${card% *}"
        fi
        same "$before" "$(functions)"
        grep -q 'after [1-9][0-9]* of' /tmp/case/out && undone=$((undone + 1))
        ;;
    0.0 | 3.0)
        [ ! -e "$pci/${card% *}" ] || fail "at $point: $(cat /tmp/case/out)"
        completed=$((completed + 1))
        expect_status 0 pcictl rescan "${card% *}"
        same "$before" "$(functions)"
        ;;
    *) fail "at $point: kill-at $result, pcictl $ended: $(cat /tmp/case/out)" ;;
    esac
    expect_status 0 pcictl status
    same "at $point: nothing is under way, interrupted or removed" "at $point: $out"
    [ "$result" != 3 ] || break
    point=$((point + 1))
done
note "interrupted at $((point - 1)) points: undone half-way $undone times, too late $((completed - 1)) times"
[ "$undone" -gt 2 ] || fail 'hardly ever interrupted half-way'
contains "$(pcictl doctor)" healthy
