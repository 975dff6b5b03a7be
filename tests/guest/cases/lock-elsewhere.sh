# One machine, one lock directory: whoever sees another one than the first process does is refused, and so is a run directory
# of one's own. Who only looks is told of it.
# topology: switch8
# kernels: any
before=$(functions)
device=$(of_kind edu | nth 1)

expect_status 2 env PCICTL_RUN_DIR=/tmp/case/run pcictl remove "$device"
contains "$err" "PCICTL_RUN_DIR"
expect_status 0 env PCICTL_RUN_DIR=/tmp/case/run pcictl locks
contains "$err" "PCICTL_RUN_DIR"

expect_status 4 unshare -p -f pcictl remove "$device"
contains "$err" "container"

cat >/tmp/case/private <<'END'
mount -t tmpfs -o mode=755 run "$1" && shift && exec "$@"
END
mkdir -p /run/pcictl
for covered in /run /run/pcictl; do
    expect_status 4 unshare -m sh /tmp/case/private "$covered" pcictl lock "$device" -- true
    contains "$err" "another directory"
    expect_status 0 unshare -m sh /tmp/case/private "$covered" pcictl locks
    contains "$err" "another directory"
done

# A mount namespace that leaves /run alone is nobody's harm.
mkdir /tmp/case/mnt
expect_status 0 unshare -m sh /tmp/case/private /tmp/case/mnt pcictl lock "$device" -- true

# The directory is covered for all while somebody waits: the lock that comes is worth nothing.
pcictl lock "$device" -- sleep 1000 &
holder=$!
held() {
    pcictl locks | grep -q "pid $holder "
}
waits() {
    grep -q "waiting for up to" /tmp/case/waiter
}
wait_until 60 held || fail "nobody holds the lock"
pcictl lock --wait 100 "$device" -- touch /tmp/case/entered >/tmp/case/waiter 2>&1 &
waiter=$!
wait_until 60 waits || fail "nobody waits: $(cat /tmp/case/waiter)"
mount -t tmpfs -o mode=755 run /run/pcictl
expect_status 75 pcictl lock --no-wait "$device" -- true
contains "$err" "pid $holder "
kill "$holder"
status=0
wait "$waiter" || status=$?
[ "$status" = 1 ] || fail "the waiter ended with $status: $(cat /tmp/case/waiter)"
contains "$(cat /tmp/case/waiter)" "moved or covered"
[ ! -e /tmp/case/entered ] || fail "the command ran without a lock"
umount /run/pcictl
expect_status 0 pcictl lock --no-wait "$device" -- true
same "$before" "$(functions)"
