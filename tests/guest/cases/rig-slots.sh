# The rig has slots: power off and on by raw writes, an empty one, one that cannot switch the power, and one below a switch.
# topology: slots
# kernels: any
before=$(functions)
slots=/sys/bus/pci/slots
same '1 2 3 4' "$(find "$slots" -mindepth 1 -maxdepth 1 | sed 's|.*/||' | sort | xargs)"
# state SLOT: power and adapter.
state() {
    cat "$slots/$1/power" "$slots/$1/adapter" | xargs
}
for slot in 1 3 4; do same "$slot: 1 1" "$slot: $(state $slot)"; done
same '0 0' "$(state 2)"
for slot in 1 2 3 4; do
    echo 2 >"$slots/$slot/attention" || fail "slot $slot cannot blink"
    same 2 "$(cat "$slots/$slot/attention")"
    echo 0 >"$slots/$slot/attention"
    [ ! -e "$slots/$slot/latch" ] || fail "slot $slot has a latch"
done

# There, and driven or not.
there() {
    [ -e "$pci/$1" ]
}
driven() {
    [ -e "$pci/$1/driver" ]
}
# switch_off SLOT: its card is gone.
switch_off() {
    card=$(cat "$slots/$1/address").0
    there "$card" || fail "no $card in slot $1: $before"
    echo 0 >"$slots/$1/power" || fail "slot $1 does not go off: $(dmesg | tail)"
    ! there "$card" || fail "$card is still there"
    note "slot $1 off: $(state "$1")"
}
# put_in KIND SLOT: as a hand does, after QEMU took the card away; pciehp then switches it on by itself.
put_in() {
    answer=$(monitor device_add "$1,id=new$2,bus=slot$2")
    [ -z "$answer" ] || fail "device_add: $answer"
}
switch_off 1
echo 1 >"$slots/1/power" 2>/tmp/case/error && fail 'an empty slot goes on'
note "an empty slot: $(cat /tmp/case/error)"
put_in edu 1
wait_until 60 driven "$card" || fail "no card in slot 1: $(dmesg | tail)"
same '1 1' "$(state 1)"

switch_off 3
echo 1 >"$slots/3/power" || fail "slot 3 does not go on: $(dmesg | tail)"
wait_until 60 driven "$card" || fail "no card in slot 3: $(dmesg | tail)"
same '1 1' "$(state 3)"

switch_off 4
put_in nvme,serial=drive 4
wait_until 60 driven "$card" || fail "no card in slot 4: $(dmesg | tail)"
same "$before" "$(functions)"
