# Six operators do all that pcictl can do to a device, to the same few devices and the bridges above them, at the same time:
# every pair of writes that deadlocks the kernel or corrupts its memory is among them when nobody keeps them apart. The
# kernel stays healthy, and everything is back in the end. /rig/storm says how many operations.
# topology: lifecycle
# append: slub_debug=FPZU
# kernels: all
# run: named 6.1 6.18 7.3
# timeout: 3000
before=$(functions)
operations=$(cat /rig/storm)
pf=$(of_kind nvme | nth 1)
port=$(parent_of "$pf")
upstream=$(of_kind upstream | nth 1)
slots=$(ls /sys/bus/pci/slots)
edus=$(of_kind edu)
note "$(echo "$edus" | wc -l) endpoints, PF $pf, slots $(echo "$slots" | xargs)"

# one NAME: an operation of that operator.
one() {
    next
    # shellcheck disable=SC2086 # a word each
    target=$(any $edus)
    # shellcheck disable=SC2086
    slot=$(any $slots)
    case $((seed / 4096 % 16)) in
    0) set -- sriov "$pf" 2 --settle 0 ;;
    1) set -- sriov "$pf" 4 --settle 0 --driver pci-stub ;;
    2) set -- sriov "$pf" --off ;;
    3) set -- unbind "$target" ;;
    4) set -- bind "$target" ;;
    5) set -- override "$target" slowpci_other ;;
    6) set -- override --clear "$target" ;;
    7) set -- reset "$(any "$pf" "$target")" ;;
    8) set -- remove --if-present --force vfs --yes "$(any "$target" "$upstream" "$port")" ;;
    9) set -- remove --if-present --force vfs --yes "$pf" ;;
    10) set -- rescan --settle 0 "$(any "$target" "$upstream" "$pf" "$port")" ;;
    11) set -- rescan --settle 0 --all ;;
    12) set -- replug --settle 0 --force vfs --yes "$(any "$target" "$upstream")" ;;
    13) set -- slot off "$slot" --force vfs --yes ;;
    14) set -- slot on "$slot" --settle 0 ;;
    15) set -- power "$target" --runtime "$(any auto on)" ;;
    esac
    operate "$@" --wait 100
}
operator() {
    name=$1 seed=$2
    # shellcheck disable=SC2034 # operate tells it
    for count in $(seq $((operations / 6))); do one; done
}
for name in one two three four five six; do
    operator "$name" "$((${#name} * 7919 + $(printf %d "'$name")))" &
done
wait

cat /tmp/case/log.* >/tmp/case/log
[ "$(wc -l </tmp/case/log)" = $((operations / 6 * 6)) ] || fail "$(wc -l </tmp/case/log) operations"
# 1: the slot is on or off already, or no driver takes it; 3: somebody removed it; 4: its users, or those of its VFs.
bad=$(grep -vhE '^(0|1|3|4|5|6) ' /tmp/case/log) && fail "unexpected exit status: $bad"
note "exit statuses: $(cut -d ' ' -f 1 /tmp/case/log | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
for command in sriov unbind bind override reset remove rescan replug 'slot off' 'slot on' power; do
    done_of=$(grep -cE "^0 .* [0-9]+ $command " /tmp/case/log)
    tried=$(grep -cE " [0-9]+ $command " /tmp/case/log)
    counts="${counts-}$command $done_of of $tried, "
    [ "$operations" -lt 300 ] || [ "$done_of" -gt 0 ] || fail "no $command was ever done: $(grep " $command " /tmp/case/log | tail -n 3)"
done
note "done: $counts"
waited=$(grep -c 'waiting for' /tmp/case/log)
[ "$waited" -ge $((operations / 20)) ] || fail "nobody met anybody, so this proves nothing"
contains "$(pcictl locks 2>&1)" "no lock is held"

# What is switched off is switched on, what is gone comes back, and each has the driver that it had.
for slot in $slots; do pcictl slot on "$slot" --settle 0 >/dev/null 2>&1; done
status=0
pcictl rescan --all --settle 20 >/tmp/case/out 2>&1 || status=$?
case $status in 0 | 6) ;; *) fail "rescan --all ended with $status: $(cat /tmp/case/out)" ;; esac
pcictl sriov "$pf" --off --autoprobe on >/tmp/case/out 2>&1 || fail "$(cat /tmp/case/out)"
for edu in $(of_kind edu); do
    pcictl override --clear "$edu" >/dev/null 2>&1
    pcictl bind "$edu" >/tmp/case/out 2>&1 || fail "$(cat /tmp/case/out)"
    echo on >"$pci/$edu/power/control"
done
same "$before" "$(functions)"
# What differs from the ledger was meant so.
expect_status 0 pcictl rescan --all --accept vfs,driver
expect_status 0 pcictl recover
expect_status 0 pcictl status
