# A card of several functions goes whole and comes back whole, whichever of its functions was named; `show` lists them, and
# the kernel's own list of an IOMMU group, where there is one.
# topology: mixed iommu
# kernels: any
before=$(functions)
if [ -d /sys/kernel/iommu_groups/0 ]; then
    card=$(of_kind e1000e)
    expect_status 0 pcictl show -j "$card"
    group=$(readlink -f "$pci/$card/iommu_group")
    for member in "$group"/devices/*; do contains "$out" "\"${member##*/}\""; done
    port=$(parent_of "$card")
    [ "$(readlink -f "$pci/$port/iommu_group")" = "$group" ] || fail "its port is in another group, which proves nothing"
    expect_status 0 pcictl replug --iommu-group "$card"
    contains "$err" "$port: --iommu-group does not include it, because it is a bridge"
    same "$before" "$(functions)"
    exit 0
fi
second=$(functions | awk '$1 ~ /[.]1$/ && $2 == "0x1234:0x11e8" { print $1 }')
first=${second%.1}.0
expect_status 0 pcictl show "$second"
contains "$out" "siblings        $first"
expect_status 0 pcictl remove --with-siblings "$second"
[ "$(of_kind edu | grep -c "^${second%.1}[.]")" = 0 ] || fail "not both are gone: $(functions)"
expect_status 0 pcictl rescan "$second"
same "$before" "$(functions)"
expect_status 0 pcictl status
