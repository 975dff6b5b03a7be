# unbind, bind and override change the driver of a device that stays where it is, and say what is true: a driver that does
# not fit, does not take it, fails or hangs; a device in use, a bridge, none at all. What could not be done is as before.
# topology: mixed
# kernels: all
# timeout: 300
before=$(functions)
edu=$(of_kind edu | nth 1)
nvme=$(of_kind nvme)
port=$(parent_of "$nvme")
driver() {
    link=$(readlink "$pci/$1/driver") || link=none
    echo "${link##*/}"
}
override() {
    cat "$pci/$1/driver_override"
}
# is ADDRESS DRIVER OVERRIDE
is() {
    same "$2, override $3" "$(driver "$1"), override $(override "$1")"
}

# unbind, and again.
expect_status 0 pcictl unbind "$edu"
contains "$out" "$edu: unbound from slowpci in "
is "$edu" none '(null)'
expect_status 0 pcictl unbind "$edu"
same "$edu: has no driver, nothing to unbind" "$out"
expect_status 0 pcictl status

# bind: to a driver that does not know it, to the one that does, to one that it has, to another one.
expect_status 1 pcictl bind --driver slowpci_other "$edu"
contains "$err" "nothing was changed"
contains "$err" "pcictl override $edu DRIVER"
is "$edu" none '(null)'
expect_status 0 pcictl bind "$edu"
contains "$out" "$edu: bound to slowpci in "
expect_status 0 pcictl bind --driver slowpci "$edu"
same "$edu: has slowpci already" "$out"
expect_status 4 pcictl bind --driver nvme "$edu"
contains "$err" "pcictl override $edu nvme"
expect_status 1 pcictl bind --driver nosuch "$edu"
contains "$err" "modprobe nosuch"
is "$edu" slowpci '(null)'

# A probe that fails, and one that does not want the device, of which the kernel says that all went well.
expect_status 0 pcictl unbind "$edu"
for errno in 5 19; do
    slow fail_probe $errno
    expect_status 1 pcictl bind --driver slowpci "$edu"
    contains "$err" "bind $edu to slowpci: "
    expect_status 1 pcictl bind "$edu"
    contains "$err" "no driver took $edu; nothing was changed"
    is "$edu" none '(null)'
done
slow fail_probe 0
expect_status 0 pcictl bind "$edu"

# override, kept over a reboot, and back.
expect_status 0 pcictl override --persist "$edu" slowpci_other
contains "$out" "override slowpci_other; driver slowpci -> slowpci_other"
is "$edu" slowpci_other slowpci_other
same slowpci_other "$(cat "/etc/driverctl.d/pci-$edu")"
expect_status 0 pcictl show "$edu"
contains "$out" 'slowpci_other, persistent'
expect_status 0 pcictl override "$edu" slowpci_other
contains "$out" 'as before'
expect_status 0 pcictl override --clear --persist "$edu"
is "$edu" slowpci '(null)'
[ ! -e "/etc/driverctl.d/pci-$edu" ] || fail "the persistent override is still there"
# One that no driver is called by.
expect_status 0 pcictl override "$edu" none
is "$edu" none none
expect_status 1 pcictl bind "$edu"
contains "$err" "its driver override says none"
expect_status 0 pcictl override --clear "$edu"
is "$edu" slowpci '(null)'

# A driver that fails, and one that does not want it: the old one and the old override are back.
for errno in 5 19; do
    slow fail_probe $errno
    expect_status 1 pcictl override "$nvme" slowpci_other
    contains "$err" 'steps were undone'
    is "$nvme" nvme '(null)'
done
slow fail_probe 0

# In use, a bridge at work, several of a group, nothing there.
new_file_system nvme0n1
mkdir -p /tmp/case/mounted
mount -t ext2 /dev/nvme0n1 /tmp/case/mounted || fail mount
for command in "unbind $nvme" "override $nvme slowpci_other"; do
    # shellcheck disable=SC2086 # words
    expect_status 4 pcictl $command
    contains "$err" /tmp/case/mounted
    contains "$err" '--force mounted'
done
umount /tmp/case/mounted
expect_status 4 pcictl unbind "$port"
contains "$err" "$nvme"
is "$port" pcieport '(null)'
expect_status 2 pcictl unbind driver:pcieport
expect_status 3 pcictl unbind 0000:77:00.0
# The bridge after what is below it, in one go and in that order.
expect_status 0 pcictl unbind "$port" "$nvme"
expect_status 0 pcictl bind "$port" "$nvme"
contains "$out" "$port: bound to pcieport"
contains "$out" "$nvme: bound to nvme"

# A driver that hangs: the terminal is given back, the lock stays, the end is as promised.
slow probe_ms 600000
expect_status 0 pcictl unbind "$edu"
expect_status 124 pcictl bind --timeout 1 "$edu"
expect_status 75 pcictl unbind --no-wait "$edu"
slow probe_ms 0
wait_until 30 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
is "$edu" slowpci '(null)'
slow remove_ms 600000
expect_status 124 pcictl override --timeout 1 "$edu" slowpci_other
slow remove_ms 0
wait_until 30 nobody_at_work || fail "somebody goes on: $(stuck_tasks)"
note "override whose unbind hung: $(pcictl status | head -n 1); $(driver "$edu"), override $(override "$edu")"
expect_status 0 pcictl recover
case "$(driver "$edu") $(override "$edu")" in
'slowpci (null)') ;;
'slowpci_other slowpci_other') expect_status 0 pcictl override --clear "$edu" ;;
*) fail "neither start nor end: $(driver "$edu"), $(override "$edu")" ;;
esac
expect_status 0 pcictl status
same "$before" "$(functions)"
