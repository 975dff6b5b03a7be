# Without a place for lock files nothing is changed: a run directory that is full, and one that cannot be written to.
# topology: switch8
# kernels: any
before=$(functions)
device=$(of_kind edu | nth 1)
# The one that all processes see: no other is taken on a real machine.
mkdir -p /run/pcictl
mount -t tmpfs -o mode=755,size=256k run /run/pcictl

# It fits as long as there is room, so the refusals below are for want of it.
expect_status 0 pcictl lock "$device" -- true
dd if=/dev/zero of=/run/pcictl/filler bs=4k 2>/dev/null
neighbour=$(of_kind edu | nth 2)
expect_status 1 pcictl remove "$neighbour"
contains "$err" 'No space left on device; nothing was changed'

rm /run/pcictl/filler
mount -o remount,ro /run/pcictl
for target in "$device" "$neighbour"; do
    expect_status 77 pcictl remove "$target"
    contains "$err" 'Read-only file system'
done
umount /run/pcictl
same "$before" "$(functions)"
