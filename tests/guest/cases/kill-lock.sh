# `pcictl lock` is killed by SIGKILL at each of its system calls that takes a lock or changes anything, then the command that
# runs under it, then both at once: the lock ends with the last who has it, and the next operator finds all in order.
# topology: switch8
# kernels: any
# timeout: 400
before=$(functions)
device=$(of_kind edu | nth 1)
port=$(parent_of "$device")
again="echo 1 >$pci/$device/remove; echo 1 >$pci/$port/rescan"
is_free() {
    pcictl lock --no-wait "$device" -- true 2>/tmp/case/err
}
is_at_work() {
    pcictl locks 2>/dev/null | grep -q "pid "
}

# killed_at N WHO: 1 if the command ended before its Nth call.
killed_at() {
    # Not a name that expect_status uses.
    ended=0
    KILL_AT_START=1 kill-at "$1" "$2" pcictl lock "$device" -- sh -c "$again" >/tmp/case/out 2>&1 || ended=$?
    case $ended in 0 | 3 | 4) ;; *) fail "kill-at ended with $ended: $(cat /tmp/case/out)" ;; esac
    wait_until 30 is_free || fail "$2 killed at $1: the lock did not end: $(cat /tmp/case/err)"
    ! is_at_work || fail "$2 killed at $1: $(pcictl locks)"
    # The command may have been cut off between its two writes.
    [ -e "$pci/$device" ] || expect_status 0 pcictl rescan --settle 20 "$port"
    wait_until 20 [ -e "$pci/$device/driver" ] || fail "$2 killed at $1: no driver: $(functions)"
    same "$before" "$(functions)"
    expect_status 0 pcictl doctor
    [ "$ended" != 3 ]
}

for who in main writer all; do
    point=1
    while killed_at "$point" "$who"; do point=$((point + 1)); done
    note "$who: $((point - 1)) points"
    [ "$point" -gt 3 ] || fail "$who was hardly ever killed"
done
