# A device that had a driver by override comes back with the usual one: told, and put back by --restore.
# topology: switch8
# kernels: any
device=$(of_kind edu | nth 1)
give "$device" slowpci_other
expect_status 0 pcictl remove "$device"
expect_status 6 pcictl rescan "$device"
contains "$out" "! $device driver: slowpci_other -> slowpci"
expect_status 0 pcictl rescan --restore "$device"
contains "$out" "= put back: set the driver override of $device to slowpci_other"
contains "$(functions)" "$device 0x1234:0x11e8 slowpci_other"
expect_status 0 pcictl replug --restore "$device"
contains "$(functions)" "$device 0x1234:0x11e8 slowpci_other"
give "$device" ''
