# VFs of a network card get the MACs that they are to have before their driver asks for one, and have them and what else the
# physical function keeps for them again when they are made again, be it by another number, by a removal or by a failure.
# topology: igb
# kernels: all 6.18
# timeout: 400
before=$(functions)
pf=$(of_kind igb | nth 1)

vf() {
    basename "$(readlink "$pci/$pf/virtfn$1")"
}
interface() {
    basename "$pci/$1"/net/*
}
# keeps VF WORDS...: what the kernel says that the physical function keeps for it.
keeps() {
    line=$(net vfs "$(interface "$pf")" | grep "^vf $1 ")
    shift
    for words in "$@"; do contains "$line" "$words"; done
}
# has VF MAC: what its own driver has made of it.
has() {
    has_mac "$pf" "$1" "$2"
}
a=02:00:00:00:00:0a b=02:00:00:00:00:0b c=02:00:00:00:00:0c

# set_up: or else it answers no VF; nor does it at the moment when its link comes.
set_up() {
    ip link set "$(interface "$pf")" up
    wait_until 60 has_link "$pf" || fail 'no link'
}
set_up
expect_status 0 pcictl sriov --mac "0=$a" --mac "2=$c" "$pf" 3
contains "$out" "$a"
keeps 0 "$a"
keeps 2 "$c"
has 0 "$a"
has 2 "$c"
same 1 "$(cat "$pci/$pf/sriov_drivers_autoprobe")"
expect_status 0 pcictl sriov -j "$pf"
contains "$out" "\"mac\": \"$c\""

# What is so already is not written; one alone is.
expect_status 0 pcictl sriov --mac "0=$a" "$pf"
contains "$out" 'nothing to do'
expect_status 0 pcictl sriov --mac "1=$b" "$pf"
keeps 1 "$b"
keeps 0 "$a"
# Its driver asks for it when it is bound.
expect_status 0 pcictl unbind "$(vf 1)"
expect_status 0 pcictl bind "$(vf 1)"
has 1 "$b"
ip addr add 192.0.2.1/24 dev "$(interface "$(vf 1)")"
ip link set "$(interface "$(vf 1)")" up
expect_status 4 pcictl sriov --mac "1=$a" "$pf"
contains "$err" '192.0.2.1'
keeps 1 "$b"
expect_status 0 pcictl sriov --mac "1=$b" "$pf"
ip addr flush dev "$(interface "$(vf 1)")"
ip link set "$(interface "$(vf 1)")" down

# What cannot be.
for bad in 0=00:00:00:00:00:00 0=01:00:00:00:00:01 0=02:00 3=$a; do
    expect_status 2 pcictl sriov --mac "$bad" "$pf"
done
expect_status 2 pcictl sriov --mac "0=$a,0=$b" "$pf"
contains "$err" 'VF 0 is named twice'
edu=$(of_kind edu | nth 1)
expect_status 1 pcictl sriov --mac "0=$a" "$edu"

# Another number, with all that was: the VLAN, trust, an override and a driver, too.
net vf "$(interface "$pf")" 0 vlan 5 2
# The driver of a VF that is trusted would have the physical function keep the MAC that it makes up while nobody answers.
net vf "$(interface "$pf")" 2 trust 1
net vf "$(interface "$pf")" 2 spoofchk 0
give "$(vf 2)" pci-stub
expect_status 0 pcictl sriov --restore "$pf" 4
restored() {
    keeps 0 "$a" 'vlan 5 qos 2'
    keeps 1 "$b"
    keeps 2 "$c" 'trust 1' 'spoofchk 0'
    same pci-stub "$(basename "$(readlink "$pci/$(vf 2)/driver")")"
    same pci-stub "$(cat "$pci/$(vf 2)/driver_override")"
}
restored
has 0 "$a"
has 1 "$b"
same igbvf "$(basename "$(readlink "$pci/$(vf 3)/driver")")"

# A removal, and all of it back.
expect_status 0 pcictl replug --restore "$pf"
contains "$out" "set the MAC of VF 0 of $pf to $a"
restored
expect_status 0 pcictl remove "$pf"
expect_status 6 pcictl rescan "$pf"
contains "$out" 'VFs: 4 -> 0'
# Without it they come as new ones, which is told.
echo 4 >"$pci/$pf/sriov_numvfs"
expect_status 6 pcictl rescan "$pf"
contains "$out" "MAC of VF $(vf 0): $a -> 00:00:00:00:00:00"
echo 0 >"$pci/$pf/sriov_numvfs"
set_up
expect_status 0 pcictl sriov --restore "$pf" 4
restored
has 0 "$a"
expect_status 0 pcictl rescan "$pf"

# A reset takes the VFs away and puts them back.
expect_status 0 pcictl reset "$pf"
restored

expect_status 0 pcictl sriov --off "$pf"
expect_status 1 pcictl sriov --restore "$pf" 2
contains "$err" 'nothing to restore'
ip link set "$(interface "$pf")" down
expect_status 0 pcictl status
same "$before" "$(functions)"
