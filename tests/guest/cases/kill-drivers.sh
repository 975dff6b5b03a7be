# The same for unbind, bind and override: killed at each system call that changes anything, the driver and its override are
# in the end as they were, or as they were to be.
# topology: sriov
# kernels: 6.1
# run: named
# timeout: 1500
before=$(functions)
device=$(of_kind edu)
# state: the driver and the override.
state() {
    link=$(readlink "$pci/$device/driver") || link=none
    echo "${link##*/} $(cat "$pci/$device/driver_override")"
}
# one_of STATE STATE: nothing in between.
one_of() {
    now_is=$(state)
    [ "$now_is" = "$1" ] || [ "$now_is" = "$2" ] || fail "$where: neither '$1' nor '$2' but '$now_is': $(cat /tmp/case/recover)"
}
bound() {
    [ -e "$pci/$device/driver" ] || echo "$device" >/sys/bus/pci/drivers/slowpci/bind
}
unbound() {
    [ ! -e "$pci/$device/driver" ] || echo "$device" >"$pci/$device/driver/unbind"
}
plain() {
    give "$device" ''
}

# shellcheck disable=SC2317 # survives_kills calls it
from_end() {
    one_of 'slowpci (null)' 'none (null)'
    bound
}
survives_kills "$device" bound pcictl unbind "$device"
[ "$undone" -gt 0 ] || note "no unbind was ever undone"
survives_kills "$device" unbound pcictl bind "$device"

# shellcheck disable=SC2317 # survives_kills calls it
from_end() {
    one_of 'slowpci (null)' 'slowpci_other slowpci_other'
    [ "$now_is" = 'slowpci (null)' ] || plain
}
survives_kills "$device" : pcictl override "$device" slowpci_other
[ "$undone" -gt 0 ] || fail "no override was ever undone"
unset -f from_end
same "$before" "$(functions)"
