# A reset of a bridge resets all below it, and the kernel sets up nothing of that again: pcictl refuses it, and replug --reset brings
# all back at work. Nothing is scanned over what a raw reset leaves behind, and a replug repairs it.
# topology: pull
# kernels: all
before=$(functions)
upstream=$(of_kind upstream)
port=$(parent_of "$upstream")
drive=
for candidate in $(of_kind nvme); do
    case $(readlink -f "$pci/$candidate") in *"/$upstream/"*) drive=$candidate ;; esac
done
[ -n "$drive" ] || fail "no drive below $upstream: $before"
note "drive $drive, switch $upstream, port $port"
at_work() {
    [ "$(cat "$pci/$drive"/nvme/nvme*/state)" = live ]
}

scan_all() {
    echo 1 >/sys/bus/pci/rescan
}

for bridge in $upstream $(parent_of "$drive"); do
    [ -e "$pci/$bridge/reset" ] || continue
    resets="${resets-} $bridge"
    expect_status 1 pcictl reset --json "$bridge"
    contains "$out" '"kind": "unsupported"'
    expect_status 1 pcictl reset --keep-driver "$bridge"
    contains "$err" "$bridge: is a bridge; its reset would also reset "
    contains "$err" "pcictl replug --reset $bridge"
    expect_status 0 pcictl reset --list "$bridge"
    contains "$out" "each hits what is below it, too: "
    same "$before" "$(functions)"
done
[ -n "${resets-}" ] || fail "no bridge can be reset: $before"
at_work || fail 'the drive was hit'

# With all that is below it.
for bridge in $resets; do
    expect_status 0 pcictl replug --reset "$bridge" --settle 20
    same "$before" "$(functions)"
    wait_until 20 at_work || fail "the drive is not at work: $(dmesg | tail -n 20)"
done

# As others do it: the drive has lost its addresses, whatever sysfs says, and only when it comes anew it has some.
echo "$drive" >"$pci/$drive/driver/unbind"
echo 1 >"$pci/$upstream/reset" || fail 'no reset'
# On 5.10 and 6.1 the driver takes it, finds out later, and lets go of it.
echo "$drive" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null
without_driver() {
    [ ! -e "$pci/$drive/driver" ]
}
wait_until 30 without_driver || fail 'the drive took no harm: this refusal is not needed'
# A scan would give the ports below the switch other buses beside those that the kernel has: none is made until they have gone.
for what in --all "$upstream"; do
    expect_status 4 pcictl rescan "$what"
    contains "$err" "lost the number of the bus below it in a reset"
done
# Nor does the guard let anybody.
guarded --wait 100
! scan_all 2>/tmp/case/err || fail "a raw scan got through: $(cat /tmp/case/guard)"
guard_says "lost the number of the bus below it in a reset"
guard_says " brings back what is there"
unguarded
expect_status 1 pcictl doctor
contains "$out" "lost the number of the bus below it in a reset"
expect_status 4 pcictl replug "$(parent_of "$drive")"
# shellcheck disable=SC2046 # a word each
set -- $(echo "$err" | sed -n 's/^hint: pcictl \(replug .*\) brings back what is there$/\1/p')
[ $# -gt 2 ] || fail "no hint: $err"
expect_status 0 pcictl "$@" --settle 20
expect_status 0 pcictl rescan --all
[ "$(cat "$pci/$drive/driver_override" 2>/dev/null)" = '(null)' ] || fail 'an override'
pcictl bind "$drive" >/dev/null 2>&1
same "$before" "$(functions)"
wait_until 20 at_work || fail "the drive is not at work: $(dmesg | tail -n 20)"
