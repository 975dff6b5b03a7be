# The procedures of pcictl-runbooks(7), as its text has them, on the devices that they are about; the raw way of each where
# it leaves the machine alive, and what the page says of it.
# topology: runbooks
# kernels: any
# file: xtask/man/pcictl-runbooks.7.txt
# boot: own
# timeout: 400
# shellcheck disable=SC2034,SC2317 # lib.sh calls, and the page names, what nothing here does
before=$(functions)

# --- A drive: the copy that stays is written to all the time, and what was written is there afterwards.
first=$(of_kind nvme | nth 1)
disk=/dev/$(basename "$pci/$first"/nvme/nvme*/nvme*n1) slot=1 array=/dev/md0
hold raid "$disk" "/dev/$(basename "$pci/$(of_kind nvme | nth 2)"/nvme/nvme*/nvme*n1)" >/dev/null || fail 'no RAID'
mount_new md0 /tmp/mnt
# As mdadm(8) does, by the array's files in sysfs.
mdadm() {
    md=/sys/block/${2#/dev/}/md device=${3#/dev/}
    case $1 in
    --fail) echo faulty >"$md/dev-$device/state" ;;
    --remove) wait_until 30 is_removed ;;
    --add)
        cat "/sys/class/block/$device/dev" >"$md/new_dev"
        # Has the array look what there is to recover, as mdadm's ioctl does and on 5.10 new_dev does not.
        echo idle >"$md/sync_action"
        ;;
    esac
}
# The array lets go of a disk once nothing is under way on it.
is_removed() { echo remove >"$md/dev-$device/state" 2>/dev/null; }
copies() { [ "$(cat /sys/block/md0/md/degraded)" = "$1" ]; }
by_hand() {
    case $1 in
    'exchange the drive in the bay that blinks')
        same 2 "$(cat /sys/bus/pci/slots/1/attention)"
        echo 'while a drive is missing' >/tmp/mnt/file
        answer=$(monitor device_add nvme,id=new,serial=new,drive=disk3,bus=slot1)
        [ -z "$answer" ] || fail "device_add: $answer"
        ;;
    *) fail "nobody told this case how to: $1" ;;
    esac
}
runbook 'REPLACE AN NVME DRIVE' 1
contains "$(cat /tmp/case/said)" "1 of 2 copies"
contains "$(cat /tmp/case/said)" "! $first NVMe serial number: failing -> new"
wait_until 60 copies 0 || fail "the array lacks a copy: $(cat /sys/block/md0/md/degraded)"
same 'while a drive is missing' "$(cat /tmp/mnt/file)"
umount /tmp/mnt
hold unraid >/dev/null || fail 'the array does not stop'
same "$before" "$(functions)"
same 'nothing is under way, interrupted or removed' "$(pcictl status)"

# --- A GPU: refused while a process has it; the raw way asks nobody.
gpu=$(of_kind edu | nth 1) driver=slowpci
in_background hold map "$pci/$gpu/resource0"
expect_status 4 pcictl replug "$gpu"
contains "$err" "pid $holder"
by_hand() {
    same 'end the jobs that the dry run names' "$1"
    contains "$out" "pid $holder"
    let_go
}
runbook 'REPLUG A GPU' 1
in_background hold map "$pci/$gpu/resource0"
runbook 'REPLUG A GPU' 2
let_go
same "$before" "$(functions)"

# --- Virtual functions. The physical function must be up, or it answers no VF.
pf=$(of_kind igb) driver=vfio-pci few=2 many=4
interface=$(basename "$pci/$pf"/net/*)
ip link set "$interface" up
by_hand() {
    case $1 in
    'shut down the guests that it names, or move them away')
        contains "$out" "$few of 7 VFs"
        contains "$out" 02:00:00:00:00:01
        ;;
    'start the guests again') ;;
    *) fail "nobody told this case how to: $1" ;;
    esac
}
runbook 'CHANGE THE VIRTUAL FUNCTIONS OF A NETWORK CARD' 1
contains "$out" '4 of 7 VFs'
contains "$out" 02:00:00:00:00:01
same 2 "$(functions | grep -c vfio-pci)"
many=5
runbook 'CHANGE THE VIRTUAL FUNCTIONS OF A NETWORK CARD' 2
case $(pcictl sriov "$pf") in *02:00:00:00:00:01*) fail 'the raw way keeps a MAC: correct the page' ;; esac
expect_status 0 pcictl sriov --off "$pf"
ip link set "$interface" down
same "$before" "$(functions)"

# --- An FPGA: nobody scans its bus while it is loaded, and one that is another afterwards is told.
card=$(of_kind edu | nth 2) ids=1234:11e8
mkdir -p /tmp/case/bin
printf '#!/bin/sh\npcictl locks --json >/tmp/case/locked\n' >/tmp/case/bin/load-image
chmod +x /tmp/case/bin/load-image
PATH=$PATH:/tmp/case/bin
runbook 'RELOAD AN FPGA OR DPU' 1
contains "$(cat /tmp/case/locked)" load-image
runbook 'RELOAD AN FPGA OR DPU' 2
expect_status 0 pcictl remove "$card"
expect_status 6 pcictl rescan --settle 1 --expect id=10ee:9038 "$card"
same "$before" "$(functions)"

# --- A driver that hangs, for as long as nobody mends it.
device=$card
slow remove_ms 600000
by_hand() {
    same 'mend what the driver waits for, or wait' "$1"
    contains "$(cat /tmp/case/said)" 'waits for driver slowpci to stop the device'
    slow remove_ms 0
    wait_until 60 nobody_at_work || fail "it goes on: $(stuck_tasks)"
}
runbook 'RECOVER A BUS THAT HANGS' 1
same "$before" "$(functions)"
same 'nothing is under way, interrupted or removed' "$(pcictl status)"
