# Slots of pciehp: switched off with what is in them and on again, refused while in use, empty, found by their lights.
# topology: slots
# kernels: all
# timeout: 300
before=$(functions)
slots=/sys/bus/pci/slots
in_slot() {
    echo "$(cat "$slots/$1/address").0"
}
there() {
    [ -e "$pci/$1" ]
}
driven() {
    [ -e "$pci/$1/driver" ]
}
# power SLOT: what pcictl says of it.
power() {
    pcictl slot show "$1" | sed -n 's/^  power *//p'
}
# put_in KIND SLOT: as a hand does, after QEMU took the card away; pciehp then switches it on by itself.
put_in() {
    answer=$(monitor device_add "$1,id=new$2,bus=slot$2")
    [ -z "$answer" ] || fail "device_add: $answer"
    wait_until 60 driven "$(in_slot "$2")" || fail "no card in slot $2: $(dmesg | tail)"
}

same '1 2 3 4' "$(pcictl slot list | sed '1d; s/ .*//' | sort | xargs)"
for slot in 1 3 4; do
    same on "$(power $slot)"
    contains "$(pcictl slot show "$(in_slot $slot)")" "slot $slot"
done
contains "$(pcictl slot show 2)" 'adapter     empty'
contains "$(pcictl slot show 2)" 'driver      pciehp'

# Found by its light, which is put back: after a while, at an interrupt, and by recover when pcictl is killed. Meanwhile nobody
# else is held up.
attention=$slots/2/attention
expect_status 0 pcictl slot identify 2
same 2 "$(cat $attention)"
expect_status 0 pcictl slot identify --off 2
same 0 "$(cat $attention)"
echo 1 >$attention
expect_status 0 pcictl slot identify --for 500ms 2
same 1 "$(cat $attention)"
blinks() {
    [ "$(cat $attention)" = 2 ]
}
# blinking: a pcictl that has it blink, whose process id is in $pid.
blinking() {
    pcictl slot identify --for 1h 2 >/tmp/case/out 2>&1 &
    pid=$!
    wait_until 30 blinks || fail "it does not blink: $(cat /tmp/case/out)"
    # It has let go of its locks by the time it waits.
    wait_until 30 pcictl lock --no-wait "$(parent_port 2)" -- true || fail "identify holds a lock: $(pcictl locks)"
}
parent_port() {
    pcictl slot show "$1" | sed -n 's/^  port *//p'
}
blinking
contains "$(pcictl status)" identify
kill -TERM $pid
got=0
wait $pid || got=$?
same 130 "$got"
same 1 "$(cat $attention)"
blinking
kill -9 $pid
wait $pid 2>/dev/null
blinks || fail 'it was put back by nobody'
expect_status 5 pcictl status
expect_status 0 pcictl recover
contains "$out" undone
same 1 "$(cat $attention)"
expect_status 0 pcictl status

# In use: a process has the registers of the card in slot 1 mapped.
card=$(in_slot 1)
in_background hold map "$pci/$card/resource0"
expect_status 4 pcictl slot off 1
contains "$err" "$holder"
contains "$err" '--force open'
same "$before" "$(functions)"
same on "$(power 1)"
let_go

# A port that cannot switch the power: what is in its slot goes and comes all the same, with its driver and as it was.
card=$(in_slot 3)
expect_status 0 pcictl slot off 3
contains "$err" 'still says that it has power'
there "$card" && fail "$card is still there"
contains "$(pcictl status)" "$card"
expect_status 0 pcictl slot off 3
contains "$out" 'is off already'
expect_status 0 pcictl slot on --settle 20 3
contains "$out" '1 as before'
driven "$card" || fail "$card has no driver: $out"
expect_status 0 pcictl slot on 3
contains "$out" 'is on already'
same 'nothing is under way, interrupted or removed' "$(pcictl status)"
same "$before" "$(functions)"

# The driver fails with what comes back, or does not want it (of which the kernel says nothing): told, and once it has it
# again nothing is left over.
for errno in 5 19; do
    expect_status 0 pcictl slot off 3
    slow fail_probe $errno
    expect_status 6 pcictl slot on --settle 1 3
    contains "$out" "! $card driver: slowpci -> none ("
    [ $errno != 5 ] || contains "$out" 'its probe failed: I/O error'
    slow fail_probe 0
    expect_status 0 pcictl bind "$card"
    expect_status 0 pcictl rescan "$card"
    same 'nothing is under way, interrupted or removed' "$(pcictl status)"
done
# One that had no driver.
expect_status 0 pcictl unbind "$card"
expect_status 0 pcictl slot off 3
expect_status 0 pcictl slot on --settle 20 3
contains "$out" '(slowpci)'
same "$before" "$(functions)"

# No such slot, and a device in none.
for what in nosuch "$(of_kind upstream)"; do
    for switch in off on; do
        expect_status 3 pcictl slot $switch "$what"
        contains "$err" 'pcictl slot list'
    done
done

# Nothing in it: the kernel does not switch it on, and pcictl says so.
expect_status 1 pcictl slot on 2
contains "$err" 'nothing answers in it'
expect_status 0 pcictl slot off 2
contains "$out" 'is off already'

# The power goes, and with it, here, the card; a hand puts it in again.
for slot in 1 4; do
    card=$(in_slot $slot)
    expect_status 0 pcictl slot off "$card"
    there "$card" && fail "$card is still there"
    note "slot $slot off: $out"
    same off "$(power $slot)"
    expect_status 1 pcictl slot on $slot
    contains "$err" 'nothing answers in it'
done
put_in edu 1
put_in nvme,serial=drive 4
for slot in 1 4; do
    expect_status 0 pcictl slot on $slot
    contains "$out" 'is on already'
    expect_status 0 pcictl rescan --settle 20 "slot:$slot"
done
same 'nothing is under way, interrupted or removed' "$(pcictl status)"
same "$before" "$(functions)"
