# The guard keeps raw writers apart that take no lock and know of none: four rescan functions below a switch, one removes
# those functions, one the switch above. /rig/storm says how many operations. In the end, in the same boot, the same writers
# without the guard: the kernel is stuck at once.
# run: named
# topology: nested
# kernels: all
# append: slub_debug=FPZU
# boot: own
# expect: stuck
# passes: 6.12-debug
# allow: changed
# timeout: 3000
before=$(functions)
operations=$(($(cat /rig/storm) / 6 * 6))
top=$(of_kind upstream | nth 1)
below "$top" >/tmp/case/below
echo "$top" >/tmp/case/top
guarded --wait 300

for name in a b c d; do raw_loop $name $((operations / 6)) raw_rescan /tmp/case/below & done
raw_loop e $((operations / 6)) raw_remove /tmp/case/below &
raw_loop f $((operations / 6)) raw_remove /tmp/case/top &
begun=$(now)
wait_until 1500 raw_done "$operations" || fail "stuck: $(stuck_tasks) $(tail -n 20 /tmp/case/guard)"
raw 1 /sys/bus/pci/rescan
note "$operations operations in $((($(now) - begun) / 100)) s"
unguarded
tell_raw $((operations / 20))
same "$before" "$(functions)"
wait_until 10 no_stuck_tasks || fail "stuck: $(stuck_tasks)"

is_validating && exit
begun=$(now)
deadlock "$top"
note "without the guard: $(stuck_tasks | grep -c '^[0-9]') tasks stuck after $(($(now) - begun)) hundredths of a second"
