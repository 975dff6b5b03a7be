# shellcheck shell=sh
# What tests/demo runs inside the first guest, which does not survive it.
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh
# shellcheck source=tests/guest/demo-lib.sh
. /rig/demo-lib.sh
mkdir -p /tmp/case

say "Linux $(uname -r) in QEMU. A PCIe switch with a drive and eight devices behind it."
show pcictl tree

say "What happens today when two scripts meet. One rescans, in a loop; another one removes the switch above."
echo
for device in $(below "$switch" | head -n 4); do
    echo "\$ while echo 1 > /sys/bus/pci/devices/$device/rescan; do :; done &"
done
echo "\$ echo 1 > /sys/bus/pci/devices/$switch/remove &"
deadlock "$switch"

say "Nothing comes back. pcictl looks, which takes no lock of the kernel's, and tells why."
show pcictl doctor

say "That was the first machine. Nothing but a reset ends this."
