# shellcheck shell=sh
# /rig/main of a guest with systemd: what becomes of an operation when the unit or the session that began it ends.
#
# A driver stops for as long as a case wants, so nothing here depends on time but the limits of what is waited for.
# shellcheck disable=SC2317 # the cases are called by name
set -u
# shellcheck source=tests/soak/cases.sh
. /rig/cases.sh
# shellcheck source=tests/soak/audit.sh
. /rig/audit.sh
device=$(of_kind edu | nth 1)
before=$(functions)
ours=/usr/bin/busctl

# replaced PROGRAM: pcictl meets this instead of busctl.
replaced() {
    mount --bind "$1" "$ours"
}

# all_moved: the report names a scope, everything that goes on is in it, and the unit or session that began it has none.
all_moved() {
    background=$(echo "$err" | sed -n 's/.*in the background (pid \([0-9]*\),.*/\1/p')
    contains "$err" "pcictl-$background.scope"
    running=$(processes)
    [ "$(echo "$running" | wc -l)" -ge 2 ] || fail "they are gone: $running"
    astray=$(echo "$running" | grep -v " 0::/system.slice/pcictl-$background.scope\$")
    [ -z "$astray" ] || fail "not moved: $astray"
    echo "$running" | grep -q "^$background pcictl " || fail "no background process: $running"
    expect_status 0 pcictl status
    contains "$out" "in the kernel's hands: unbind $device from slowpci"
    expect_status 75 pcictl remove --no-wait "$device"
}

# is_removed: once its driver is done the device is removed, and nothing is left over: no process, lock, or scope.
is_removed() {
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "it was not finished: $(processes) $(stuck_tasks)"
    [ ! -e "$pci/$device" ] || fail "the device is still there: $(pcictl status)"
    expect_status 0 pcictl status
    same "$device: removed and not back; pcictl rescan $device" "$out"
    nothing_left
    expect_status 0 pcictl rescan "$device"
    same "$before" "$(functions)"
}

# A unit, of either kind, is over as soon as its command is, and takes nothing with it.
unit() {
    for mode in control-group mixed; do
        slow remove_ms 60000
        expect_status 124 systemd-run --wait --collect --pipe --unit="$mode" -p "KillMode=$mode" -p TimeoutStopSec=1 \
            pcictl remove --timeout 1 "$device"
        is_over "$mode" || fail "$mode is $(systemctl is-active "$mode")"
        all_moved
        note "KillMode=$mode, unit $(systemctl is-active "$mode"): $(processes | tr '\n' ';')"
        is_removed
    done
}

# A session of one who may use sudo, where logind is told to kill what sessions leave behind.
session() {
    sessions_are_killed
    slow remove_ms 60000
    # The session is where its process is, and ends with it.
    expect_status 124 systemd-run --wait --collect --pipe -p PAMName=login -p User=alice \
        sh -c "cat /proc/self/cgroup; sudo /rig/pcictl remove --timeout 1 $device"
    contains "$out" session-
    session=$(echo "$out" | sed -n 's|.*/\(session-.*.scope\)|\1|p')
    wait_until 120 is_over "$session" || fail "the session goes on: $(systemctl status "$session")"
    all_moved
    note "$session over: $(processes | tr '\n' ';')"
    is_removed
}

# A scope that somebody kills.
scope() {
    slow remove_ms 60000
    expect_status 124 systemd-run --scope --unit=begun sh -c "/rig/pcictl remove --timeout 1 $device; exit \$?"
    systemctl kill --signal=KILL begun.scope 2>/dev/null
    all_moved
    is_removed
}

# Asked twice to stop: what is undone is undone in the scope. The driver is done just before systemd is asked, which takes
# longer than to begin a write that does not wait for it.
rolled_back() {
    cp "$ours" /run/busctl
    cat >/run/busctl-late <<'END'
#!/bin/sh
PATH=/usr/bin
echo 0 >/sys/module/slowpci/parameters/remove_ms
exec /run/busctl "$@"
END
    chmod +x /run/busctl-late
    replaced /run/busctl-late
    slow probe_ms 60000
    slow remove_ms 60000
    dmesg -c >/dev/null
    systemd-run --quiet --collect --unit=begun pcictl remove --timeout 300 "$device"
    wait_until 30 driver_stops || fail "the driver was never asked to stop: $(journalctl -u begun)"
    leader=$(systemctl show --property=MainPID --value begun)
    kill -INT "$leader"
    kill -TERM "$leader"
    wait_until 30 is_over begun || fail "it goes on: $(processes)"
    umount "$ours"
    wait_until 30 driver_starts || fail "it is not undone: $(processes)"
    note "undone by: $(processes | tr '\n' ';')"
    astray=$(processes | grep -v '/pcictl-[0-9]*.scope$')
    [ -z "$astray" ] || fail "not moved: $astray"
    slow probe_ms 0
    wait_until 60 nobody_at_work || fail "it was not finished: $(processes) $(stuck_tasks)"
    same "$before" "$(functions)"
    expect_status 0 pcictl status
    same 'nothing is under way, interrupted or removed' "$out"
    nothing_left
}
driver_stops() {
    dmesg | grep -q 'remove begin'
}
driver_starts() {
    dmesg | grep -q 'probe begin'
}

# Without a scope the unit takes the background process with it. The writer holds the locks until the kernel is done;
# then the operation is half done, and recover undoes it.
no_scope_killed() {
    replaced /bin/false
    slow remove_ms 60000
    systemd-run --quiet --unit=begun -p TimeoutStopSec=1 pcictl remove --timeout 1 "$device"
    wait_until 60 is_over begun || fail "begun is $(systemctl is-active begun)"
    umount "$ours"
    left=$(processes)
    note "unit $(systemctl is-active begun): $left"
    contains "$left" "pcictl-write 0::/system.slice/begun.service"
    same 1 "$(echo "$left" | wc -l)"
    expect_status 0 pcictl recover
    contains "$out" 'is under way; nothing to recover'
    expect_status 75 pcictl remove --no-wait "$device"
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "the kernel is not done: $(processes) $(stuck_tasks)"
    expect_status 5 pcictl status
    contains "$out" 'interrupted, half done'
    contains "$out" "done: unbind $device from slowpci"
    contains "$out" "not done: remove $device"
    show "$out"
    expect_status 0 pcictl recover
    contains "$out" "bind $device to slowpci"
    show "$out"
    same "$before" "$(functions)"
    expect_status 0 pcictl status
    same 'nothing is under way, interrupted or removed' "$out"
    nothing_left
    systemctl reset-failed begun
}

# The report comes, and soon, when systemd cannot be asked: a bus that hangs, busctl that hangs, no bus, no busctl.
not_answered() {
    systemctl kill --signal=STOP dbus.service
    in_time 'a bus that hangs'
    systemctl kill --signal=CONT dbus.service

    printf '#!/bin/sh\nexec /usr/bin/sleep infinity\n' >/run/busctl-hangs
    chmod +x /run/busctl-hangs
    replaced /run/busctl-hangs
    in_time 'busctl that hangs'
    umount "$ours"
    ! pidof sleep >/dev/null || fail 'it was left behind'

    systemctl stop dbus.socket dbus.service
    in_time 'no bus'
    systemctl start dbus.socket
}
# in_time WHAT: 124 one second and, at most, two after it was asked for, with room for an emulated machine.
in_time() {
    slow remove_ms 60000
    began=$(now)
    expect_status 124 pcictl remove --timeout 1 "$device"
    took=$(($(now) - began))
    note "$1: 124 after $((took * 10)) ms"
    [ "$took" -lt 800 ] || fail "$1: 124 after $((took * 10)) ms"
    contains "$err" 'goes on in the background'
    case $err in *.scope*) fail "no scope can have been made: $err" ;; esac
    is_removed
}

# The unit of the guard as it is shipped: it counts as started once it serves; when it is killed, or stopped so that only its
# keeper or the watchdog can end it, whoever waits goes on waiting for the next one; when it is ended as it should, all go on.
guard_unit() {
    cp /rig/pcictl /usr/sbin/pcictl
    cp /rig/pcictl-guard.service /etc/systemd/system/
    systemctl daemon-reload
    expect_status 0 systemctl start pcictl-guard
    expect_status 0 pcictl guard --status
    show "$out"
    pcictl lock "$device" -- sleep 600 &
    holder=$!
    wait_until 30 is_locked || fail 'no lock'
    rm -f /tmp/case/through
    # shellcheck disable=SC2016
    sh -c 'echo 1 >"$1" && echo through >/tmp/case/through' sh "$pci/$device/rescan" &
    wait_until 30 somebody_waits || fail "nobody waits: $(pcictl guard --status)"
    for how in KILL STOP; do
        pid=$(guard_pid)
        begun=$(now)
        kill "-$how" "$pid"
        wait_until 60 is_another || fail "SIG$how: no other guard: $(systemctl status pcictl-guard)"
        wait_until 30 somebody_waits || fail "SIG$how: nobody waits: $(journalctl -u pcictl-guard | tail)"
        note "SIG$how: another guard serves who waits, $(($(now) - begun)) hundredths of a second later"
    done
    pid=$(guard_pid)
    expect_status 0 systemctl restart pcictl-guard
    wait_until 30 [ -e /tmp/case/through ] || fail "who waits for a guard that was ended still waits"
    [ "$(guard_pid)" != "$pid" ] || fail 'it is the same'
    sh -c "exec 9>$pci/$device/driver_override; sleep 600" 2>/dev/null &
    wait_until 30 somebody_waits || fail "nobody waits: $(pcictl guard --status)"
    kill -9 "$holder"
    end_sleepers
    wait_until 30 somebody_is_inside || fail "nobody is inside: $(pcictl guard --status)"
    expect_status 0 systemctl stop pcictl-guard
    expect_status 1 pcictl guard --status
    expect_status 75 pcictl lock --no-wait "$device" -- true
    note "stopped: $(systemctl is-active pcictl-guard), $(processes | tr '\n' ';')"
    end_sleepers
    wait_until 30 nobody_at_work || fail "it is still there: $(processes)"
    expect_status 0 pcictl lock --no-wait "$device" -- true
    show "$(journalctl -o cat -u pcictl-guard)"
    same "$before" "$(functions)"
}
guard_pid() { systemctl show --property=MainPID --value pcictl-guard; }
is_another() { [ "$(guard_pid)" != "$pid" ] && [ "$(guard_pid)" != 0 ] && pcictl guard --status >/dev/null 2>&1; }
is_locked() { ! pcictl lock --no-wait "$device" -- true 2>/dev/null; }
somebody_waits() { pcictl guard --status 2>/dev/null | grep -q 'waits to open'; }
somebody_is_inside() { pcictl guard --status | grep -q 'is inside'; }

echo "Linux $(uname -r), $(systemctl --version | head -n 1), bus: $(systemctl show --property=ExecStart --value dbus | sed 's/.*path=\([^ ]*\).*/\1/')"
after_each() {
    umount "$ours" 2>/dev/null
    made_fast
    # The next case begins with what this one was given.
    [ -e "$pci/$device/driver" ] || pcictl recover || pcictl rescan "$device"
}
run_cases
