# pcictl is killed by SIGKILL at each system call of switching a slot off and on that changes anything, then its writer, then
# all of it at once; each time `recover` brings what is in the slot back with its driver, or the work to its end. One kernel will
# do, as for a removal.
# topology: slots
# kernels: 6.1
# run: named
# timeout: 1200
before=$(functions)
# The port of slot 3 cannot switch the power, so the card stays where it is.
power=/sys/bus/pci/slots/3/power
card=$(cat /sys/bus/pci/slots/3/address).0
# on: a rescan brings the card back and leaves pciehp thinking that the slot is off.
on() {
    echo 1 >$power 2>/dev/null || :
}
off() {
    on
    pcictl slot off 3 >/tmp/case/off 2>&1 || fail "slot off: $(cat /tmp/case/off)"
}
survives_kills "$card" on pcictl slot off 3
[ "$undone" -gt 0 ] || fail 'nothing was ever undone'
survives_kills "$card" off pcictl slot on --settle 20 3
same "$before" "$(functions)"
