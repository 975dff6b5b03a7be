# A driver that binds late is waited for; one that does not bind in time, and one whose probe fails, are told and give 6.
# The entry stays until the device is as it was.
# topology: switch8
# kernels: all
# timeout: 120
device=$(of_kind edu | nth 1)
pcictl_says() { contains "$out" "$1"; }

slow late_ms 1500
expect_status 0 pcictl remove "$device"
expect_status 0 pcictl rescan "$device" --json
pcictl_says '"differences": []'
[ -e "$pci/$device/driver" ] || fail "reported before the driver was bound: $out"

slow late_ms 5000
expect_status 0 pcictl remove "$device"
expect_status 6 pcictl rescan --settle 1 "$device"
pcictl_says "! $device driver: slowpci -> none (not there after 1 s)"
wait_until 20 [ -e "$pci/$device/driver" ] || fail 'the late driver never came'
expect_status 0 pcictl rescan "$device"
pcictl_says "= $device was back already, and is as it was"

slow late_ms 0
slow fail_probe 5
expect_status 0 pcictl remove "$device"
begun=$(now)
expect_status 6 pcictl rescan --settle 60 "$device"
[ $(($(now) - begun)) -lt 6000 ] || fail 'waited although the kernel had said that the probe failed'
pcictl_says "! $device driver: slowpci -> none (its probe failed: I/O error)"
expect_status 6 pcictl rescan --settle 0.2 "$device"
expect_status 0 pcictl rescan --settle 0.2 --accept driver "$device"
pcictl_says "~ $device driver: slowpci -> none"

# What was accepted is no longer told; what is bound again is news to nobody.
expect_status 0 pcictl rescan "$device"
slow fail_probe 0
echo "$device" >/sys/bus/pci/drivers/slowpci/bind
expect_status 0 pcictl rescan "$device"
[ -z "$out$err" ] || fail "says: $out $err"

# What --expect names and does not come.
expect_status 6 pcictl rescan --settle 0.2 --expect driver=nvme "$device"
pcictl_says '! expected driver=nvme: 1 to come (not there after 0.2 s)'
expect_status 6 pcictl rescan --json --settle 0.2 --expect driver=nvme "$device"
# It is about no function.
echo "$out" | grep -A 1 '"kind": "expected"' | grep -q '"address": null' || fail "says: $out"
expect_status 0 pcictl rescan --all --settle 0.2 --expect "$device,driver=slowpci" --expect id=1234:11e8,count=8
[ -z "$out$err" ] || fail "says: $out $err"
