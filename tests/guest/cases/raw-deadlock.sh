# Why pcictl is there: rescans of children in a loop, one removal of the bridge above them, and the kernel is stuck.
# A removal on the other side of the machine then hangs as well.
# topology: nested
# kernels: any
# boot: own
# expect: stuck
# allow: changed
top=$(of_kind upstream | nth 1)
elsewhere=$(of_kind edu | tail -n 1)
deadlock "$top"

drop "$elsewhere" &
victim=$!
sleep 5
[ "$(sed 's/.*) //; s/ .*//' /proc/$victim/stat)" = D ] || fail "a removal elsewhere got through"
note "$(stuck_tasks | grep -c '^[0-9]') tasks stuck"
