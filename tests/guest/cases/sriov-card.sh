# The virtual functions of a network card get the driver that fits, the kernel tells their MACs, and both physical functions of the
# card may be told at once: they take their turns. An address on a VF's interface counts, one on the physical function's does
# not.
# topology: igb
# kernels: all 6.18
# timeout: 240
before=$(functions)
first=$(of_kind igb | nth 1)
second=$(of_kind igb | nth 2)

# vfs_of PF: each VF.
vfs_of() {
    for link in "$pci/$1"/virtfn*; do
        [ ! -e "$link" ] || basename "$(readlink "$link")"
    done
}
interface() {
    basename "$pci/$1"/net/*
}
# driven PF COUNT: so many, each with its driver.
driven() {
    same "$2" "$(vfs_of "$1" | wc -l)"
    for vf in $(vfs_of "$1"); do
        same igbvf "$(basename "$(readlink "$pci/$vf/driver")")"
    done
}

# Or else it answers no VF.
for pf in $first $second; do ip link set "$(interface "$pf")" up; done
expect_status 0 pcictl sriov "$first" 3
contains "$out" '3 VFs (was 0)'
driven "$first" 3
expect_status 0 pcictl sriov "$first"
contains "$out" '3 of 7 VFs, driver igb, autoprobe on'
# All zeros of those to which nobody has given one, as ip(8) shows them.
same 3 "$(echo "$out" | grep -c ' igbvf .* [0-9a-f:]\{17\}  ')"

# Both at once.
pcictl sriov "$second" 4 >/tmp/case/second 2>&1 &
pid=$!
expect_status 0 pcictl sriov "$(interface "$first")" 7
wait $pid || fail "the second one ended with $?: $(cat /tmp/case/second)"
driven "$first" 7
driven "$second" 4
expect_status 2 pcictl sriov driver:igb 2
contains "$err" "$first, $second"

vf=$(vfs_of "$first" | nth 7)
ip addr add 192.0.2.1/24 dev "$(interface "$vf")"
ip link set "$(interface "$vf")" up
expect_status 4 pcictl sriov "$first" 2
contains "$err" '192.0.2.1'
contains "$err" '--force network'
driven "$first" 7
expect_status 0 pcictl sriov --force network "$first" 2
driven "$first" 2

ip addr add 192.0.2.2/24 dev "$(interface "$first")"
expect_status 0 pcictl sriov --off "$first"
ip addr flush dev "$(interface "$first")"
expect_status 0 pcictl sriov --off "$second"
for pf in $first $second; do ip link set "$(interface "$pf")" down; done
expect_status 0 pcictl status
same "$before" "$(functions)"
