# Each device that may go is removed by pcictl and brought back by its address alone, one after the other and then all
# together, and the functions and their drivers are the same as before, every time.
# topology: switch8 igb mixed iommu
# kernels: all 6.18
# timeout: 240
before=$(functions)
root_ports=$(of_kind root-port)

# on PORT: the functions on the bus right below it; several for a card of several functions.
on() {
    for address in $(below "$1"); do
        [ "$(parent_of "$address")" != "$1" ] || echo "$address"
    done
}
# gone ADDRESS...
gone() {
    removed=$(for top in "$@"; do echo "$top"; below "$top"; done)
    expect_status 0 pcictl remove "$@"
    for address in $removed; do
        [ ! -e "/sys/bus/pci/devices/$address" ] || fail "$address is still there after: pcictl remove $*"
    done
}
all=
for port in $root_ports; do
    devices=$(on "$port")
    all="$all $devices"
    # shellcheck disable=SC2086 # an argument each
    gone $devices
    expect_status 0 pcictl rescan "$(echo "$devices" | nth 1)"
    same "$before" "$(functions)"
done
# shellcheck disable=SC2086
gone $all
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
