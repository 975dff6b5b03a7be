# Raw writers in containers take part: one with a network namespace and a sysfs of its own, whose files are other inodes, and
# one that sees the host's through a bind mount. The gap in which a new one is not guarded is measured.
# run: named
# topology: nested
# append: slub_debug=FPZU
# timeout: 900
before=$(functions)
top=$(of_kind upstream | nth 1)
child=$(below "$top" | tail -n 1)
guarded --wait 100
waiting() {
    pcictl guard --status | grep -c 'waits to open'
}
# waits N: so many wait now.
waits() {
    [ "$(waiting)" = "$1" ]
}

# One that is made while the guard runs: how long until its files are marked.
mkdir -p /tmp/case/a /tmp/case/b
pcictl lock "$top" -- sh -c 'echo held; sleep 600' >/tmp/case/holder &
holder=$!
wait_until 30 grep -q held /tmp/case/holder || fail "no lock"
begun=$(now)
unshare -m -n sh -c "mount -t sysfs sysfs /tmp/case/a; echo mounted >/tmp/case/mounted
    while ! pcictl guard --status | grep -q 'waits to open'; do
        ( echo vfio-none >/tmp/case/a/bus/pci/devices/$child/driver_override ) &
        sleep 0.2
    done; wait" &
first=$!
wait_until 60 waits 1 || fail "a writer in another network namespace is not held up: $(cat /tmp/case/guard)"
note "a network namespace of its own is guarded after at most $(($(now) - begun)) hundredths of a second"
unshare -m sh -c "mount --bind /sys /tmp/case/b; echo '' >/tmp/case/b/bus/pci/devices/$child/driver_override" &
second=$!
wait_until 60 waits 2 || fail "a writer through a bind mount is not held up: $(pcictl guard --status)"
kill -9 $holder
end_sleepers
wait $first
wait $second
echo >"$pci/$child/driver_override"

# All of them at once, as in a storm: rescans in both containers, and removals of the switch above on the host.
loops=$(($(cat /rig/storm) / 12))
unshare -m -n sh -c "mount -t sysfs sysfs /tmp/case/a; sleep 5
    for i in \$(seq $loops); do
        [ ! -e /tmp/case/a/bus/pci/devices/$child/rescan ] || echo 1 >/tmp/case/a/bus/pci/devices/$child/rescan
    done; echo done >/tmp/case/first" 2>/tmp/case/err1 &
unshare -m sh -c "mount --bind /sys /tmp/case/b
    for i in \$(seq $loops); do
        [ ! -e /tmp/case/b/bus/pci/devices/$child/rescan ] || echo 1 >/tmp/case/b/bus/pci/devices/$child/rescan
    done; echo done >/tmp/case/second" 2>/tmp/case/err2 &
for _ in $(seq "$loops"); do
    if [ -e "$pci/$top" ]; then drop "$top"; else echo 1 >/sys/bus/pci/rescan; fi
done
all_done() { [ -e /tmp/case/first ] && [ -e /tmp/case/second ]; }
wait_until 600 all_done || fail "stuck: $(stuck_tasks) $(tail -n 9 /tmp/case/guard)"
echo 1 >/sys/bus/pci/rescan
unguarded
note "$(grep -c '"outcome":"done"' /run/pcictl/guard.log) raw writes, $(grep -c 'waited ' /tmp/case/guard) had to wait"
same "$before" "$(functions)"
