# shellcheck shell=sh
# The end of the machine in the middle of an operation, and what is known of it after the next boot. Each of these ends the boot;
# the host looks at how, and runs the one that follows.
# shellcheck disable=SC2154,SC2317 # called by name, with what main sets
kept=/root/soak

# hangs SECONDS OPTION...: a removal whose driver will not be done for so long is under way, in a unit.
hangs() {
    seconds=$1
    shift
    mkdir -p $kept
    functions >$kept/before
    dmesg -c >/dev/null
    slow remove_ms "${seconds}000"
    systemd-run --quiet --unit=begun pcictl remove "$@" "$slow_one"
    wait_until 60 driver_stops || fail "the driver was never asked to stop: $(journalctl -u begun)"
    pcictl status --json | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | nth 1 >$kept/id
    [ -s $kept/id ] || fail "no operation: $(pcictl status)"
}
# goes_down VERB: tell the host, and have systemd do that.
goes_down() {
    sync
    touch /rig/down
    echo "@down $1"
    systemctl --no-block "$1"
    exec sleep infinity
}

# The machine is booted anew while a unit's operation is in the kernel, for longer than systemd gives the unit before it kills it.
reboot_unit() {
    hangs 150 --timeout 600
    goes_down reboot
}
# The power fails.
power_cut() {
    hangs 600 --timeout 600
    sync
    echo "@down cut"
    stty -F /dev/ttyS1 raw
    echo b >/proc/sysrq-trigger
    exec sleep infinity
}
# The machine is switched off while an operation goes on in the background, for longer than systemd waits for all of its own.
poweroff_scope() {
    hangs 300 --timeout 1
    wait_until 60 is_over begun || fail "begun is $(systemctl is-active begun)"
    scope=$(systemctl list-units --plain --no-legend 'pcictl-*.scope' | awk '{ print $1 }')
    [ -n "$scope" ] || fail "no scope: $(processes)"
    same 10s "$(systemctl show --property=TimeoutStopUSec --value "$scope")"
    goes_down poweroff
}

# cut_off: after any of them. What was under way is told, once, by the unit of the package and by status; recover closes it. The
# machine has found its devices by itself.
cut_off() {
    same "$(cat $kept/before)" "$(functions)"
    id=$(cat $kept/id)
    same failed "$(systemctl is-active pcictl-check)"
    journalctl --sync
    contains "$(journalctl --no-pager -b -u pcictl-check)" "$id"
    expect_status 5 pcictl status
    show "$out"
    contains "$out" "$id"
    contains "$out" 'cut off by a reboot'
    expect_status 1 pcictl doctor
    contains "$out" "operation $id was cut off by a reboot"
    expect_status 0 pcictl recover
    show "$out"
    contains "$out" "$id"
    contains "$out" 'cut off by a reboot'
    expect_status 0 pcictl status
    same 'nothing is under way, interrupted or removed' "$out"
    expect_status 0 systemctl restart pcictl-check
    same active "$(systemctl is-active pcictl-check)"
    # And it can be worked on.
    expect_status 0 pcictl replug "$slow_one"
    nothing_left
    expect_status 0 pcictl history --json
    contains "$out" "$id"
}
