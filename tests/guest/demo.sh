# shellcheck shell=sh
# What tests/demo runs inside the second guest.
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh
# shellcheck source=tests/guest/demo-lib.sh
. /rig/demo-lib.sh

# timed COMMAND...: hundredths of a second, in $took.
timed() {
    begun=$(now)
    "$@"
    took=$(($(now) - begun))
}
seconds() {
    echo "$(($1 / 100)).$(($1 % 100 / 10)) s"
}

port=$(parent_of "$switch")
endpoint=$(of_kind edu | nth 1)
functions >/tmp/before

say "The second machine, the same as the first. Each of the eight devices has a driver that takes a second to stop, as those" \
    "of GPUs and network cards do."

say "What remove would do, in order, with the locks it would hold. It touches nothing."
show pcictl remove --dry-run "$switch"

say "The usual way: one write to sysfs. One driver stops after the other, and the kernel's global lock is held throughout."
slow remove_ms 1000
echo "\$ time echo 1 > /sys/bus/pci/devices/$switch/remove"
timed drop "$switch"
raw=$took
echo "  $(seconds "$raw")"
slow remove_ms 0
scan "$port"

say "The same with pcictl: it stops the drivers side by side, from the bottom up, before it asks the kernel to remove." \
    "Meanwhile a second operator wants one of the devices, and learns who has it."
slow remove_ms 1000
(
    sleep 0.9
    echo "    (second operator)\$ pcictl remove --no-wait $endpoint"
    status=0
    pcictl remove --no-wait "$endpoint" 2>&1 | sed 's/^/    /'
) &
timed show pcictl remove "$switch"
ours=$took
wait
slow remove_ms 0
show pcictl tree

say "And back. The bridge above scans just the bus below it, and pcictl waits until the drivers are there."
show pcictl rescan "$port"
show pcictl tree

say "Scripts that nobody will change: with the guard running, raw writes wait for their turn, too. What hung the first" \
    "machine, once more: four loops of echo 1 > rescan below the switch, and an echo 1 > remove above them."
echo "\$ pcictl guard --stop-first &"
pcictl guard --stop-first 2>/tmp/guard &
guard=$!
wait_until 60 grep -q guarding /tmp/guard || fail "no guard: $(cat /tmp/guard)"
for device in $(of_kind edu | head -n 4); do
    for _ in 1 2 3 4 5; do [ ! -e "$pci/$device" ] || scan "$device"; done 2>/dev/null &
    loops="${loops-} $!"
done
echo "\$ echo 1 > /sys/bus/pci/devices/$switch/remove"
drop "$switch"
# shellcheck disable=SC2086 # a process each
wait $loops
show pcictl guard --status
scan "$port"
kill $guard
wait $guard
show pcictl doctor

functions >/tmp/after
if cmp -s /tmp/before /tmp/after; then
    say "Each function is back, with its driver. echo took $(seconds "$raw"), pcictl $(seconds "$ours")."
else
    say "NOT the same as before:"
    diff /tmp/before /tmp/after
    exit 1
fi
