# Among hundreds of processes the kernel is asked at once who has what open and mapped, and says the same as a look at each of them:
# of nodes, also deleted ones, register files, mappings, threads, claims, sockets and functions that were handed out.
# topology: users
# kernels: all
# timeout: 400
disk=$(of_kind nvme | nth 1)
card=$(of_kind e1000e | nth 2)
device=$(of_kind edu | nth 1)
before=$(functions)
node=/dev/$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
controller=/dev/$(basename "$pci/$disk"/nvme/nvme*)
interface=$(basename "$pci/$card"/net/*)
give "$device" vfio-pci
group=$(basename "$(readlink "$pci/$device/iommu_group")")
trace=/sys/kernel/tracing
[ -e "$trace/trace" ] || mount -t tracefs none "$trace" || fail "no tracefs"
types=/sys/kernel/btf

# shown: who uses all three, as it says it; /tmp/case/asked has how often the kernel was asked by bpf(2), which is call 321: three
# calls for files and three for mappings each time.
shown() {
    echo >"$trace/trace"
    echo 'id == 321' >"$trace/events/raw_syscalls/sys_enter/filter"
    echo 1 >"$trace/events/raw_syscalls/sys_enter/enable"
    for function in "$disk" "$card" "$device"; do
        pcictl show --json "$function" || echo "status $?"
    done | grep -vE '"(began|ended)"' >/tmp/case/shown
    echo 0 >"$trace/events/raw_syscalls/sys_enter/enable"
    grep -c 'NR 321' "$trace/trace" >/tmp/case/asked
    cat /tmp/case/shown
}
by_walk() {
    mount -t tmpfs none "$types" || fail "no mount over $types"
    shown
    umount "$types"
}

# Of few processes each is looked at.
expect_asked() {
    [ "$(cat /tmp/case/asked)" -ge "$1" ] || fail "asked $(cat /tmp/case/asked) times"
}
not_asked() {
    same 0 "$(cat /tmp/case/asked)"
}
shown >/tmp/case/few
not_asked

# one N: a process that has something open; most have nothing that matters.
mkdir -p /tmp/crowd
# shellcheck disable=SC2046 # two numbers
mknod /tmp/crowd/copy b $(tr ':' ' ' <"/sys/class/block/${node##*/}/dev")
one() {
    case $(($1 % 20)) in
    1) exec 7<"$node" ;;
    2) exec 7<"$controller" ;;
    3) exec 7<>"$pci/$device/config" ;;
    4) exec 7<"$pci/$device/config" ;;
    5) exec 7</tmp/crowd/copy ;;
    6) exec 7<"$pci/$device/resource" ;;
    7) exec 7</proc/mounts ;;
    8) exec 7</proc/bus/pci/devices ;;
    9) exec 7<>/tmp/crowd/plain ;;
    10) exec 7</dev/urandom ;;
    esac
    exec sleep 1000
}
number=0
while [ "$number" -lt 300 ]; do
    number=$((number + 1))
    one "$number" &
done
in_background hold map "$pci/$device/resource0"
in_background hold thread "$pci/$card/resource0"
in_background hold vfio "/dev/vfio/$group" "$device"
in_background net listen "$interface"
claim=/var/tmp/spdk_pci_lock_$device
mkdir -p /var/tmp
in_background hold lock "$claim"
opened() {
    found=0
    for descriptor in /proc/[0-9]*/fd/7; do
        [ "$(readlink "$descriptor")" != /tmp/crowd/copy ] || found=$((found + 1))
    done
    [ "$found" -ge 15 ]
}
wait_until 60 opened || fail "not all are there"
rm /tmp/crowd/copy

shown >/tmp/case/at-once
case $(uname -r) in
5.10.*) not_asked ;;
*) expect_asked 18 ;;
esac
by_walk >/tmp/case/each
not_asked
same "$(cat /tmp/case/each)" "$(cat /tmp/case/at-once)"
for part in "$node" "$controller" /tmp/crowd/copy "resource0 of $device mapped" "resource0 of $card open" "/dev/vfio/$group" \
    "config of $device open" "$claim" "listens on $interface"; do
    contains "$(cat /tmp/case/at-once)" "$part"
done

refused "$disk" open "has $controller open" "more users"
expect_status 4 pcictl remove -n "$card"
killall sleep hold net
nobody() { ! grep -qxE 'sleep|hold|net' /proc/[0-9]*/comm 2>/dev/null; }
wait_until 60 nobody || fail "somebody is left"
expect_status 0 pcictl remove -n "$disk"

# A removal looks before it waits for the locks, and again when it has them.
number=0
while [ "$number" -lt 200 ]; do
    number=$((number + 1))
    one 10 &
done
pcictl lock "$disk" -- sh -c 'until [ -e /tmp/case/go ]; do sleep 0.1; done' &
is_locked() { pcictl locks | grep -q "$disk"; }
wait_until 60 is_locked || fail "no lock"
pcictl remove --wait 100 "$disk" 2>/tmp/case/removal &
removal=$!
wait_until 60 grep -q 'waiting' /tmp/case/removal || fail "it does not wait: $(cat /tmp/case/removal)"
in_background hold alone "$node"
: >/tmp/case/go
status=0
wait "$removal" || status=$?
[ "$status" = 4 ] || fail "exit status $status: $(cat /tmp/case/removal)"
contains "$(cat /tmp/case/removal)" "pid $holder (hold alone $node) has $node open"
let_go
killall sleep
wait_until 60 nobody || fail "somebody is left"
give "$device" ''
same "$before" "$(functions)"
