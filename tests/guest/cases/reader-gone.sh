# That nobody reads its report any more ends nothing: a removal whose reader has gone is completed, not undone.
# topology: switch8
# kernels: any
before=$(functions)
device=$(of_kind edu | nth 1)
is_gone() {
    [ ! -e "$pci/$device" ]
}
slow remove_ms 1000
pcictl remove "$device" | true
wait_until 60 is_gone || fail "it was not completed: $(functions)"
slow remove_ms 0
expect_status 0 pcictl status
contains "$out" "$device: removed and not back"
expect_status 0 pcictl rescan --settle 10 "$device"
same "$before" "$(functions)"
