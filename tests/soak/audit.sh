# shellcheck shell=sh
# The case `audit` of ./scope.sh: what an operation leaves in systemd's journal and in pcictl's own file, and that none is held
# up where it cannot be recorded.
# shellcheck disable=SC2154,SC2317 # called by name, with what ./scope.sh and lib.sh set

begins=6d27cdc1799c48f9a4ff090645639b4c
ended=54875ccd7e26475f8af32e2b04939cb8
journal=/run/systemd/journal
state=/var/lib/pcictl

audit() {
    drive=$(of_kind nvme)
    disk=$(basename "$(echo /sys/block/nvme*)")
    install -D -m 644 -t /usr/local/lib/systemd/catalog /rig/pcictl.catalog
    expect_status 0 journalctl --update-catalog

    expect_status 0 systemd-run --wait --collect --pipe --unit=nightly pcictl remove --json "$drive"
    id=$(operation_id "$out")
    is_in_journal
    is_explained
    for words in "$drive" "$disk" "/dev/$disk" serial:demo demo; do is_in_history "$words"; done
    expect_status 0 systemd-run --wait --collect --pipe --unit=nightly pcictl rescan --settle 30 --json "$drive"
    id=$(operation_id "$out")
    expect_status 0 pcictl history "$disk"
    note "history $disk:"
    show "$out"
    same 2 "$(echo "$out" | grep -c 'nightly.service$')"

    no_journal
    journal_stopped
    state_unwritable
    same "$before" "$(functions)"
}
operation_id() { echo "$1" | sed -n 's/.*"operation_id": *"\([^"]*\)".*/\1/p' | head -n 1; }
# recorded ID: the records of that kind and of the operation, as JSON.
recorded() {
    journalctl --sync
    journalctl --no-pager -o json "MESSAGE_ID=$1" "PCICTL_OPERATION=$id"
}
how_many() { recorded "$1" | grep -c '"MESSAGE_ID"'; }

is_in_journal() {
    record=$(recorded $begins)
    same 1 "$(how_many $begins)"
    for field in "PRIORITY\":\"5" "SYSLOG_IDENTIFIER\":\"pcictl" "PCICTL_COMMAND\":\"/rig/pcictl remove --json $drive" \
        "PCICTL_DEVICE\":\"$drive" "PCICTL_PLACE\":\"pci0000:00/" "PCICTL_VERSION\":\"" "PCICTL_UID\":\"0" \
        "PCICTL_UNIT\":\"nightly.service" "_SYSTEMD_UNIT\":\"nightly.service"; do
        contains "$record" "\"$field"
    done
    # A unit has neither a login nor a terminal.
    for field in LOGIN_UID SUDO_USER TTY SSH_CLIENT; do
        case $record in *"PCICTL_$field"*) fail "$field: $record" ;; esac
    done
    record=$(recorded $ended)
    same 1 "$(how_many $ended)"
    for field in "PRIORITY\":\"5" "PCICTL_DEVICE\":\"$drive" "PCICTL_OUTCOME\":\"done" "PCICTL_EXIT_CODE\":\"0" \
        "PCICTL_CHANGED\":\"1" "PCICTL_SECONDS\":\""; do
        contains "$record" "\"$field"
    done
    note "journalctl -o cat:"
    show "$(journalctl --no-pager -o cat "PCICTL_OPERATION=$id")"
}

is_explained() {
    explained=$(journalctl --no-pager -x "PCICTL_OPERATION=$id")
    note "journalctl -x:"
    show "$explained"
    contains "$explained" "Subject: Operation $id on PCI devices begins"
    contains "$explained" "Subject: Operation $id on PCI devices ended: done"
    contains "$explained" "ended with exit status 0 after "
    contains "$explained" "    /rig/pcictl remove --json $drive"
    contains "$explained" 'man:pcictl-history(8)'
}

# is_in_history SELECTOR: the operation is told of what is gone.
is_in_history() {
    expect_status 0 pcictl history --json "$1"
    contains "$out" "\"$id\""
    contains "$out" '"demo"'
}

# in_order COMMAND...: it does what it should, soon, and what it says on stderr is in $told.
in_order() {
    expect_status 0 timeout 120 pcictl "$@" --json "$drive"
    told=$err
    id=$(operation_id "$out")
    expect_status 0 pcictl history --last 1 --json
    contains "$out" "\"$id\""
}

# Without a journal there may be a syslog; without either there is a warning.
no_journal() {
    systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket \
        systemd-journald.service 2>/dev/null
    [ "$(systemctl is-active systemd-journald)" != active ] || fail 'the journal is still there'
    in_order remove
    note "no journal: $told"
    contains "$told" "this operation cannot be recorded in the machine's log: Connection refused"
    # Once for the two records.
    same 1 "$(echo "$told" | grep -c 'cannot be recorded')"

    rm -f $journal/dev-log
    # A syslog of two lines.
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die;
        open(O, ">", "/tmp/case/syslog.part"); for (1 .. 2) { recv(S, $line, 65536, 0); print O "$line\n" }
        close(O); rename("/tmp/case/syslog.part", "/tmp/case/syslog")' $journal/dev-log &
    wait_until 30 [ -S $journal/dev-log ] || fail 'no syslog'
    in_order rescan --settle 30
    same '' "$(echo "$told" | grep recorded)"
    wait_until 30 [ -e /tmp/case/syslog ] || fail 'syslog heard nothing'
    heard=$(cat /tmp/case/syslog)
    note 'no journal, but a syslog:'
    show "$heard"
    contains "$heard" "<29>pcictl["
    contains "$heard" "operation $id begins: pcictl rescan --settle 30 --json $drive (by root"
    contains "$heard" "operation $id ended after"
    rm -f $journal/dev-log
    expect_status 0 systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service
    in_order remove
    same '' "$(echo "$told" | grep recorded)"
    same 1 "$(how_many $ended)"
    in_order rescan --settle 30
}

# A journal that takes nothing more: its queue is full.
journal_stopped() {
    journald=$(systemctl show --property=MainPID --value systemd-journald)
    kill -STOP "$journald"
    # A sender may have but so many on their way, so more than one of them.
    # shellcheck disable=SC2016 # perl's variables
    queued=$(timeout 60 perl -MSocket -e 'for (;;) { my $s; socket($s, AF_UNIX, SOCK_DGRAM, 0) or die;
        push @all, $s; my $first = $n; $n++ while send($s, "MESSAGE=queued\n", MSG_DONTWAIT, sockaddr_un($ARGV[0]));
        print($n + 0), exit if $n == $first }' $journal/socket) || fail "its queue is endless: $queued"
    in_order remove
    note "a journal that is stopped, $queued records in its queue: $told"
    lost=$id
    kill -CONT "$journald"
    contains "$told" "this operation cannot be recorded in the machine's log: it takes nothing more at the moment"
    in_order rescan --settle 30
    same 1 "$(how_many $ended)"
    id=$lost
    same 0 "$(how_many $ended)"
}

# A state directory that cannot be written.
state_unwritable() {
    mount -t tmpfs -o size=64k,mode=755 small $state
    dd if=/dev/zero of=$state/filler bs=4k 2>/dev/null
    unrecorded 'a state directory that is full' 'No space left on device'
    mount -o remount,ro $state
    unrecorded 'a state directory that is read-only' 'Read-only file system'
    umount $state
}
# unrecorded WHAT WHY: remove and rescan go on and say so; the journal has them.
unrecorded() {
    expect_status 0 timeout 120 pcictl remove --json "$drive"
    id=$(operation_id "$out")
    note "$1: remove says"
    show "$err"
    contains "$err" "this operation cannot be recorded in $state/history: $2"
    same 1 "$(how_many $ended)"
    expect_status 0 timeout 120 pcictl rescan --settle 30 --json "$drive"
    contains "$err" "this operation cannot be recorded in $state/history: $2"
    note "$1: rescan says"
    show "$err"
    same "$before" "$(functions)"
}
