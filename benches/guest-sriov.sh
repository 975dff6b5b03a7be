# shellcheck shell=sh
# Inside the guest of ./guest: what it takes to have 64 virtual functions with a driver that probes for half a second, by
# echo and by pcictl, and for how long others wait meanwhile.
set -u
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh

pf=$(of_kind nvme)
far_edu=$(of_kind edu | tail -n 1)
far=$(parent_of "$far_edu")
total=$(cat "$pci/$pf/sriov_totalvfs")
probe_ms=500
all=$(functions)

# clock: sets $at to hundredths of a second since boot, without starting a process.
clock() {
    read -r at _ </proc/uptime
    at=${at%.*}${at#*.}
}

# watch FILE COMMAND...: do that over and over, and keep the longest time it took.
watch() {
    longest=0
    file=$1
    shift
    while [ ! -e /tmp/enough ]; do
        clock
        from=$at
        "$@" >/dev/null 2>&1
        clock
        [ $((at - from)) -le "$longest" ] || longest=$((at - from))
    done
    echo "$longest" >"$file"
}

# timed TITLE WATCHED COMMAND...: while the other host bridge's port is rescanned by WATCHED.
timed() {
    title=$1 watched=$2
    shift 2
    rm -f /tmp/enough /tmp/waited
    slow probe_ms 0
    # shellcheck disable=SC2086 # a command and its arguments
    watch /tmp/waited $watched &
    watcher=$!
    sleep 0.3
    slow probe_ms "$probe_ms"
    clock
    from=$at
    "$@" >/tmp/timed.out 2>&1 || echo "FAILED: $*: $(cat /tmp/timed.out)"
    clock
    took=$((at - from))
    # Those who wait are heard to the end.
    : >/tmp/enough
    wait "$watcher"
    slow probe_ms 0
    bound=$(functions | grep -c slowpci_other)
    [ "$bound" = "$total" ] || [ "$title" = nothing ] || echo "FAILED: $bound of $total have their driver"
    echo "$title: $((took * 10)) ms, an unrelated ${watched%% *} waited $(($(cat /tmp/waited) * 10)) ms"
}

none() {
    pcictl sriov --off "$pf" >/dev/null || echo "FAILED: VFs stay"
}

# What an operator does who has no tool: the number, then for each VF the override and the probe.
by_hand() {
    echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
    echo "$total" >"$pci/$pf/sriov_numvfs"
    for vf in "$pci/$pf"/virtfn*; do
        echo slowpci_other >"$vf/driver_override"
        vf=$(readlink "$vf")
        echo "${vf##*/}" >/sys/bus/pci/drivers_probe
    done
    echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
}

# The same by the kernel itself, which probes while it creates: the driver takes them by their ids.
by_kernel() {
    echo "$total" >"$pci/$pf/sriov_numvfs"
}

# An emulator translates each program when it first runs, which on a processor takes no time.
pcictl rescan "$far" >/dev/null || echo "FAILED: to rescan $far"
pcictl sriov --driver slowpci_other "$pf" 2 >/dev/null || echo "FAILED: two VFs"
none

timed nothing "scan $far_edu" sleep 1
timed nothing "pcictl rescan $far" sleep 1
timed "$total x $probe_ms ms, echo, one after the other" "scan $far_edu" by_hand
none
timed "$total x $probe_ms ms, pcictl" "scan $far_edu" pcictl sriov --driver slowpci_other "$pf" "$total"
none
timed "$total x $probe_ms ms, pcictl" "pcictl rescan $far" pcictl sriov --driver slowpci_other "$pf" "$total"
none
timed "$total x $probe_ms ms, pcictl --jobs 8" "scan $far_edu" pcictl sriov --jobs 8 --driver slowpci_other "$pf" "$total"
none
[ "$(functions)" = "$all" ] || echo "FAILED: not as before"

# The drive's driver must not have VFs, so that it is away; another one that does nothing else makes them.
modprobe pci-pf-stub
give "$pf" pci-pf-stub
rmmod nvme
echo '1b36 0010' >/sys/bus/pci/drivers/slowpci_other/new_id
timed "$total x $probe_ms ms, echo, by the kernel" "scan $far_edu" by_kernel
echo 0 >"$pci/$pf/sriov_numvfs"
timed "$total x $probe_ms ms, pcictl, by ids" "scan $far_edu" pcictl sriov "$pf" "$total"
