# shellcheck shell=sh
# What a /rig/main of ./report has at hand besides ../guest/lib.sh, in a guest with systemd: cases are functions, and their names
# stand in /rig/list.
# shellcheck disable=SC2154 # what lib.sh sets
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh
mkdir -p /tmp/case

# processes: pcictl's own, a line each: pid, name, cgroup.
processes() {
    for comm in /proc/[0-9]*/comm; do
        name=$(cat "$comm" 2>/dev/null)
        case $name in pcictl*) ;; *) continue ;; esac
        process=${comm%/comm}
        echo "${process#/proc/} $name $(cat "$process/cgroup" 2>/dev/null)"
    done
}
nobody_at_work() {
    [ -z "$(processes)" ]
}

# is_over UNIT: nothing of it runs any more, or systemd has given up on what does.
is_over() {
    case $(systemctl is-active "$1") in inactive | failed) ;; *) return 1 ;; esac
}

# nothing_left: no lock is held, and no scope is there.
nothing_left() {
    expect_status 0 pcictl locks
    same '' "$(echo "$out" | grep held)"
    wait_until 10 no_scope || fail "a scope is left: $(systemctl list-units --all 'pcictl-*.scope')"
}
no_scope() {
    [ -z "$(systemctl list-units --all --plain --no-legend 'pcictl-*.scope')" ]
}

# sessions_are_killed: logind ends what sessions leave behind, and there is alice, who may use sudo.
sessions_are_killed() {
    mkdir -p /run/systemd/logind.conf.d
    printf '[Login]\nKillUserProcesses=yes\n' >/run/systemd/logind.conf.d/kill.conf
    systemctl restart systemd-logind
    id alice >/dev/null 2>&1 || useradd --create-home alice
    echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice
}

# show TEXT: as notes.
show() {
    echo "$1" | while IFS= read -r line; do note "| $line"; done
}

# made_fast: the slow driver is, and all that waited for it is done.
made_fast() {
    for parameter in probe_ms remove_ms; do slow $parameter 0; done
    wait_until 60 nobody_at_work || echo "still there: $(processes)"
}

# run_cases: those of the list, each followed by `after_each`; ends this program.
run_cases() {
    failures=0
    read -r cases </rig/list
    for case in $cases; do
        echo "$case ..."
        if ($case) 2>/tmp/case/stderr; then
            echo "$case ... ok"
        else
            echo "$case ... FAILED"
            cat /tmp/case/stderr
            failures=1
        fi
        after_each
    done
    complaints && failures=1
    exit $failures
}
