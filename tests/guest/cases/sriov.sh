# VFs are created, changed and taken away under the locks: drivers are kept from them while they are created and then get
# them side by side, those that are used are not taken away, and what was switched for it is as it was. recover goes on
# where everything was killed.
# topology: iommu
# kernels: all
# timeout: 300
before=$(functions)
pf=$(of_kind nvme)
edu=$(of_kind edu)
autoprobe=$pci/$pf/sriov_drivers_autoprobe

vf() {
    basename "$(readlink "$pci/$pf/virtfn$1")"
}
# has COUNT DRIVER SWITCH: so many VFs, each with that driver (- is none), and the switch so.
has() {
    count=0
    for link in "$pci/$pf"/virtfn*; do
        [ -e "$link" ] || continue
        count=$((count + 1))
        driver=$(readlink "$link/driver")
        driver=${driver##*/}
        same "$2" "${driver:--}"
    done
    same "$1" "$count"
    same "$3" "$(cat "$autoprobe")"
}

# What cannot be.
expect_status 0 pcictl sriov "$pf"
contains "$out" "$pf: 0 of 4 VFs, driver nvme, autoprobe on"
for count in 5 65535; do
    expect_status 2 pcictl sriov "$pf" "$count"
    contains "$err" 'can have 4 VFs at most'
done
for count in -1 65536 two; do
    expect_status 2 pcictl sriov "$pf" "$count"
done
expect_status 1 pcictl sriov --driver nosuch "$pf" 1
contains "$err" 'driver nosuch is not loaded; nothing was changed'
expect_status 1 pcictl sriov "$edu" 1
contains "$err" 'cannot have virtual functions'
expect_status 0 pcictl unbind "$pf"
expect_status 4 pcictl sriov "$pf" 1
contains "$err" "pcictl bind $pf"
# A driver that can do without VFs, but not with them: there are as few as before.
expect_status 0 pcictl override "$pf" pci-stub
expect_status 1 pcictl sriov --json "$pf" 1
contains "$out" '"kind": "unsupported"'
contains "$out" "create 1 VF of $pf: its driver pci-stub does not support that"
has 0 - 1
expect_status 0 pcictl status
expect_status 0 pcictl override --clear "$pf"
expect_status 0 pcictl sriov --off "$pf"
contains "$out" 'nothing to do'
same "$before" "$(functions)"

# Created, looked at, changed, and nothing to do.
expect_status 0 pcictl sriov --driver pci-stub "$pf" 3
contains "$out" "3 VFs (was 0)"
has 3 pci-stub 1
expect_status 0 pcictl sriov "$pf"
contains "$out" "$(vf 2)  pci-stub  pci-stub"
expect_status 0 pcictl sriov "$pf" 3
contains "$out" 'nothing to do'
expect_status 2 pcictl sriov "$(vf 0)"
contains "$err" "pcictl sriov $pf"
expect_status 0 pcictl sriov --driver vfio-pci "$pf" 2
has 2 vfio-pci 1
# So many already, and another driver.
expect_status 0 pcictl sriov --driver pci-stub "$pf" 2
has 2 pci-stub 1
expect_status 0 pcictl sriov --driver vfio-pci "$pf" 2
has 2 vfio-pci 1

# One is used.
used=$(vf 1)
group=$(basename "$(readlink "$pci/$used/iommu_group")")
in_background hold vfio "/dev/vfio/$group" "$used"
for change in --off 4; do
    expect_status 4 pcictl sriov "$pf" $change
    contains "$err" "pid $holder"
    contains "$err" '--force vfio'
done
has 2 vfio-pci 1
expect_status 0 pcictl sriov "$pf"
contains "$out" "hold[$holder]"
# The kernel waits for whoever has it.
expect_status 124 pcictl sriov --force vfio --timeout 2 --off "$pf"
let_go
wait_until 30 nobody_at_work || fail "it was not finished: $(stuck_tasks)"
has 0 - 1
expect_status 0 pcictl status

# Without drivers, while these are switched off.
expect_status 0 pcictl sriov --autoprobe off "$pf" 4
has 4 - 0
expect_status 0 pcictl sriov "$pf" 1
has 1 - 0
expect_status 0 pcictl sriov --driver pci-stub "$pf" 4
has 4 pci-stub 0
expect_status 0 pcictl sriov --autoprobe on "$pf"
has 4 pci-stub 1

# A driver that fails with each of them, or wants none: they are there, and what to do is told. Asked again it takes them.
for errno in 5 19; do
    count=$((errno == 5 ? 3 : 2))
    slow fail_probe $errno
    expect_status 5 pcictl sriov --driver slowpci_other "$pf" $count
    contains "$err" "has $count VFs, and $count of them no driver"
    has $count - 1
    expect_status 1 pcictl sriov --driver slowpci_other "$pf" $count
    contains "$err" 'nothing was changed'
    has $count - 1
    slow fail_probe 0
    expect_status 0 pcictl status
done
expect_status 0 pcictl sriov --driver slowpci_other "$pf" 2
has 2 slowpci_other 1

# Killed while the drivers of new ones are asked: recover goes on with them.
slow probe_ms 3000
dmesg -c >/dev/null
pcictl sriov --driver slowpci_other "$pf" 3 >/tmp/case/out 2>&1 &
pid=$!
are_probing() {
    [ "$(dmesg | grep -c 'slowpci.*probe begin')" = 3 ]
}
wait_until 60 are_probing || fail "not side by side: $(dmesg | tail) $(cat /tmp/case/out)"
# shellcheck disable=SC2046 # an argument each
kill -9 $pid $(pidof pcictl-write)
slow probe_ms 0
wait_until 30 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
expect_status 5 pcictl status
expect_status 0 pcictl recover
has 3 slowpci_other 1

# Killed before there are any: the old ones come back.
slow remove_ms 3000
dmesg -c >/dev/null
pcictl sriov --driver pci-stub "$pf" 2 >/tmp/case/out 2>&1 &
pid=$!
are_stopping() {
    [ "$(dmesg | grep -c 'slowpci.*remove begin')" = 3 ]
}
wait_until 60 are_stopping || fail "not side by side: $(dmesg | tail) $(cat /tmp/case/out)"
# shellcheck disable=SC2046 # an argument each
kill -9 $pid $(pidof pcictl-write)
slow remove_ms 0
wait_until 30 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
expect_status 0 pcictl recover
has 3 slowpci_other 1

expect_status 0 pcictl sriov --off "$pf"
has 0 - 1
expect_status 0 pcictl status
same "$before" "$(functions)"
