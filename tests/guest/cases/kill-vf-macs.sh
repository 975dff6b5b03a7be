# Whatever kills a change of a VF's MAC wherever, it is as before or as it was to be once it is recovered; and VFs that were to
# come with a MAC have it, or are not there.
# topology: igb
# kernels: 6.12
# run: named
# timeout: 2400
before=$(functions)
pf=$(of_kind igb | nth 1)
interface=$(basename "$pci/$pf"/net/*)
old=02:00:00:00:00:0a new=02:00:00:00:00:0b
ip link set "$interface" up
# mac: of the first VF; nothing if there is none.
mac() {
    net vfs "$interface" | awk '$2 == 0 { print $4 }'
}

# shellcheck disable=SC2317 # survives_kills calls them
{
    none() {
        echo 0 >"$pci/$pf/sriov_numvfs"
    }
    from_end() {
        [ -z "$(mac)" ] || {
            same "$new" "$(mac)"
            same igbvf "$(basename "$(readlink "$pci/$pf/virtfn0/driver")")"
            has_mac "$pf" 0 "$new"
        }
        same 1 "$(cat "$pci/$pf/sriov_drivers_autoprobe")"
        none
    }
}
survives_kills "$pf" none pcictl sriov --mac "0=$new" "$pf" 1
[ "$completed" -gt 0 ] || fail 'no VF was ever completed'

expect_status 0 pcictl sriov --mac "0=$old" "$pf" 1
# shellcheck disable=SC2317 # survives_kills calls them
{
    start() {
        [ "$(mac)" = "$old" ] || pcictl sriov --mac "0=$old" "$pf" >/dev/null 2>&1
    }
    from_end() {
        [ "$(mac)" = "$old" ] || same "$new" "$(mac)"
    }
}
survives_kills "$pf" start pcictl sriov --mac "0=$new" "$pf"
[ "$undone" -gt 0 ] || fail 'nothing was ever put back'
unset -f from_end
expect_status 0 pcictl sriov --off "$pf"
ip link set "$interface" down
same "$before" "$(functions)"
