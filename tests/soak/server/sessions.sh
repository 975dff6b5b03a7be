# shellcheck shell=sh
# Operations whose beginning is cut: sessions of ssh whose client dies, and units that are stopped in the middle.
# shellcheck disable=SC2154,SC2317 # called by name, with what main sets

# by_ssh WHO OPTION... COMMAND: a session of its own, whose client is $client.
by_ssh() {
    who=$1
    shift
    ssh -i /rig/key -o UserKnownHostsFile=/tmp/case/known -o StrictHostKeyChecking=no "$who@127.0.0.1" "$@" \
        >/tmp/case/ssh 2>&1 </dev/null &
    client=$!
}
# cut: once the driver is stopping, the client dies, as of a lost connection.
cut() {
    wait_until 60 driver_stops || fail "the driver was never asked to stop: $(cat /tmp/case/ssh)"
    session=$(processes | sed -n 's|^[0-9]* pcictl .*/\(session-[^/]*\.scope\).*|\1|p' | nth 1)
    [ -n "$session" ] || fail "in no session: $(processes)"
    kill -9 "$client"
    wait "$client" 2>/dev/null
}
driver_stops() {
    dmesg | grep -q 'remove begin'
}
stopping() {
    dmesg -c >/dev/null
    slow remove_ms 600000
}
# goes_on: it is still at work, and has the lock.
goes_on() {
    expect_status 75 pcictl remove --no-wait "$slow_one"
    expect_status 0 pcictl status
    contains "$out" "in the kernel's hands: unbind $slow_one from slowpci"
}
# completed: once its driver is done the device is removed, and it comes back.
completed() {
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "it was not finished: $(processes) $(stuck_tasks)"
    [ ! -e "$pci/$slow_one" ] || fail "the device is still there: $(pcictl status)"
    nothing_left
    expect_status 0 pcictl rescan "$slow_one"
    same "$before" "$(functions)"
}
# undone: once its driver is done it has it again.
undone() {
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "it was not finished: $(processes) $(stuck_tasks)"
    same "$before" "$(functions)"
    expect_status 0 pcictl status
    same 'nothing is under way, interrupted or removed' "$out"
    nothing_left
}
# is_closed: no process of ssh is there for the session any more.
no_sshd() {
    ! systemctl status "$session" 2>/dev/null | grep -q 'sshd: '
}

# Without a terminal nobody hears that the client is gone: it goes on to its end, though nobody reads the report.
ssh_cut() {
    stopping
    by_ssh root pcictl remove "$slow_one"
    cut
    wait_until 60 no_sshd || fail "sshd is still there: $(systemctl status "$session")"
    note "cut: $(processes | tr '\n' ';')"
    goes_on
    completed
    expect_status 0 pcictl history --json --last 2
    contains "$out" '"127.0.0.1'
}

# With a terminal the hangup is a wish to stop: what was done is undone.
ssh_cut_on_terminal() {
    stopping
    by_ssh root -tt pcictl remove "$slow_one"
    cut
    wait_until 60 no_sshd || fail "sshd is still there: $(systemctl status "$session")"
    note "cut: $(processes | tr '\n' ';')"
    goes_on
    undone
}

# logind kills what the session leaves behind: that asks twice, so it moves to a scope of its own and is undone there.
ssh_cut_and_killed() {
    sessions_are_killed
    install_key
    for terminal in -T -tt; do
        stopping
        by_ssh alice $terminal sudo pcictl remove "$slow_one"
        cut
        wait_until 200 is_over "$session" || fail "the session goes on: $(systemctl status "$session")"
        note "$terminal, $session is $(systemctl is-active "$session"): $(processes | tr '\n' ';')"
        goes_on
        slow remove_ms 0
        wait_until 60 nobody_at_work || fail "it was not finished: $(processes) $(stuck_tasks)"
        got=0
        pcictl status >/tmp/case/status || got=$?
        note "$terminal: status $got: $(tr '\n' ';' </tmp/case/status)"
        case $got in
        0) ;;
        5) expect_status 0 pcictl recover ;;
        *) fail "status ended with $got" ;;
        esac
        [ -e "$pci/$slow_one" ] || expect_status 0 pcictl rescan "$slow_one"
        same "$before" "$(functions)"
        expect_status 0 pcictl status
        same 'nothing is under way, interrupted or removed' "$out"
        nothing_left
    done
    rm /run/systemd/logind.conf.d/kill.conf
    systemctl restart systemd-logind
}
install_key() {
    mkdir -p /home/alice/.ssh
    cp /rig/key.pub /home/alice/.ssh/authorized_keys
    chown -R alice /home/alice/.ssh
}

# With --timeout it is in the background before the session ends, which takes nothing with it.
ssh_timeout() {
    stopping
    by_ssh root "pcictl remove --timeout 1 $slow_one; echo ended: \$?"
    wait "$client"
    contains "$(cat /tmp/case/ssh)" 'ended: 124'
    contains "$(cat /tmp/case/ssh)" 'goes on in the background'
    astray=$(processes | grep -v '/system.slice/pcictl-[0-9]*\.scope$')
    [ -z "$astray" ] || fail "not moved: $astray"
    goes_on
    completed
}

# A unit that is stopped in the middle: what its driver does in time is undone; if systemd gives up on it, the writer has the lock
# until the kernel is done, and `recover` does the rest.
unit_stopped() {
    stopping
    systemd-run --quiet --unit=begun -p SuccessExitStatus=130 pcictl remove "$slow_one"
    wait_until 60 driver_stops || fail "the driver was never asked to stop: $(journalctl -u begun)"
    systemctl stop --no-block begun
    wait_until 30 is_stopping || fail "begun is $(systemctl is-active begun)"
    goes_on
    undone
    wait_until 30 is_over begun || fail "begun is $(systemctl is-active begun)"
    contains "$(journalctl --no-pager -u begun)" "$slow_one"
    note "stopped, and the driver was in time: begun is $(systemctl is-active begun)"

    stopping
    systemd-run --quiet --unit=late -p TimeoutStopSec=2 pcictl remove "$slow_one"
    wait_until 60 driver_stops || fail "the driver was never asked to stop: $(journalctl -u late)"
    systemctl stop late
    note "stopped, and the driver was not: late is $(systemctl is-active late): $(processes | tr '\n' ';')"
    goes_on
    expect_status 0 pcictl recover
    contains "$out" 'is under way; nothing to recover'
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "the kernel is not done: $(processes) $(stuck_tasks)"
    expect_status 5 pcictl status
    contains "$out" "done: unbind $slow_one from slowpci"
    contains "$out" "not done: remove $slow_one"
    expect_status 0 pcictl recover
    same "$before" "$(functions)"
    expect_status 0 pcictl status
    nothing_left
    systemctl reset-failed late
}
is_stopping() { [ "$(systemctl is-active begun)" = deactivating ]; }
