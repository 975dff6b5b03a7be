# `pcictl wait` hears of what others do: a removal, a rescan, a driver that is bound. A driver that is still probing has
# not bound, and one whose probe failed is named. It waits for no lock.
# topology: switch8
# kernels: all
# timeout: 120
device=$(of_kind edu | nth 1)
neighbor=$(of_kind edu | nth 2)

# waiter NAME OPTION...: start one that says what it waits for, and return when it has looked.
waiter() {
    name=$1
    shift
    pcictl wait -v --timeout 90 "$@" "$device" >"/tmp/case/$name.out" 2>"/tmp/case/$name.err" &
    eval "waiter_$name=\$!"
    wait_until 30 grep -q 'waiting for' "/tmp/case/$name.err" || fail "$name does not wait: $(cat "/tmp/case/$name.err")"
}
# met NAME LINE: it ends with 0 and that line.
met() {
    eval "wait \$waiter_$1" || fail "$1 ended with $?: $(cat "/tmp/case/$1.err")"
    same "$2" "$(cat "/tmp/case/$1.out")"
}

expect_status 0 pcictl wait "$device"
same "$device: there" "$out"
expect_status 0 pcictl wait --ready --timeout 0 "$device" "$neighbor"
same "$device: ready (slowpci)
$neighbor: ready (slowpci)" "$out"
expect_status 124 pcictl wait --gone --timeout 0.2 "$device"
same "pcictl: timed out after 0.2 s: $device: still there" "$err"

waiter gone --gone
expect_status 0 pcictl remove "$device"
met gone "$device: gone"
expect_status 124 pcictl wait --timeout 0 "$device"
same "pcictl: $device: not there" "$err"

# While the probe of a scan lasts, the function is there and its driver's link is, too.
waiter there
waiter ready --ready
waiter driver --driver slowpci
slow probe_ms 2000
expect_status 0 pcictl rescan "$device"
slow probe_ms 0
met there "$device: there"
met ready "$device: ready (slowpci)"
met driver "$device: bound to slowpci"
contains "$(cat /tmp/case/ready.err)" "$device: slowpci is still probing"

# Of a function that was there, nobody hears but by its `bind` event.
give "$device" slowpci_other
slow probe_ms 2000
waiter back --driver slowpci
contains "$(cat /tmp/case/back.err)" "$device: bound to slowpci_other, not slowpci"
give "$device" ''
slow probe_ms 0
met back "$device: bound to slowpci"
contains "$(cat /tmp/case/back.err)" "$device: slowpci is still probing"

# A probe that fails is told with its reason, and the next one may do better.
echo "$device" >"$pci/$device/driver/unbind"
waiter failed --driver slowpci
slow fail_probe 5
echo "$device" >/sys/bus/pci/drivers/slowpci/bind 2>/dev/null
wait_until 30 grep -q "$device: no driver, its probe failed: I/O error" /tmp/case/failed.err || fail "$(cat /tmp/case/failed.err)"
slow fail_probe 0
echo "$device" >/sys/bus/pci/drivers/slowpci/bind
met failed "$device: bound to slowpci"

# Locks hold up nobody who waits, and a wait holds up no operator.
# shellcheck disable=SC2016
pcictl lock "$device" -- sh -c 'pcictl wait --driver slowpci --timeout 20 "$1" >/tmp/case/locked' - "$device" ||
    fail "under its lock: $?"
same "$device: bound to slowpci" "$(cat /tmp/case/locked)"
waiter other --gone
kill -TERM "$waiter_other"
got=0
wait "$waiter_other" || got=$?
[ "$got" = 130 ] || fail "interrupted, it ended with $got: $(cat /tmp/case/other.err)"
