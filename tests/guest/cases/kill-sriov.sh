# Whatever kills a change of the number of VFs wherever, `recover` ends it in one of two states: the VFs that there were, each
# with the driver and the override that it had, or those that were asked for; and drivers are asked for new ones as before. Where
# only the writer is killed, pcictl itself goes on, and names each VF that has no driver for that.
# topology: sriov
# kernels: 6.12
# run: named
# timeout: 3600
before=$(functions)
pf=$(of_kind nvme)
autoprobe=$pci/$pf/sriov_drivers_autoprobe

# state: each VF with its driver and override, and whether drivers are asked for new ones.
state() {
    for link in "$pci/$pf"/virtfn*; do
        [ -e "$link" ] || continue
        driver=$(readlink "$link/driver") || driver=none
        echo "$(basename "$(readlink "$link")") ${driver##*/} $(cat "$link/driver_override")"
    done
    echo "autoprobe $(cat "$autoprobe")"
}
# make COUNT: so many by raw writes, each of them with pci-stub by its override.
make() {
    echo 0 >"$pci/$pf/sriov_numvfs"
    # Emulated VFs of a drive do not get ready by themselves, so the drive's driver must not have them.
    echo 0 >"$autoprobe"
    echo "$1" >"$pci/$pf/sriov_numvfs"
    for link in "$pci/$pf"/virtfn*; do
        [ ! -e "$link" ] || give "$(basename "$(readlink "$link")")" pci-stub
    done
    echo 1 >"$autoprobe"
}
# shellcheck disable=SC2317 # survives_kills calls it
from_end() {
    is=$(state)
    [ "$is" != "$start" ] || return 0
    [ "$is" = "$planned" ] || told_by_pcictl || fail "$where: neither as before nor as planned: $is
$(cat /tmp/case/out /tmp/case/status /tmp/case/recover)"
    make "$old"
    same "$start" "$(state)"
}
# told_by_pcictl: all are there, and those that lack their driver are named by a pcictl that outlived its writer.
told_by_pcictl() {
    lacking=$(echo "$is" | awk '$2 == "none" { print $1 }' | xargs | sed 's/ /, /g')
    [ "$who" = writer ] && [ "$(echo "$is" | wc -l)" = $((new + 1)) ] && [ "$(cat "$autoprobe")" = 1 ] &&
        grep -q "has $new VFs\{0,1\}, and [0-9]* of them no driver: $lacking;" /tmp/case/out && told=$((told + 1))
}
# survives OLD NEW OPTION...: the change from so many to so many.
survives() {
    old=$1 new=$2
    shift 2
    note "from $old to $new"
    told=0
    make "$new"
    planned=$(state)
    make "$old"
    start=$(state)
    survives_kills "$pf" : pcictl sriov --settle 0 "$@" "$pf" "$new"
    note "told $told times by pcictl itself that a VF has no driver"
    same "$start" "$(state)"
}
survives 0 1 --driver pci-stub
[ "$undone" -gt 0 ] || fail 'nothing was ever undone'
[ "$completed" -gt 0 ] || fail 'nothing was ever completed'
survives 1 0
[ "$undone" -gt 0 ] || fail 'nothing was ever undone'
survives 1 2 --driver pci-stub
[ "$undone" -gt 0 ] || fail 'nothing was ever undone'
[ "$completed" -gt 0 ] || fail 'nothing was ever completed'
make 0
same "$before" "$(functions)"
