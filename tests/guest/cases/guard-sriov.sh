# sriov_numvfs has a device's lock and wants the kernel's mutex, a removal has that and wants the lock: raw writers of both,
# which the guard keeps apart. A physical function with its virtual ones on is removed raw, which hangs some kernels by itself:
# the guard has the virtual ones taken away before. A reader of sriov_numvfs does not wait for either.
# run: named
# topology: sriov
# kernels: all
# append: slub_debug=FPZU
# timeout: 1200
before=$(functions)
operations=$(($(cat /rig/storm) / 10))
pf=$(of_kind nvme | nth 1)
guarded --wait 300

write() {
    [ -e "$2" ] || return 0
    echo "$1" 2>>/tmp/case/errors >"$2"
}
vfs_loop() {
    count=0
    while [ "$count" -lt $((operations / 2)) ]; do
        write $((count % 3 * 2)) "$pci/$pf/sriov_numvfs"
        count=$((count + 1))
        echo "$count" >>/tmp/case/log.vfs
    done
}
remove_loop() {
    count=0
    while [ "$count" -lt $((operations / 2)) ]; do
        if [ -e "$pci/$pf" ]; then write 1 "$pci/$pf/remove"; else write 1 /sys/bus/pci/rescan; fi
        count=$((count + 1))
        echo "$count" >>/tmp/case/log.remove
    done
}
vfs_loop 2>>/tmp/case/errors &
remove_loop >/tmp/case/remove 2>&1 &
both_done() {
    [ "$(cat /tmp/case/log.* 2>/dev/null | wc -l)" -ge $((operations / 2 * 2)) ]
}
wait_until 1000 both_done || fail "stuck: $(stuck_tasks) $(tail -n 20 /tmp/case/guard)"
write 1 /sys/bus/pci/rescan
write 0 "$pci/$pf/sriov_numvfs"

# Somebody is inside; who reads goes on.
pcictl lock "$pf" -- sleep 600 &
holder=$!
lock_held() { ! pcictl lock --no-wait "$pf" -- true 2>/dev/null; }
wait_until 30 lock_held || fail "no lock"
begun=$(now)
cat "$pci/$pf/sriov_numvfs" >/tmp/case/read
[ $(($(now) - begun)) -lt 1000 ] || fail "a reader waited"
kill -9 $holder
end_sleepers
unguarded
note "$(grep -c '"outcome":"done"' /run/pcictl/guard.log) raw writes, $(grep -c 'waited ' /tmp/case/guard) had to wait, $(grep -c denied /tmp/case/guard) denied"
same "$before" "$(functions)"
