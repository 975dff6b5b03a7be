# A script under `pcictl lock` is in the kernel when pcictl is killed: the lock stays with whoever is in there, and is free
# once the kernel is done. With --close the script dies with pcictl, but not what it has begun in the kernel.
# topology: switch8
# kernels: any
before=$(functions)
device=$(of_kind edu | nth 1)
cat >/tmp/case/write <<END
echo \$\$ >/tmp/case/writer
echo 1 >$pci/$device/remove
END
begun() {
    dmesg | grep -q "$device: remove begin"
}
replaced() {
    [ "$(cat /tmp/case/writer)" != "$1" ]
}
gone() {
    [ ! -e "/proc/$1" ]
}
dmesg -c >/dev/null
slow remove_ms 600000

pcictl lock "$device" -- sh /tmp/case/write &
operator=$!
wait_until 60 begun || fail "nothing began"
writer=$(cat /tmp/case/writer)
kill -9 "$operator"
wait "$operator" 2>/dev/null
for command in "lock --no-wait $device -- true" "remove --no-wait $device"; do
    # shellcheck disable=SC2086 # words
    expect_status 75 pcictl $command
    contains "$err" "pid $writer "
done
expect_status 0 pcictl locks
contains "$out" "pid $writer "

slow remove_ms 0
wait_until 60 gone "$writer" || fail "the write does not end: $(stuck_tasks)"
contains "$(pcictl locks 2>&1)" "no lock is held"
expect_status 0 pcictl rescan --settle 10 "$device"
same "$before" "$(functions)"

# Without the lock it is not left to run on.
pcictl lock --close "$device" -- sh -c 'echo $$ >/tmp/case/writer; exec sleep 1000' &
operator=$!
wait_until 60 replaced "$writer" || fail "the command did not start"
kill -9 "$operator"
wait "$operator" 2>/dev/null
wait_until 10 gone "$(cat /tmp/case/writer)" || fail "the command goes on unlocked"
contains "$(pcictl locks 2>&1)" "no lock is held"
