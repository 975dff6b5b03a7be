# The disk that the ledger is on is removed: what is to be remembered is on it before its driver is stopped, and nothing
# waits for it afterwards. It is read there when the disk is back.
#
# No IOMMU here, for the reason that users-disk-forced tells.
# topology: mixed
# kernels: any
# timeout: 240
before=$(functions)
disk=$(of_kind nvme | nth 1)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
state=/var/lib/pcictl
mount_new "$name" $state
entries() {
    ls $state/ledger/*.json 2>/dev/null
}

# timely SECONDS STATUS COMMAND...: one that hangs ends with 143.
timely() {
    seconds=$1 status=$2
    shift 2
    started=$(now)
    expect_status "$status" timeout "$seconds" "$@"
    note "$2: $((($(now) - started) * 10)) ms, status $status"
}
timely 60 0 pcictl remove --timeout 30 --force mounted --yes "$disk"
contains "$err" "overriding mounted: $state is mounted from $name (ext4)"
note "$(echo "$err" | xargs)"
[ ! -e "$pci/$disk" ] || fail "still there"
# The state directory is on a disk that is gone: whoever looks there gets an answer.
timely 30 0 pcictl list
timely 30 0 pcictl locks
status=0
timeout 30 pcictl status >/tmp/case/status 2>&1 || status=$?
case $status in 0 | 5) ;; *) fail "status ended with $status: $(cat /tmp/case/status)" ;; esac
note "status: $status $(one_line 1000 </tmp/case/status)"

umount $state || fail "busy"
timely 60 0 pcictl rescan "$disk"
same "$before" "$(functions)"
# Nobody may write to a file system that was torn off before it was checked.
mount -t ext4 -o ro "/dev/$name" $state || fail 'not mounted again'
[ -n "$(entries)" ] || fail "the entry was not on the disk: $(find $state)"
expect_status 0 pcictl rescan "$disk"
contains "$out" "= $disk was back already, and is as it was"
contains "$err" 'Read-only file system'
umount $state
