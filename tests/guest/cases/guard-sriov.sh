# sriov_numvfs has a device's lock and wants the kernel's mutex, a removal has that and wants the lock: raw writers of both,
# with rescans beside, which the guard keeps apart. A physical function with its virtual ones on is removed raw, which hangs
# some kernels by itself: the guard has the virtual ones taken away before. A reader of sriov_numvfs does not wait for any of
# them. /rig/storm says how many operations. In the end, in the same boot, the same writers without the guard.
# run: named
# topology: sriov
# kernels: all
# append: slub_debug=FPZU
# boot: own
# passes: 6.12-debug
# allow: stuck changed complaint
# timeout: 3000
before=$(functions)
operations=$(($(cat /rig/storm) / 6 * 6))
pf=$(of_kind nvme | nth 1)
port=$(parent_of "$pf")
echo "$pf" >/tmp/case/pf
echo "$port" >/tmp/case/port
for number in 0 2 0 4; do echo "$number $pci/$pf/sriov_numvfs"; done >/tmp/case/vfs
guarded --wait 300

# loops TIMES: six of them.
loops() {
    raw_loop a "$1" raw /tmp/case/vfs &
    raw_loop b "$1" raw /tmp/case/vfs &
    raw_loop c "$1" raw_rescan /tmp/case/pf &
    raw_loop d "$1" raw_rescan /tmp/case/port &
    raw_loop e "$1" raw_remove /tmp/case/pf &
    raw_loop f "$1" raw_remove /tmp/case/port &
}
loops $((operations / 6))
begun=$(now)
wait_until 1500 raw_done "$operations" || fail "stuck: $(stuck_tasks) $(tail -n 20 /tmp/case/guard)"
raw 1 /sys/bus/pci/rescan
raw 0 "$pci/$pf/sriov_numvfs"
note "$operations operations in $((($(now) - begun) / 100)) s"

# Somebody is inside; who reads goes on.
pcictl lock "$pf" -- sleep 600 &
holder=$!
lock_held() { ! pcictl lock --no-wait "$pf" -- true 2>/dev/null; }
wait_until 30 lock_held || fail "no lock"
: >/tmp/case/to_read
( cat "$pci/$pf/sriov_numvfs" >/tmp/case/read ) &
wait_until 60 [ -s /tmp/case/read ] || fail "a reader waits: $(pcictl guard --status)"
kill -9 $holder
end_sleepers
unguarded
tell_raw $((operations / 20))
same "$before" "$(functions)"
wait_until 10 no_stuck_tasks || fail "stuck: $(stuck_tasks)"

is_validating && exit
rm /tmp/case/log.*
begun=$(now)
loops 1000000
# One loop that does nothing for so long is enough: what changes virtual functions fails at once when the driver is gone.
# shellcheck disable=SC2317 # called by wait_until
went_wrong() {
    complaints >/tmp/complaints && return 0
    [ -n "$(stuck_tasks)" ] || return 1
    wc -l /tmp/case/log.* >/tmp/case/done
    sleep 10
    wc -l /tmp/case/log.* | grep -qxFf /tmp/case/done
}
wait_until 200 went_wrong || fail "$(cat /tmp/case/log.* | wc -l) raw writes, and the kernel had nothing to say"
note "without the guard, after $(($(now) - begun)) hundredths of a second and $(cat /tmp/case/log.* | wc -l) writes: $(head -n 1 /tmp/complaints) $(stuck_tasks | grep -c '^[0-9]') tasks stuck"
