# shellcheck shell=sh
# The package on a server, as somebody meets it who has never heard of pcictl.
# shellcheck disable=SC2154,SC2317 # called by name, with what main sets

# typed COMMAND: what is typed, and what comes of it; it must end well.
typed() {
    echo "transcript: # $1"
    expect_status 0 sh -c "$1"
    { [ -z "$out" ] || echo "$out"; [ -z "$err" ] || echo "$err"; } | sed 's/^/transcript: /'
}

# From the package to the first removal, and back. The transcript is in ../first-removal.txt.
install() {
    [ -e /rig/pcictl.deb ] || fail 'no package: packaging/build deb'
    cp /rig/pcictl.deb /root/pcictl.deb
    cd /root || exit
    export DEBIAN_FRONTEND=noninteractive
    echo 'transcript: # apt install -y ./pcictl.deb'
    expect_status 0 apt install -y ./pcictl.deb
    # Without what is printed over on a terminal.
    echo "$out" | tr '\r' '\n' | grep -v '^(Reading database\|^$' | sed 's/^/transcript: /'
    same '' "$(echo "$err" | grep -v 'stable CLI\|unsandboxed\|delaying package configuration\|^$')"
    typed 'pcictl --version'
    typed 'pcictl list --no-header -o address,driver,names class:nvme'
    typed "pcictl show $bay3 | head -n 20"
    typed "pcictl remove -n $bay3"
    same "$before" "$(functions)"
    typed "pcictl remove $bay3"
    [ ! -e "$pci/$bay3" ] || fail 'it is still there'
    typed 'pcictl status'
    contains "$out" "$bay3: removed and not back"
    typed "pcictl rescan $bay3"
    same "$before" "$(functions)"
    typed 'pcictl history'
    contains "$out" "$bay3"
    typed 'pcictl doctor'
    is_installed
}

# is_installed: what the package has is where Debian has it, and does what it is for.
is_installed() {
    same 'install ok installed' "$(dpkg-query -W -f '${Status}' pcictl)"
    same '' "$(dpkg --verify pcictl)"
    for page in 'man 8 pcictl' 'man 8 pcictl-remove' 'man 7 pcictl-locking' 'man 5 pcictl.conf'; do
        # shellcheck disable=SC2086
        expect_status 0 $page
        contains "$out" 'PCI'
    done
    for directory in /run/pcictl /run/pcictl/locks /var/lib/pcictl; do
        same "755 root" "$(stat -c '%a %U' "$directory")"
    done
    journalctl --sync
    contains "$(journalctl --no-pager -x -t pcictl)" 'Documentation: man:pcictl-history(8)'
    # What looks is on after boot, what changes the ways of others is not.
    same enabled "$(systemctl is-enabled pcictl-check)"
    same disabled "$(systemctl is-enabled pcictl-guard)"
    expect_status 0 systemd-analyze verify pcictl-check.service pcictl-guard.service
    same '' "$(echo "$err" | grep pcictl)"
}

# The units of the package: the check finds nothing here, and the guard that is enabled serves, and serves who writes.
units() {
    expect_status 0 systemctl start pcictl-check
    same active "$(systemctl is-active pcictl-check)"
    expect_status 0 systemctl enable --now pcictl-guard
    expect_status 0 pcictl guard --status
    pcictl lock "$slow_one" -- sleep 600 &
    wait_until 30 is_locked || fail 'no lock'
    # shellcheck disable=SC2016
    sh -c 'echo 1 >"$1" && echo through >/tmp/case/through' sh "$pci/$slow_one/rescan" &
    wait_until 30 somebody_waits || fail "nobody waits: $(pcictl guard --status)"
    [ ! -e /tmp/case/through ] || fail 'the writer was not held up'
    # An upgrade replaces the guard, and who waits is let in by the new one.
    guard=$(systemctl show -P MainPID pcictl-guard)
    expect_status 0 dpkg --install /rig/pcictl.deb
    wait_until 30 is_replaced || fail "the guard is still $guard"
    wait_until 30 somebody_waits || fail "nobody waits any more: $(pcictl guard --status)"
    [ ! -e /tmp/case/through ] || fail 'the writer was let go by the upgrade'
    end_sleepers
    wait_until 30 [ -e /tmp/case/through ] || fail 'who waited still waits'
    journalctl --sync
    contains "$(journalctl --no-pager -u pcictl-guard)" "$slow_one"
    expect_status 0 systemctl disable --now pcictl-guard
    wait_until 30 nobody_at_work || fail "still there: $(processes)"
    same "$before" "$(functions)"
}
is_locked() { ! pcictl lock --no-wait "$slow_one" -- true 2>/dev/null; }
is_replaced() {
    case $(systemctl show -P MainPID pcictl-guard) in "$guard" | 0) return 1 ;; esac
}
somebody_waits() { pcictl guard --status 2>/dev/null | grep -q 'waits to open'; }

# The package goes, and takes its guard along.
uninstall() {
    expect_status 0 systemctl enable --now pcictl-guard
    expect_status 0 apt-get -q -y remove pcictl
    [ ! -e /usr/sbin/pcictl ] || fail 'the program is still there'
    wait_until 30 nobody_at_work || fail "still there: $(processes)"
    [ -d /var/lib/pcictl ] || fail 'what is known of devices is gone'
    expect_status 0 apt-get -q -y install /rig/pcictl.deb
    # What an administrator switched on stays so until a purge; it is not started behind his back.
    same enabled "$(systemctl is-enabled pcictl-guard)"
    same inactive "$(systemctl is-active pcictl-guard)"
    expect_status 0 systemctl disable pcictl-guard
    expect_status 0 pcictl doctor
    same "$before" "$(functions)"
}
