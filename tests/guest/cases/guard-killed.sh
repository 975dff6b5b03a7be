# A guard that is killed, again and again, in the midst of raw writers that would deadlock the kernel: those who wait go on
# waiting for the next guard, those who are inside keep their locks, and nobody notices but for the delay.
# run: named
# topology: nested
# append: slub_debug=FPZU
# timeout: 1800
before=$(functions)
operations=$(($(cat /rig/storm) / 2))
top=$(of_kind upstream | nth 1)
below "$top" >/tmp/case/below
guarded --wait 300

write() {
    [ -e "$1" ] || return 0
    echo 1 2>>/tmp/case/errors >"$1"
}
scan_loop() {
    count=0
    while [ "$count" -lt $((operations / 6)) ]; do
        write "$pci/$(sed -n "$((count % $(wc -l </tmp/case/below) + 1))p" /tmp/case/below)/rescan"
        count=$((count + 1))
        echo "scan $1 $count" >>"/tmp/case/log.scan$1"
    done
}
remove_loop() {
    count=0
    while [ "$count" -lt $((operations / 6)) ]; do
        if [ -e "$pci/$2" ]; then write "$pci/$2/remove"; else write /sys/bus/pci/rescan; fi
        count=$((count + 1))
        echo "remove $1 $count" >>"/tmp/case/log.remove$1"
    done
}
for number in 1 2 3 4; do scan_loop $number & done 2>>/tmp/case/errors
remove_loop 1 "$top" 2>>/tmp/case/errors &
remove_loop 2 "$(below "$top" | tail -n 1)" 2>>/tmp/case/errors &

# done_of N: how much of all is done.
progress() {
    [ "$(cat /tmp/case/log.* 2>/dev/null | wc -l)" -ge "$1" ]
}
kills=0
while [ "$kills" -lt 10 ]; do
    kills=$((kills + 1))
    wait_until 600 progress $((operations * kills / 12)) || fail "stuck: $(stuck_tasks) $(tail -n 9 /tmp/case/guard)"
    kill -9 "$guard"
    wait "$guard"
    guarded --wait 300
done
wait_until 900 progress $((operations / 6 * 6)) || fail "stuck: $(stuck_tasks) $(tail -n 9 /tmp/case/guard)"
write /sys/bus/pci/rescan
unguarded
note "$kills guards killed; $(grep -c '"outcome":"done"' /run/pcictl/guard.log) raw writes, $(grep -c '"outcome":"denied"' /run/pcictl/guard.log) denied"
same "$before" "$(functions)"
