# VFs that were taken away for a removal that then fails come back: as many, each with the driver override and the driver
# that it had, and sriov_drivers_autoprobe as it was, off or on. So they do when somebody interrupts, when a driver is bound
# before the removal, and when all of pcictl is killed and `recover` undoes it. The ledger keeps nothing of it. An override
# that waits for the next driver keeps its place, and the present driver out of nothing.
# topology: iommu
# kernels: any
# timeout: 240
untouched=$(functions)
pf=$(of_kind nvme)
edu=$(of_kind edu)
autoprobe=$pci/$pf/sriov_drivers_autoprobe

vf() {
    basename "$(readlink "$pci/$pf/virtfn$1")"
}
# vfs: that switch, and each VF and the other device with its override and its driver.
vfs() {
    echo "autoprobe $(cat "$autoprobe")"
    for function in $(for link in "$pci/$pf"/virtfn*; do readlink "$link"; done) "$edu"; do
        function=${function##*/}
        driver=$(readlink "$pci/$function/driver")
        echo "$function override $(cat "$pci/$function/driver_override") driver ${driver##*/}"
    done
}
ledger() {
    find /var/lib/pcictl/ledger /var/lib/pcictl/operations -maxdepth 1 -name '*.json' 2>/dev/null
}
# The VFs are gone and their PF is stopped, and the other device is still stopping, which holds the removal up.
is_half_way() {
    [ ! -e "$pci/$pf/driver" ] && [ ! -e "$pci/$pf/virtfn0" ] && dmesg | grep -q "$edu: remove begin"
}
begin() {
    before=$(vfs) kept=$(ledger) functions_before=$(functions)
    dmesg -c >/dev/null
    slow remove_ms 600000
    pcictl remove "$pf" "$edu" >/tmp/case/out 2>&1 &
    pid=$!
    wait_until 60 is_half_way || fail "not half-way: $(functions) $(cat /tmp/case/out)"
}
# all_is_back WHY
all_is_back() {
    [ "$before" = "$(vfs)" ] || fail "$1:
$before
and then
$(vfs)
$(cat /tmp/case/out)"
    same "$functions_before" "$(functions)"
    expect_status 0 pcictl status
    same "nothing is under way, interrupted or removed" "$out"
    same "$kept" "$(ledger)"
}
ends_with() {
    got=0
    wait $pid || got=$?
    [ "$got" = "$1" ] || fail "ended with $got, not $1: $(cat /tmp/case/out)"
}
interrupted() {
    begin
    kill -TERM $pid
    wait_until 30 grep -q 'interrupt again to detach' /tmp/case/out || fail "unheard: $(cat /tmp/case/out)"
    slow remove_ms 0
    ends_with 130
    all_is_back interrupted
}

echo 0 >"$autoprobe"
echo 4 >"$pci/$pf/sriov_numvfs"
give "$(vf 0)" vfio-pci
give "$(vf 1)" pci-stub
# Nobody has this one, and the other device will have another driver when it is bound next.
echo vfio-pci >"$pci/$(vf 2)/driver_override"
echo slowpci_other >"$pci/$edu/driver_override"
contains "$(vfs)" 'override vfio-pci driver vfio-pci'
contains "$(vfs)" 'override pci-stub driver pci-stub'
interrupted
# With it on, a driver would take the fourth one, which has none.
echo 1 >"$autoprobe"
interrupted
note "$(tail -n 1 /tmp/case/out)"

# As udev or driverctl would.
begin
echo "$pf" >/sys/bus/pci/drivers/nvme/bind
slow remove_ms 0
ends_with 1
contains "$(cat /tmp/case/out)" "driver nvme was bound to it while it was being removed"
all_is_back 'bound meanwhile'

begin
# shellcheck disable=SC2046 # an argument each
kill -9 $pid $(pidof pcictl-write)
slow remove_ms 0
wait_until 30 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
expect_status 5 pcictl status
expect_status 0 pcictl recover
contains "$out" undone
all_is_back killed

echo 0 >"$pci/$pf/sriov_numvfs"
echo >"$pci/$edu/driver_override"
same "$untouched" "$(functions)"
