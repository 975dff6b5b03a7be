# The locks of a raw writer are held exactly as long as he is inside the file, wherever he dies: while he waits, between open
# and write, in the write, after it, and when others have the open file from him.
# topology: switch8
# kernels: all
# run: named 5.10 6.1 6.18 7.3
# timeout: 600
before=$(functions)
device=$(of_kind edu | nth 1)
guarded --wait 100
is_free() {
    pcictl lock --no-wait "$device" -- true 2>/tmp/case/err
}
# held WHEN / free WHEN: now, or in a moment.
held() {
    ! is_free || fail "$1: the lock is free"
}
free() {
    wait_until 10 is_free || fail "$1: the lock is held: $(cat /tmp/case/err) $(pcictl guard --status)"
    note "$1: held while inside, free after"
}
waits() {
    pcictl guard --status | grep -q 'waits to open'
}
inside() {
    pcictl guard --status | grep -q 'is inside'
}
begun() {
    dmesg | grep -q "$device: remove begin"
}

# Before open: the guard never hears of it.
# shellcheck disable=SC2016
sh -c 'kill -9 $$; echo 1 >"$1"' sh "$pci/$device/remove"
is_free || fail "killed before open: the lock is held: $(cat /tmp/case/err)"
[ -e "$pci/$device" ] || fail 'killed before open, and yet it was written'
note "killed before open: nothing held, nothing written"

# Between open and write, by a shell that has the file open and does nothing.
sh -c "exec 9>$pci/$device/remove; sleep 600" &
writer=$!
wait_until 10 inside || fail "not inside: $(cat /tmp/case/guard)"
held "open, nothing written"

# While he waits.
sh -c "exec 9>$pci/$device/remove; sleep 600" &
waiter=$!
wait_until 10 waits || fail "he does not wait: $(cat /tmp/case/guard)"
kill -9 $waiter
wait $waiter
no_longer_waits() { ! waits; }
wait_until 10 no_longer_waits || fail "who was killed still waits: $(pcictl guard --status)"
held "another one was killed while he waited"
note "killed in open, where he waited: gone from the line, and nothing held for him"
kill -9 $writer
end_sleepers
free "killed between open and write"

# The number that the killed one waited under is used again.
( : >"$pci/$device/driver_override" ) & wait $!
free "written nothing"

# In the write: the kernel goes on, and so does the lock.
dmesg -c >/dev/null
slow remove_ms 5000
( echo 1 >"$pci/$device/remove" ) &
writer=$!
wait_until 30 begun || fail "nothing began"
kill -9 $writer
held "killed in the write"
pcictl guard --status | grep -q 'is inside' || fail "not inside: $(pcictl guard --status)"
kill -9 "$guard"
wait "$guard"
held "killed in the write, and the guard killed"
guarded --wait 100
held "killed in the write, and another guard"
gone() { [ ! -e "$pci/$device" ]; }
wait_until 60 gone || fail "it was not removed"
slow remove_ms 0
left() { ! inside; }
wait_until 30 left || fail "still inside: $(pcictl guard --status)"
note "killed in the write: held until the kernel was done, also while the guard was killed"
echo 1 >/sys/bus/pci/rescan
free "after a rescan"

# What he has started has the open file.
sh -c "exec 9>$pci/$device/driver_override; sleep 600 & exit 0"
held "his child has the open file"
end_sleepers
free "and that ends"

# What comes while there is no guard: who opens it waits for the next one. The kernel brings it for a writer who was inside before.
drop "$device"
(
    exec 9>/sys/bus/pci/rescan
    : >/tmp/case/inside
    wait_until 60 [ -e /tmp/case/scan ]
    echo 1 >&9
) &
scanner=$!
wait_until 30 [ -e /tmp/case/inside ] || fail "the scanner is not inside: $(cat /tmp/case/guard)"
kill -9 "$guard"
wait "$guard"
: >/tmp/case/scan
wait $scanner
[ -e "$pci/$device" ] || fail "the scan brought nothing"
( echo 1 >"$pci/$device/remove" ) &
writer=$!
in_line() { grep -q fanotify "/proc/$writer/stack"; }
wait_until 5 in_line || fail "nobody kept a writer of what had come without a guard: $(cat "/proc/$writer/stack")"
[ -e "$pci/$device" ] || fail "it was removed"
guarded --wait 100
wait $writer
[ ! -e "$pci/$device" ] || fail "it was not removed: $(cat /tmp/case/guard)"
note "came while the guard was killed: marked all the same"
echo 1 >/sys/bus/pci/rescan
unguarded
same "$before" "$(functions)"
