# What is recorded of operations, and told by history: who, with which command, which devices with their serial numbers and
# names, how it ended; also of one that was killed and recovered, and of one that went on in the background.
# topology: sriov
# kernels: any
# timeout: 240
before=$(functions)
drive=$(of_kind nvme)
edu=$(of_kind edu)
controller=$(basename "$pci/$drive"/nvme/nvme*)
rm -f /var/lib/pcictl/history /var/lib/pcictl/history.old

flat() { echo "$1" | tr -d ' \n'; }
# The number of the last operation, as JSON has it.
last_id() { flat "$out" | sed 's/.*"id":"\([^"]*\)".*/\1/'; }
# recorded CODE CHANGED HOW COMMAND...: that is the last operation, as JSON and as a text, of root's and of no terminal.
recorded() {
    code=$1 changed=$2 how=$3
    shift 3
    expect_status 0 pcictl history --last 1 --json
    document=$(flat "$out")
    for part in "\"command\":\"$(flat "$*")\"" '"uid":0' '"login_uid":null' '"sudo_user":null' '"tty":null' '"ssh_client":null' \
        "\"exit_code\":$code" "\"changed\":$changed" "\"in_boot\":\"$(cat /proc/sys/kernel/random/boot_id)\"" \
        "\"on_kernel\":\"$(uname -r)\""; do
        contains "$document" "$part"
    done
    expect_status 0 pcictl history --last 1
    contains "$out" "  $how after "
    contains "$out" "  uid 0
  $*"
}
# count SELECTOR...: how many operations are told of.
count() {
    expect_status 0 pcictl history "$@" --json
    flat "$out" | grep -o '"began_at":' | wc -l
}
# done_by COMMAND...: it ends well and is recorded.
done_by() {
    expect_status 0 "$@"
    recorded 0 true 'done' "$@"
}

done_by pcictl remove "$drive"
contains "$document" "\"address\":\"$drive\""
contains "$document" '"driver":"nvme"'
contains "$document" '"serial":"pf"'
contains "$document" "\"names\":[\"$controller\""
contains "$out" "(nvme, slot "
contains "$out" "serial pf, $controller"
# It is gone, and found by what it was.
for selector in "$drive" "$controller" serial:pf pf; do same 1 "$(count "$selector")"; done
done_by pcictl rescan "$drive"
done_by pcictl sriov --driver pci-stub "$drive" 2
done_by pcictl sriov "$drive" 0
done_by pcictl reset "$drive"
same 5 "$(count "$drive")"
# A scan that held the host bridge was one on all below it.
same 1 "$(count "$edu")"
contains "$(pcictl history "$edu")" "pcictl rescan $drive"

expect_status 7 pcictl lock "$edu" -- sh -c 'exit 7'
recorded 7 null 'command ended with 7' pcictl lock "$edu" -- sh -c 'exit 7'
same 2 "$(count "$edu")"

# What was not done is not told.
expect_status 0 pcictl remove -n "$edu"
expect_status 3 pcictl remove 0000:77:00.0
same 6 "$(count)"

# Killed while the driver stops.
slow remove_ms 60000
dmesg -c >/dev/null
pcictl remove "$edu" >/tmp/case/out 2>&1 &
pid=$!
begun() { dmesg | grep -q ': remove begin'; }
wait_until 30 begun || fail "nothing began: $(cat /tmp/case/out)"
kill -9 $pid
slow remove_ms 0
wait_until 60 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
expect_status 0 pcictl history --last 1 --json
contains "$(flat "$out")" '"end":null'
killed=$(last_id)
expect_status 0 pcictl history --last 1
contains "$out" 'no end recorded'
contains "$out" "pcictl status tells how far $killed got"
done_or_not() { recorded 0 "$1" 'done' pcictl recover; }
expect_status 0 pcictl recover
note "recovered: $out"
expect_status 0 pcictl history --last 1 --json
same "$killed" "$(last_id)"
case $(flat "$out") in *'"changed":true'*) done_or_not true ;; *) done_or_not false ;; esac
same "$before" "$(functions)"

# Nobody waits for it any more: whoever finishes it records that.
slow remove_ms 60000
expect_status 124 pcictl remove --timeout 1 "$edu"
expect_status 0 pcictl history --last 1 --json
contains "$(flat "$out")" '"end":null'
slow remove_ms 0
wait_until 60 nobody_at_work || fail "it was not finished: $(stuck_tasks)"
[ ! -e "$pci/$edu" ] || fail "the device is still there: $(pcictl status)"
recorded 0 true 'done' pcictl remove --timeout 1 "$edu"
done_by pcictl rescan "$edu"
note 'history:'
pcictl history | while IFS= read -r line; do note "| $line"; done
same "$before" "$(functions)"
