# A container that is made while the guard runs: with a network namespace and a sysfs of its own, whose files are other inodes,
# and one that sees the host's sysfs through a bind mount. The time in which the first is not guarded is measured.
# topology: nested
# kernels: all
# run: named 5.10 6.1 6.18 7.3
# timeout: 300
before=$(functions)
child=$(below "$(of_kind upstream | nth 1)" | tail -n 1)
guarded --wait 100
# got_through WHAT SINCE: what the writer has noted.
got_through() {
    touch /tmp/case/through
    last=$(cat /tmp/case/begun /tmp/case/through | tail -n 1)
    note "$1: $(wc -l </tmp/case/through) writes got through, the last $((last - $(cat /tmp/case/begun))) hundredths of a second after $2"
}
waits() {
    [ "$(pcictl guard --status | grep -c 'waits to open')" -ge "$1" ]
}
mkdir -p /tmp/case/a /tmp/case/b
pcictl lock "$child" -- sh -c 'echo held; sleep 600' >/tmp/case/holder &
holder=$!
wait_until 30 grep -q held /tmp/case/holder || fail "no lock"

# It writes until one of its writes is held up; each that got through is a line.
for _ in 1 2 3; do
    rm -f /tmp/case/through /tmp/case/begun
    # shellcheck disable=SC2016
    unshare -m -n sh -c 'mount -t sysfs sysfs /tmp/case/a; . /rig/lib.sh; now >/tmp/case/begun
        for _ in $(seq 1000); do
            echo none >"/tmp/case/a/bus/pci/devices/$1/driver_override"; now >>/tmp/case/through
        done' sh "$child" &
    writer=$!
    wait_until 60 waits 1 || fail "a writer in another network namespace is not held up: $(cat /tmp/case/guard)"
    got_through "a new network namespace" "its mount"
    kill -9 $writer
    wait $writer
    nobody_waits() { ! waits 1; }
    wait_until 30 nobody_waits || fail "who was killed still waits: $(pcictl guard --status)"
done

unshare -m sh -c "mount --bind /sys /tmp/case/b; echo '' >/tmp/case/b/bus/pci/devices/$child/driver_override" &
second=$!
wait_until 60 waits 1 || fail "a writer through a bind mount is not held up: $(pcictl guard --status)"
kill -9 $holder
end_sleepers
wait $second
echo >"$pci/$child/driver_override"

# The same for a new device: the raw scan that brings it is inside the kernel for as long as its driver starts.
slow probe_ms 3000
drop "$child"
rm -f /tmp/case/through /tmp/case/begun
(
    until [ -e "$pci/$child/driver_override" ]; do :; done
    now >/tmp/case/begun
    for _ in $(seq 1000); do
        echo none >"$pci/$child/driver_override"
        now >>/tmp/case/through
    done
) 2>/dev/null &
writer=$!
echo 1 >/sys/bus/pci/rescan &
scanner=$!
# Not whoever scans: that one waits for a moment, too.
is_held_up() {
    [ -s /tmp/case/begun ] && pcictl guard --status | grep 'waits to open' | grep -q driver_override
}
wait_until 60 is_held_up || fail "a new device is not guarded: $(pcictl guard --status) $(cat /tmp/case/guard)"
got_through "a new device" "it was there"
kill -9 $writer
wait $writer $scanner
slow probe_ms 0
echo >"$pci/$child/driver_override"
[ -e "$pci/$child/driver" ] || echo "$child" >/sys/bus/pci/drivers_probe
# What the kernel needs for each marked file: the mark, and the inode and its name, which stay for as long as it is there.
note "kernel memory in bytes: $(awk '$1 ~ /^(fanotify_mark|fanotify_perm|fsnotify_mark_conn|inode_cache|dentry)/ { printf "%s %s, ", $1, $4 }' /proc/slabinfo)"
unguarded
same "$before" "$(functions)"
