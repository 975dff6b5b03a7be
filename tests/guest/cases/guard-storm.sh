# The guard keeps raw writers apart that take no lock and know of none: four rescan functions below a switch, one removes
# those functions, one the switch above, which deadlocks the kernel (raw-deadlock) or has it use freed memory
# (raw-remove-pair) at the first try without the guard. /rig/storm says how many operations.
# run: named
# topology: nested
# kernels: all
# append: slub_debug=FPZU
# timeout: 3000
before=$(functions)
operations=$(cat /rig/storm)
top=$(of_kind upstream | nth 1)
below "$top" >/tmp/case/below
functions | cut -d ' ' -f 1 | while read -r address; do echo "$address $(readlink -f "$pci/$address")"; done >/tmp/case/paths
guarded --wait 300

# write FILE: as runbooks do. What is not there cannot be written; what is denied is a failure.
write() {
    [ -e "$1" ] || return 0
    echo 1 2>>/tmp/case/errors >"$1"
}
# loop NAME SEED COMMAND: a sixth of the operations, on functions picked by a small generator, the same in each run.
loop() {
    name=$1 seed=$2 count=0
    while [ "$count" -lt $((operations / 6)) ]; do
        seed=$(((seed * 1103515245 + 12345) % 2147483648))
        target=$(sed -n "$((seed / 65536 % $(wc -l </tmp/case/below) + 1))p" /tmp/case/below)
        "$3" "$target"
        count=$((count + 1))
        echo "$name $count $3 $target" >>"/tmp/case/log.$name"
    done 2>>/tmp/case/errors
}
rescan_it() { write "$pci/$1/rescan"; }
remove_it() { if [ -e "$pci/$1" ]; then write "$pci/$1/remove"; else write /sys/bus/pci/rescan; fi; }
remove_top() { if [ -e "$pci/$top" ]; then write "$pci/$top/remove"; else write /sys/bus/pci/rescan; fi; }

for number in 1 2 3 4; do loop "scan$number" $((number * 1111)) rescan_it & done
loop remove 55555 remove_it &
loop top 666666 remove_top &
wait_for_loops() {
    [ "$(cat /tmp/case/log.* 2>/dev/null | wc -l)" -ge $((operations / 6 * 6)) ]
}
wait_until 2800 wait_for_loops || fail "stuck: $(stuck_tasks) $(tail -n 20 /tmp/case/guard)"
write /sys/bus/pci/rescan
unguarded
raw=$(grep -c '"outcome":"done"' /run/pcictl/guard.log)
waited=$(grep -c 'waited ' /tmp/case/guard)
denied=$(grep -c '"outcome":"denied"' /run/pcictl/guard.log)
note "$raw raw writes were let through, $waited of them had to wait, $denied denied"
note "errors of the writers: $(sed 's/.*: //' /tmp/case/errors | sort | uniq -c | xargs)"
[ "$denied" = 0 ] || fail "denied: $(grep denied /run/pcictl/guard.log | head -n 3)"
if [ "$raw" -lt $((operations / 3)) ] || [ "$waited" -lt $((operations / 20)) ]; then
    fail "too few raw writes, or nobody met anybody, so this proves nothing"
fi
same "$before" "$(functions)"
