# With --refuse a raw removal of a mounted disk is denied, from wherever above it, and the log says why; once nobody uses it,
# the same write goes on.
# topology: users
# kernels: any
# timeout: 240
root_port=$(of_kind root-port | nth 1)
disk=$(of_kind nvme | nth 1)
before=$(functions)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
mount_new "$name" /tmp/mnt
guarded --wait 100 --refuse mounted,swap
for device in "$disk" "$root_port"; do
    ! drop "$device" 2>/tmp/case/err || fail "a raw removal of $device got through"
    same "$before" "$(functions)"
done
guard_says "the device is in use: /tmp/mnt is mounted from $name (ext4)"
note "denied: $(cat /tmp/case/err)"
umount /tmp/mnt
drop "$disk" || fail "it is not in use any more: $(cat /tmp/case/guard)"
[ ! -e "$pci/$disk" ] || fail "it is still there"
echo 1 >/sys/bus/pci/rescan
unguarded
is_as_before() { [ "$(functions)" = "$before" ]; }
wait_until 30 is_as_before
same "$before" "$(functions)"
