# Why pcictl is there: rescans of children in a loop, one removal of the bridge above them, and the kernel is stuck.
# A removal on the other side of the machine then hangs as well.
# topology: nested
# boot: own
# expect: stuck
# allow: changed
top=$(of_kind upstream | nth 1)
elsewhere=$(of_kind edu | tail -n 1)
below "$top" | head -n 4 | while read -r child; do
    while scan "$child"; do :; done &
done
sleep 1
drop "$top" &

both_wait() {
    tasks=$(stuck_tasks)
    case $tasks in *kernfs_drain*) ;; *) return 1 ;; esac
    case $tasks in *dev_rescan_store*) ;; *) return 1 ;; esac
}
wait_until 30 both_wait || fail "the raw writes got through: $(stuck_tasks)"

drop "$elsewhere" &
victim=$!
sleep 5
[ "$(sed 's/.*) //; s/ .*//' /proc/$victim/stat)" = D ] || fail "a removal elsewhere got through"
note "$(stuck_tasks | grep -c '^[0-9]') tasks stuck"
