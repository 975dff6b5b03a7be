# The kernel itself removes cards, whenever a hand pulls one, while four operators work with pcictl at the same cards, at the
# switch above them and at their slots, and two only look. The kernel stays healthy, no operation ends in a way that is not
# its own, and in the end every card is back. /rig/storm says how many cards are pulled.
# topology: pull pull-pciehp
# kernels: all
# append: slub_debug=FPZU
# run: named
# timeout: 3000
before=$(functions)
pulls=$(cat /rig/storm)
upstream=$(of_kind upstream)
port=$(parent_of "$upstream")
cards=$({ of_kind edu; of_kind nvme; } | sort)
slots=$(ls /sys/bus/pci/slots)
# Where ACPI tells of the cards, no bridge two above one is removed: the kernel hangs by itself (raw-surprise-deadlock), if
# seldom, since pcictl has the drivers stopped by then.
if ls -d /sys/bus/pci_express/drivers/pciehp/*:pcie* >/dev/null 2>&1; then
    above="$upstream $port"
else
    above=$(for card in $cards; do parent_of "$card"; done)
fi
note "cards $(echo "$cards" | xargs), above $(echo "$above" | xargs), slots $(echo "$slots" | xargs)"

# one: an operation of that operator.
one() {
    next
    # shellcheck disable=SC2086 # a word each
    card=$(any $cards)
    # shellcheck disable=SC2086
    slot=$(any $slots)
    # shellcheck disable=SC2086
    bridge=$(any $above)
    case $((seed / 4096 % 12)) in
    0 | 1) set -- remove --if-present "$card" ;;
    2) set -- remove --if-present "$bridge" ;;
    3 | 4) set -- rescan --settle 0 "$(any "$card" "$bridge")" ;;
    5) set -- rescan --settle 0 --all ;;
    6) set -- replug --settle 0 "$(any "$card" "$bridge")" ;;
    7) set -- unbind "$card" ;;
    8) set -- bind "$card" ;;
    9) set -- reset "$card" ;;
    10) set -- slot off "$slot" ;;
    11) set -- slot on "$slot" --settle 0 ;;
    esac
    operate "$@" --wait 100
}
operator() {
    name=$1 seed=$2 count=0
    until [ -e /tmp/case/enough ]; do
        count=$((count + 1))
        one
    done
    : >"/tmp/case/left.$name"
}
reader() {
    until [ -e /tmp/case/enough ]; do
        for what in list tree "show $upstream" status locks; do
            status=0
            # shellcheck disable=SC2086 # words
            pcictl $what >"/tmp/case/out.$1" 2>&1 || status=$?
            case $status in 0 | 3 | 5) ;; *) echo "$status $what: $(one_line 300 <"/tmp/case/out.$1")" >>/tmp/case/readers ;; esac
        done
    done
    : >"/tmp/case/left.$1"
}
for name in one two three four; do
    operator "$name" "$((${#name} * 7919 + $(printf %d "'$name")))" &
done
reader five &
reader six &

# in_slot N: QEMU has a card there.
in_slot() {
    [ "$(monitor qom-get "/machine/peripheral/card$1" realized)" = true ]
}
not_in_slot() {
    ! in_slot "$1"
}
# put N: the card into its slot.
put() {
    case $1 in
    1 | 3) set -- "$1" edu ;;
    2) set -- "$1" nvme,serial=second ;;
    4) set -- "$1" nvme,serial=fourth ;;
    esac
    answer=$(monitor "device_add $2,id=card$1,bus=slot$1")
    [ -z "$answer" ] || fail "cannot put card $1 in: $answer"
}
# With pciehp five seconds go by until a card is out, so all that is in is pulled at the same time.
seed=4711 pulled=0 round=0
while [ "$pulled" -lt "$pulls" ]; do
    round=$((round + 1))
    [ "$round" -lt $((pulls * 4 + 100)) ] || fail "only $pulled cards came out: $(stuck_tasks)"
    for card in 1 2 3 4; do
        next
        [ $((seed / 65536 % 3)) -gt 0 ] || continue
        # It may be on its way out since the last round, or its slot may be off: that is told, and no matter.
        monitor "device_del card$card" >>/tmp/case/hand
        asked="${asked-} $card"
    done
    for card in ${asked-}; do
        wait_until 8 not_in_slot "$card" || continue
        pulled=$((pulled + 1))
        put "$card"
    done
    asked=
    # One operation at least for each.
    wait_until 300 raw_done "$pulled" || fail "stuck: $(stuck_tasks)"
    # No card comes out of a kernel that has lost its lock with a task.
    ! complaints >/tmp/case/complaints || fail "the kernel complains after $pulled cards"
done
: >/tmp/case/enough
all_left() {
    [ "$(echo /tmp/case/left.* | wc -w)" = 6 ]
}
wait_until 600 all_left || fail "somebody is stuck: $(stuck_tasks) $(ls /tmp/case)"
[ ! -e /tmp/case/readers ] || fail "a reader: $(cat /tmp/case/readers)"

cat /tmp/case/log.* >/tmp/case/log
note "$pulled cards pulled in $round rounds, $(wc -l </tmp/case/log) operations, $(grep -c 'waiting for' /tmp/case/log) waited; exit statuses: $(cut -d ' ' -f 1 /tmp/case/log | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
# 1: the slot is on or off already, the slot is empty, no driver takes it; 3: the card is not there; 4: its users.
bad=$(grep -vhE '^(0|1|3|4|5|6) ' /tmp/case/log) && fail "unexpected exit status: $bad"
note "ones: $(grep -hE '^1 ' /tmp/case/log | sed 's/^[^:]*: //; s/[0-9a-f]*:[0-9a-f][0-9a-f]:[0-9a-f.]*/X/g' | sort | uniq -c | sort -rn | head -n 12)"

# What a hand took is in again, what is switched off is switched on, what is gone comes back.
for card in 1 2 3 4; do in_slot "$card" || put "$card"; done
for slot in $slots; do pcictl slot on "$slot" --settle 0 >/dev/null 2>&1; done
wait_until 20 no_stuck_tasks || fail "stuck: $(stuck_tasks)"
expect_status 0 pcictl recover
everything_is_back() {
    pcictl rescan --all --settle 20 >/tmp/case/scan 2>&1
    for card in $cards; do
        [ -e "$pci/$card/driver" ] || pcictl bind "$card" >/tmp/case/out 2>&1
    done
    [ "$(functions)" = "$before" ]
}
wait_until 120 everything_is_back || {
    note "the last scan: $(one_line 600 </tmp/case/scan)"
    note "the doctor: $(pcictl doctor 2>&1 | one_line 600)"
    # Where each bridge leads to: the primary, secondary and last bus.
    for bridge in $above $upstream $port; do
        note "$bridge: $(od -An -tx1 -j24 -N3 "$pci/$bridge/config" | xargs), $(find "$pci/$bridge/" -maxdepth 1 -name '0000:*' | wc -l) below"
    done
    same "$before" "$(functions)"
}
contains "$(pcictl locks 2>&1)" "no lock is held"
# What differs from the ledger was meant so.
pcictl rescan --all --accept device,driver,names,bars,link >/tmp/case/out 2>&1 || fail "$(cat /tmp/case/out)"
expect_status 0 pcictl status
