# Each kind of document that pcictl prints about a machine is in the published form, of every function that a topology has.
# topology: mixed igb iommu slots
# kernels: any
# timeout: 240
before=$(functions)
each=$(functions | awk '{ print $1 }')
disk=$(of_kind nvme | nth 1)
[ -n "$disk" ] || disk=$(of_kind igb | nth 2)

looks() {
    for words in list tree locks status doctor history; do ended_by "$words"; done
    # shellcheck disable=SC2086 # an argument each
    ended_by show $each
    for address in $each; do
        for words in sriov power slot 'reset --list'; do ended_by "$words" "$address"; done
    done
}
# ended_by WORDS ARGUMENT...: with whatever status, it prints a document.
ended_by() {
    words=$1
    shift
    status=0
    # shellcheck disable=SC2086
    pcictl $words --json "$@" >/tmp/case/document 2>/dev/null || status=$?
    # shellcheck disable=SC2086
    expect_status "$status" pcictl $words --json "$@"
    contains "$out" '"document"'
}
looks
expect_status 0 pcictl wait --json "$disk"
expect_status 0 pcictl remove --dry-run --json "$disk"
expect_status 0 pcictl remove --events "$disk"
expect_status 0 pcictl status --json
expect_status 3 pcictl show --json "$disk"
expect_status 0 pcictl rescan --events "$disk"
expect_status 0 pcictl unbind --json "$disk"
expect_status 0 pcictl bind --json "$disk"
expect_status 0 pcictl replug --json "$disk"
expect_status 0 pcictl recover --json
pcictl lock "$disk" -- sleep 1000 &
is_locked() { ! pcictl lock --no-wait "$disk" -- true 2>/dev/null; }
wait_until 30 is_locked || fail 'no lock'
expect_status 0 pcictl locks --json
expect_status 75 pcictl remove --no-wait --json "$disk"
end_sleepers
same "$before" "$(functions)"
