# Whatever kills a change of power settings wherever, they are as before or as they were to be once it is recovered.
# topology: mixed
# kernels: 6.12
# run: named
# timeout: 900
before=$(functions)
nvme=$(of_kind nvme)
settings() {
    cat "$pci/$nvme/power/control" "$pci/$nvme/d3cold_allowed"
}
start=$(settings)
expect_status 0 pcictl power --runtime auto --d3cold off "$nvme"
planned=$(settings)
[ "$start" != "$planned" ] || fail 'nothing is changed'
# restore: as they were, once it is seen that they are so, or as they were to be.
restore() {
    now=$(settings)
    [ "$now" = "$start" ] || [ "$now" = "$planned" ] || fail "neither as before nor as planned: $now"
    echo "$start" | {
        read -r control && echo "$control" >"$pci/$nvme/power/control"
        read -r d3cold && echo "$d3cold" >"$pci/$nvme/d3cold_allowed"
    }
}
survives_kills "$nvme" restore pcictl power --runtime auto --d3cold off "$nvme"
restore
same "$start" "$(settings)"
same "$before" "$(functions)"
