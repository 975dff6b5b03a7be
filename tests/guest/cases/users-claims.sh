# What claims a disk without a mount or a link of its own is named, or told to be there: the journal of a file system on
# another disk, and whoever has the disk for himself alone. One half of a mirror needs less than both.
# topology: users
# kernels: any
# timeout: 240
first=$(of_kind nvme | nth 1)
second=$(of_kind nvme | nth 2)
before=$(functions)
data=$(basename "$pci/$first"/nvme/nvme*/nvme*n1)
other=$(basename "$pci/$second"/nvme/nvme*/nvme*n1)
mkdir -p /tmp/mnt

mke2fs -b 4096 "/dev/$data" >/dev/null 2>&1 || fail "no file system"
hold journal "/dev/$other" "/dev/$data" >/dev/null || fail "no journal"
mount -t ext4 "/dev/$data" /tmp/mnt || fail "not mounted: $(dmesg | tail -n 3)"
[ -d "/proc/fs/jbd2/$other" ] || fail "the journal is elsewhere: $(ls /proc/fs/jbd2)"
refused "$second" mounted "$other is the journal of the file system on $data"
expect_status 4 pcictl remove --force swap,holders,open,network,management,vfio,vfs,console,protected,redundant,unchecked "$second"
echo alive >/tmp/mnt/file || fail "the file system is dead"
sync
grep -q 'ext4 rw' /proc/mounts || fail "read-only: $(grep ext4 /proc/mounts)"
umount /tmp/mnt

# The kernel's own answer. To show it, nobody looks before a change.
in_background hold alone "/dev/$other"
refused "$second" holders "$other is claimed by a process that has it open"
expect_status 4 pcictl remove --force open "$second"
contains "$err" "$other is claimed"
expect_status 4 pcictl remove -n "$second"
[ "$out" = "${out#*is claimed}" ] || fail "a dry run opens the disk"
let_go

hold raid "/dev/$data" "/dev/$other" >/dev/null || fail "no RAID"
refused "$second" redundant "md0 (RAID) is built on $other: 1 of 2 copies, the other is $first and healthy"
expect_status 4 pcictl remove "$first" "$second"
contains "$err" "the last 2 copies"
contains "$err" '--force holders'
dd if=/dev/md0 of=/dev/null bs=4096 count=16 2>/dev/null || fail "the mirror is dead"
hold unraid >/dev/null
same "$before" "$(functions)"

# Which of its paths are in use, dm-multipath alone knows: the disks are fine all the time.
modprobe -a dm-multipath dm-round-robin
hold multipath paths "/dev/$data" "/dev/$other" >/dev/null || fail "no paths: $(dmesg | tail -n 2)"
refused "$second" redundant "(multipath paths) is built on $other: 1 of 2 paths, the other is $first and healthy"
hold failpath paths "/dev/$data" >/dev/null || fail "the path goes on"
refused "$second" holders "(multipath paths) is built on $other: the last path"
hold unlinear paths >/dev/null || fail "still there"
same "$before" "$(functions)"

# What serves a disk to others, or keeps pages on it, is told by name.
modprobe -a configfs target_core_mod target_core_iblock nvmet zram
[ -d /sys/kernel/config/target ] || mount -t configfs none /sys/kernel/config
store=/sys/kernel/config/target/core/iblock_7/store
mkdir -p "$store" || fail "no target: $(dmesg | tail -n 2)"
echo "udev_path=/dev/$other" >"$store/control"
echo 1 >"$store/enable"
refused "$second" holders "SCSI target store"
rmdir "$store" "${store%/*}"

space=/sys/kernel/config/nvmet/subsystems/served/namespaces/1
mkdir "${space%/namespaces/1}" || fail "no subsystem"
mkdir "$space" || fail "no namespace"
echo "/dev/$other" >"$space/device_path"
echo 1 >"$space/enable"
refused "$second" holders "NVMe target served gives out $other"
echo 0 >"$space/enable"
rmdir "$space" "${space%/namespaces/1}"

echo "/dev/$other" >/sys/block/zram0/backing_dev || fail "no writeback"
refused "$second" holders "zram0"
# Before 5.14 a reset without a size lets nothing go.
echo 1M >/sys/block/zram0/disksize
echo 1 >/sys/block/zram0/reset
same "$before" "$(functions)"

expect_status 0 pcictl remove "$second"
[ -z "$err" ] || fail "not without a word: $err"
expect_status 0 pcictl rescan "$second"
