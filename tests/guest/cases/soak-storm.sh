# Six to twelve operators do everything that pcictl can do, to every device of whatever topology there is, while a killer ends
# processes of pcictl, disks fill up and are emptied, and readers look. The kernel stays healthy, what is interrupted is
# recovered, and everything is back in the end. /rig/storm says how many operations, /rig/seed which: tests/soak/storm makes a
# topology of the same seed.
# topology: lifecycle
# kernels: all 6.18
# append: slub_debug=FPZ
# run: named
# timeout: 7200
operations=$(cat /rig/storm)
seed=$(cat /rig/seed)
# Shown if it fails.
trap 'cat /tmp/case/log.*' EXIT

# --- What there is: ports and endpoints below them, not the machine's own.
before=$(functions)
for device in "$pci"/*; do
    address=${device##*/} above=$(parent_of "${device##*/}")
    case $(cat "$device/class") in
    0x0604*)
        [ -z "$(below "$address")" ] || bridges="${bridges-} $address"
        ;;
    *)
        case $above in pci*) ;; *) endpoints="${endpoints-} $address" ;; esac
        ;;
    esac
    total=$(cat "$device/sriov_totalvfs" 2>/dev/null)
    [ "${total:-0}" = 0 ] || pfs="${pfs-} $address"
done
# A raw removal of one with virtual functions leaves them behind, whoever holds the locks.
for address in $endpoints; do
    case " ${pfs-} " in *" $address "*) ;; *) plain="${plain-} $address" ;; esac
done
slots=$(ls /sys/bus/pci/slots)
roots=$(basename -a /sys/devices/pci*)
operators=$((6 + seed % 7))
functions | while read -r address _; do echo "$address $(parent_of "$address")"; done >/tmp/case/above
note "$operators operators, $(echo "$endpoints" | wc -w) endpoints, $(echo "$bridges" | wc -w) bridges, $(echo "${pfs-}" | wc -w) with virtual functions, $(echo "$slots" | wc -w) slots, $(echo "$roots" | wc -w) host bridges"

# Small disks of their own for what pcictl keeps.
for directory in /var/lib/pcictl /run/pcictl; do
    mkdir -p "$directory"
    mount -t tmpfs -o size=2m,mode=700 soak "$directory"
done

# what: the next operation of that operator, as words of a command line.
what() {
    next
    number=$((seed / 4096 % 32))
    # shellcheck disable=SC2086 # a word each
    device=$(any $endpoints $endpoints $endpoints $bridges)
    # shellcheck disable=SC2086
    sleeper=$(any $endpoints $bridges)
    # shellcheck disable=SC2086
    pf=$(any ${pfs:-$endpoints}) raw=$(any ${plain:-none}) slot=$(any $slots none) place=$(any $endpoints $bridges $roots)
    wait='--wait 1000'
    case $number in
    0 | 1 | 2) echo "remove --if-present --force vfs --yes $device $wait" ;;
    3 | 4 | 5) echo "rescan --settle 0 $place $wait" ;;
    6) echo "rescan --settle 0 --all $wait" ;;
    7 | 8) echo "replug --settle 0 --force vfs --yes $device $wait" ;;
    9) echo "sriov $pf 2 --settle 0 $wait" ;;
    10) echo "sriov $pf 1 --settle 0 --driver pci-stub $wait" ;;
    11 | 12) echo "sriov $pf --off $wait" ;;
    13) echo "unbind $device $wait" ;;
    14) echo "bind $device $wait" ;;
    15) echo "override $device pci-stub $wait" ;;
    16) echo "override --clear $device $wait" ;;
    17 | 18) echo "reset $device $wait" ;;
    19) echo "slot off $slot --force vfs --yes $wait" ;;
    20) echo "slot on $slot --settle 0 $wait" ;;
    21) echo "power $sleeper --runtime auto $wait" ;;
    22) echo "lock $device $wait -- true" ;;
    23) echo "lock $raw $wait -- sh /tmp/case/write $pci/$raw/remove" ;;
    24) echo "lock $(sed -n "s/^$device //p" /tmp/case/above) $wait -- sh /tmp/case/write $pci/$device/rescan" ;;
    25) echo "list" ;;
    26) echo "tree" ;;
    27) echo "show $device" ;;
    28) echo "locks" ;;
    29) echo "status" ;;
    30) echo "recover $wait" ;;
    31) echo "remove --dry-run $device" ;;
    esac
}
cat >/tmp/case/write <<'END'
[ ! -e "$1" ] || echo 1 >"$1"
END
operator() {
    name=$1 seed=$((seed * 31 + $1 * 7919)) count=0
    # Otherwise all begin with the same.
    next && next && next
    while [ "$count" -lt $((operations / operators)) ]; do
        count=$((count + 1))
        words=$(what)
        # The generator went on in a shell of its own.
        next
        seed=$((seed + count))
        # shellcheck disable=SC2086 # words
        operate $words
    done
    : >"/tmp/case/left.$name"
}
operator_number=0
while [ "$operator_number" -lt "$operators" ]; do
    operator_number=$((operator_number + 1))
    operator "$operator_number" &
done
all_left() {
    [ "$(echo /tmp/case/left.* | wc -w)" = "$operators" ] && [ -e /tmp/case/left.1 ]
}

# The killer, the fillers and two readers, until all have left.
killer() {
    kills=0 seed=$((seed + 17))
    until [ -e /tmp/case/enough ]; do
        next
        # shellcheck disable=SC2046 # a word each
        set -- $(pidof pcictl pcictl-write)
        [ $# -gt 0 ] || continue
        victim=$(any "$@")
        signal=$(any KILL KILL KILL TERM INT STOP)
        kill -"$signal" "$victim" 2>/dev/null && kills=$((kills + 1))
        [ "$signal" != STOP ] || { sleep 1 && kill -CONT "$victim" 2>/dev/null; }
        sleep "$(any 0.3 1 2)"
    done
    echo "$kills" >/tmp/case/kills
}
killer &
filler() {
    until [ -e /tmp/case/enough ]; do
        # shellcheck disable=SC2086
        directory=$(any /var/lib/pcictl /run/pcictl)
        dd if=/dev/zero of="$directory/filler" bs=4k 2>/dev/null
        sleep 1
        rm "$directory/filler"
        echo full >>/tmp/case/full
        sleep "$(any 2 4 8)"
    done
}
filler &
reader() {
    until [ -e /tmp/case/enough ]; do
        cat /sys/bus/pci/devices/*/resource /sys/bus/pci/devices/*/uevent >/dev/null 2>&1
        pcictl doctor >/tmp/case/doctor 2>&1
        pcictl history >/tmp/case/history 2>&1
        # Under emulation a look costs as much as an operation.
        sleep 4
    done
}
reader &
begun=$(now)
# A kernel that complains has lost the storm already, and whoever waits for its locks would wait for ever.
is_over() {
    all_left || { sleep 2 && complaints >/tmp/case/complaints; }
}
wait_until 6900 is_over || fail "somebody is stuck: $(stuck_tasks) $(ls /tmp/case)"
all_left || fail "the kernel complains: $(dmesg | grep -F -A 45 "$(head -n 1 /tmp/case/complaints)")"
note "$operations operations in $((($(now) - begun) / 100)) s"
: >/tmp/case/enough
wait_until 30 [ -e /tmp/case/kills ]
wait_until 100 nobody_at_work || fail "somebody goes on: $(stuck_tasks) $(ps)"
rm -f /var/lib/pcictl/filler /run/pcictl/filler

cat /tmp/case/log.* >/tmp/case/log
note "kills $(cat /tmp/case/kills), full disks $(wc -l </tmp/case/full), waited $(grep -c 'waiting for' /tmp/case/log)"
note "exit statuses: $(cut -d ' ' -f 1 /tmp/case/log | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
note "commands: $(awk '{ print $4 }' /tmp/case/log | sort | uniq -c | awk '{ printf "%s %d, ", $2, $1 }')"
# Two: such a device has no virtual functions, no slot has that name. 130, 137, 143: killed.
bad=$(grep -vhE '^(0|1|2|3|4|5|6|130|137|143) ' /tmp/case/log) && fail "unexpected exit status: $bad"
panics=$(grep -hE 'panicked|internal error' /tmp/case/log) && fail "$panics"

# What was interrupted is recovered; then all is put where it was.
tell() {
    "$@" >/tmp/case/out 2>&1 || note "$*: $?: $(one_line 300 </tmp/case/out)"
}
tell pcictl recover
# Somebody may have unbound a physical function since, whose VFs are to come back: that is left to people, and said.
for pf in ${pfs-}; do [ -e "$pci/$pf/driver" ] || tell pcictl bind "$pf"; done
expect_status 0 pcictl recover
for slot in $slots; do pcictl slot on "$slot" --settle 0 >/dev/null 2>&1; done
# Of a bridge the override is cleared when nothing below it is at work; that gets its driver back in the next round.
clear_by_hint() {
    for function in $(below "$1" | sort -r); do pcictl unbind "$function" >/tmp/case/out 2>&1; done
    pcictl override --clear "$1" >/tmp/case/out 2>&1
}
is_back() {
    pcictl rescan --all --settle 20 >/tmp/case/out 2>&1
    for pf in ${pfs-}; do pcictl sriov "$pf" --off --autoprobe on >/tmp/case/out 2>&1; done
    for device in $endpoints $bridges; do
        case $(cat "$pci/$device/driver_override" 2>/dev/null) in
        '' | '(null)') ;;
        *) pcictl override --clear "$device" >/tmp/case/out 2>&1 || clear_by_hint "$device" ;;
        esac
        [ "$(functions | grep "^$device ")" = "$(echo "$before" | grep "^$device ")" ] || pcictl bind "$device" >>/tmp/case/out 2>&1
        [ "$(cat "$pci/$device/power/control" 2>/dev/null)" != auto ] || pcictl power "$device" --runtime on >>/tmp/case/out 2>&1
    done
    [ "$(functions)" = "$before" ]
}
wait_until 300 is_back || same "$before" "$(functions)"
contains "$(pcictl locks 2>&1)" "no lock is held"
tell pcictl rescan --all --accept vfs,driver,device,names,bars,link
expect_status 0 pcictl recover
expect_status 0 pcictl status
tell pcictl doctor
umount /var/lib/pcictl /run/pcictl || fail 'somebody has a file open'
