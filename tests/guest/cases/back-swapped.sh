# A card is removed, pulled, and another one put into its slot: the rescan says what differs and gives 6, whether the other
# one is of the same kind (its serial number tells) or of another. An empty slot is told, too. What is found in another slot
# is the same card.
# topology: swap
# kernels: any
# timeout: 180
# boot: own
# allow: changed
card=$(of_kind nvme)
nic=$(functions | awk '$3 == "e1000e" { print $1 }')
mac=$(cat "$pci/$nic"/net/*/address)
gone() { ! monitor info qtree | grep -q "id \"$1\""; }
# pull CARD: and wait until it is out.
pull() {
    answer=$(monitor device_del "$1")
    [ -z "$answer" ] || fail "cannot pull $1: $answer"
    wait_until 30 gone "$1" || fail "$1 is still in its slot"
}
put() {
    answer=$(monitor device_add "$1")
    [ -z "$answer" ] || fail "cannot put in $1: $answer"
}

expect_status 0 pcictl remove "$card"
pull card1
expect_status 6 pcictl rescan "$card"
contains "$out" "! $card 1b36:0010: removed and not back"

put nvme,id=card3,bus=slot1,serial=another
expect_status 6 pcictl rescan --expect "$card" --settle 30 "$card"
contains "$out" "! $card NVMe serial number: first -> another"
expect_status 0 pcictl rescan --accept device "$card"

expect_status 0 pcictl remove "$card"
pull card3
put edu,id=card4,bus=slot1
expect_status 6 pcictl rescan --expect "$card" --settle 30 --restore "$card"
contains "$out" "! $card ids: 1b36:0010 -> 1234:11e8"
contains "$out" "! $card driver: nvme -> slowpci"
case $out in *'put back'*) fail "another card was given the settings of the old one: $out" ;; esac
expect_status 0 pcictl rescan --accept device,driver,names,bars,link "$card"

# The card moves to another slot.
expect_status 0 pcictl remove "$nic"
pull card2
put e1000e,id=card5,bus=slot3,netdev=net2,mac="$mac"
expect_status 6 pcictl rescan --settle 30 --expect driver=e1000e pci0000:00
contains "$out" 'place: '
