# What hangs at no disk, interface or node of a function: a share of the host that is mounted, and a console that a process
# has open, are refused and go on. Forced, the share's driver waits for the mount, the doctor says that nobody can tell
# whether it ends and who is in the way, and an umount is all it takes.
# topology: host
# kernels: any
# timeout: 240
modprobe -a 9p 9pnet_virtio
before=$(functions)
of_driver() {
    readlink -f "/sys/bus/virtio/drivers/$1/"virtio* | sed 's|.*/\([^/]*\)/virtio[0-9]*$|\1|'
}
share=$(of_driver 9pnet_virtio)
console=$(of_driver virtio_console)
expect_status 0 pcictl remove -n "$share"
mkdir -p /tmp/share
mount -t 9p -o trans=virtio,version=9p2000.L share /tmp/share || fail "no share"
refused "$share" mounted "/tmp/share is mounted from share (9p), which comes through"
ls /tmp/share >/tmp/case/list || fail "the share is gone"

sh -c 'exec sleep 1000 </dev/hvc0' &
getty=$!
has_console() { [ "$(readlink "/proc/$getty/fd/0")" = /dev/hvc0 ]; }
wait_until 10 has_console || fail "nobody has the console open"
refused "$console" console "has /dev/hvc0 open"
kill "$getty"

expect_status 124 pcictl remove --timeout 2 --force mounted,unchecked "$share"
contains "$err" "9pnet_virtio (in p9_virtio_remove)"
# It sleeps and looks again, which is no way to end by itself.
is_unknown() {
    pcictl doctor >/tmp/case/doctor 2>&1
    [ $? = 1 ]
}
wait_until 120 is_unknown || fail "the doctor: $(cat /tmp/case/doctor)"
expect_status 1 pcictl doctor
contains "$out" "in p9_virtio_remove [9pnet_virtio]"
contains "$out" "mounted: /tmp/share is mounted from share (9p)"
contains "$out" "unknown: a driver has been stopping for long"
umount /tmp/share
wait_until 60 [ ! -e "$pci/$share" ] || fail "it was not finished"
expect_status 0 pcictl doctor
expect_status 0 pcictl rescan "$share"
same "$before" "$(functions)"
