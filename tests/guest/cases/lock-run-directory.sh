# Without a place for lock files nothing is changed: a run directory that is full, and one that cannot be written to.
# topology: switch8
before=$(functions)
device=$(of_kind edu | nth 1)
mkdir /tmp/case/run
mount -t tmpfs -o mode=755,size=256k run /tmp/case/run
export PCICTL_RUN_DIR=/tmp/case/run

# It fits as long as there is room, so the refusals below are for want of it.
expect_status 0 pcictl lock "$device" -- true
dd if=/dev/zero of=/tmp/case/run/filler bs=4k 2>/dev/null
neighbour=$(of_kind edu | nth 2)
expect_status 1 pcictl remove "$neighbour"
contains "$err" 'No space left on device; nothing was changed'

rm /tmp/case/run/filler
mount -o remount,ro /tmp/case/run
for target in "$device" "$neighbour"; do
    expect_status 77 pcictl remove "$target"
    contains "$err" 'Read-only file system'
done
umount /tmp/case/run
same "$before" "$(functions)"
unset PCICTL_RUN_DIR
