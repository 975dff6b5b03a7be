# A hotplug port that gets its driver finds the card that is plugged, in a thread of its own. `bind` ends when that has.
# topology: slots
# kernels: all
# timeout: 120
before=$(functions)
card=$(cat /sys/bus/pci/slots/3/address).0
port=$(parent_of "$card")
expect_status 0 pcictl remove "$card"
expect_status 0 pcictl unbind "$port"
slow probe_ms 1000
expect_status 0 pcictl bind "$port"
[ -e "$pci/$card/driver" ] || fail "the card is not at work yet: $(functions)"
slow probe_ms 0
same "$before" "$(functions)"
expect_status 0 pcictl status
