# Other tools that change drivers: driverctl itself, and the writes of dpdk-devbind.py and SPDK's setup.sh. What they did
# pcictl shows as it is and can take back, what pcictl did they see and can take back.
# topology: mixed
# kernels: all
before=$(functions)
edu=$(of_kind edu | nth 1)
ln -sf "$(command -v bash-static)" /bin/bash
driver() {
    link=$(readlink "$pci/$edu/driver") || link=none
    echo "${link##*/}"
}
override() {
    cat "$pci/$edu/driver_override"
}
# shown PART...: in what pcictl says of it.
shown() {
    expect_status 0 pcictl show "$edu"
    for part in "$@"; do contains "$out" "$part"; done
}

# driverctl. Its own check that a module is loaded is one for the driver's name, which slowpci_other is not.
driverctl set-override "$edu" pci-stub >/tmp/case/out 2>&1 || fail "driverctl: $(cat /tmp/case/out)"
shown 'driver          pci-stub' 'override        pci-stub, persistent'
expect_status 0 pcictl override --clear --persist "$edu"
contains "$out" 'driver pci-stub -> slowpci'
[ ! -e "/etc/driverctl.d/pci-$edu" ] || fail "pcictl left the file of driverctl"
expect_status 0 pcictl override --persist "$edu" pci-stub
# Both write the same file: driverctl loads at boot what pcictl wrote.
same pci-stub "$(cat "/etc/driverctl.d/pci-$edu")"
contains "$(driverctl list-overrides)" "$edu pci-stub"
contains "$(driverctl list-devices | grep "$edu")" "pci-stub [*]"
give "$edu" ''
same 'slowpci (null)' "$(driver) $(override)"
driverctl load-override "$edu" >/tmp/case/out 2>&1 || fail "driverctl: $(cat /tmp/case/out)"
same 'pci-stub pci-stub' "$(driver) $(override)"
driverctl unset-override "$edu" >/tmp/case/out 2>&1 || fail "driverctl: $(cat /tmp/case/out)"
same 'slowpci (null)' "$(driver) $(override)"
shown 'driver          slowpci'
case $out in *'override  '*) fail "an override that is gone: $out" ;; esac

# bind_one and unbind_one of dpdk-devbind.py: the override is set for the bind and cleared behind it.
echo "$edu" >"$pci/$edu/driver/unbind"
echo pci-stub >"$pci/$edu/driver_override"
echo "$edu" >/sys/bus/pci/drivers/pci-stub/bind
printf '\000' >"$pci/$edu/driver_override"
same pci-stub "$(driver)"
shown 'driver          pci-stub'
# Its override is gone, so what pcictl clears is none: the driver that fits takes it by unbind and bind.
expect_status 0 pcictl unbind "$edu"
expect_status 0 pcictl bind "$edu"
same slowpci "$(driver)"
# What pcictl bound it unbinds.
expect_status 0 pcictl override "$edu" pci-stub
echo "$edu" >"$pci/$edu/driver/unbind"
printf '\000' >"$pci/$edu/driver_override"
shown 'driver          none'
expect_status 0 pcictl bind "$edu"

# linux_bind_driver of SPDK's setup.sh, and its `reset`.
echo "$edu" >"$pci/$edu/driver/unbind"
echo pci-stub >"$pci/$edu/driver_override"
echo "$edu" >/sys/bus/pci/drivers_probe
shown 'driver          pci-stub' 'override        pci-stub'
expect_status 0 pcictl override --clear "$edu"
same 'slowpci (null)' "$(driver) $(override)"
expect_status 0 pcictl override "$edu" pci-stub
echo "$edu" >"$pci/$edu/driver/unbind"
echo >"$pci/$edu/driver_override"
echo "$edu" >/sys/bus/pci/drivers_probe
shown 'driver          slowpci'
expect_status 0 pcictl status
rm -f /bin/bash
same "$before" "$(functions)"
