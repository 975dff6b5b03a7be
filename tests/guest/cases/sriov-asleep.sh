# A physical function that its driver has put to sleep is awake while its virtual functions come and go, with whatever they come and
# go; it may sleep again afterwards, unless it is removed. The guard lets no raw write change them meanwhile. (Linux 5.10 warns of
# each region whenever one with virtual functions wakes, whoever wakes it: pci_iov_update_resource.)
# topology: igb
# kernels: 6.1 6.12 7.3
# append: slub_debug=FPZ
# timeout: 400
before=$(functions)
pf=$(of_kind igb | nth 1)
monitor "set_link net1 off"
asleep() { [ "$(cat "$pci/$pf/power/runtime_status")" = suspended ]; }
# sleeps: it may, and does. With its interface up igb warns at each waking, of the routing lock that it does not take then.
sleeps() {
    ip link set "$(basename "$pci/$pf"/net/*)" down
    expect_status 0 pcictl power "$pf" --runtime auto
    wait_until 120 asleep || fail "it does not sleep: $(cat "$pci/$pf/power/runtime_status")"
}
# wakes: it does without harm, and what it has still works.
wakes() {
    echo on >"$pci/$pf/power/control"
    same active "$(cat "$pci/$pf/power/runtime_status")"
    same "$1" "$(cat "$pci/$pf/sriov_numvfs")"
}

sleeps
guarded --wait 100
(echo 2 >"$pci/$pf/sriov_numvfs") 2>/tmp/case/raw && fail "the guard let it"
guard_says "$pf: sleeps"
kill "$guard"
wait "$guard"
asleep || fail "it was woken"

expect_status 0 pcictl sriov -n "$pf" 2
contains "$out" "1  set power/control of $pf to on"
contains "$out" "would set power/control of $pf back to auto"
expect_status 0 pcictl sriov "$pf" 2
same auto "$(cat "$pci/$pf/power/control")"
wakes 2
sleeps
expect_status 0 pcictl sriov --off "$pf"
same auto "$(cat "$pci/$pf/power/control")"
wakes 0

expect_status 0 pcictl sriov "$pf" 2
sleeps
expect_status 0 pcictl unbind "$pf"
expect_status 0 pcictl bind "$pf"
wakes 0

expect_status 0 pcictl sriov "$pf" 2
sleeps
expect_status 0 pcictl remove --force vfs "$pf"
pcictl rescan --restore "$pf" >/tmp/case/out 2>&1 || [ $? = 6 ] || fail "$(cat /tmp/case/out)"
wakes 2
expect_status 0 pcictl sriov --off "$pf"
monitor "set_link net1 on"
same "$before" "$(functions)"
