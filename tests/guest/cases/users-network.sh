# An interface is not taken away while it carries an address, itself or through what it is part of; the one that holds the
# default route or the operator's session has a danger of its own.
# topology: users
# kernels: any
# timeout: 240
card=$(of_kind e1000e | nth 1)
root_port=$(of_kind root-port | nth 1)
before=$(functions)
name=$(basename "$pci/$card"/net/*)

ip address add 10.9.8.7/24 dev "$name"
ip link set "$name" up
refused "$root_port" network "$name carries address 10.9.8.7"
SSH_CONNECTION="10.9.8.1 50000 10.9.8.7 22"
export SSH_CONNECTION
refused "$root_port" management "$name carries address 10.9.8.7 and carries the session you are typing in"
# sudo sweeps the environment; the shell above it still has it from its start.
# shellcheck disable=SC2016
expect_status 4 sh -c 'env -u SSH_CONNECTION pcictl remove "$0"; exit $?' "$card"
contains "$err" 'the session you are typing in'
unset SSH_CONNECTION
ip route add default via 10.9.8.1
refused "$root_port" management "$name carries address 10.9.8.7, the default route"
expect_status 4 pcictl remove --force network "$card"
ip route del default
ip address flush dev "$name"

# Behind a VLAN, a bond and a bridge.
ip link add link "$name" name lan.7 type vlan id 7
ip link set lan.7 up
ip address add 10.9.7.7/24 dev lan.7
refused "$card" network "$name is part of vlan lan.7 (address 10.9.7.7)"
ip link del lan.7
ip link set "$name" down

echo +bond7 >/sys/class/net/bonding_masters
echo "+$name" >/sys/class/net/bond7/bonding/slaves || fail "not in the bond"
ip link set bond7 up
brctl addbr br7
brctl addif br7 bond7
ip link set br7 up
ip address add 10.9.6.7/24 dev br7
refused "$card" network "$name is part of bond bond7, bridge br7 (address 10.9.6.7)"
expect_status 4 pcictl remove --force open,mounted "$root_port"
brctl delif br7 bond7
ip link del br7
echo -bond7 >/sys/class/net/bonding_masters
ip link set "$name" down

# In a network namespace of its own, where this one does not see it.
in_background unshare -n sh -c 'echo ready; exec sleep 1000'
ip link set "$name" netns "$holder"
[ ! -e "/sys/class/net/$name" ] || fail "$name is still here"
nsenter -t "$holder" -n ip address add 10.9.5.7/24 dev "$name"
nsenter -t "$holder" -n ip link set "$name" up
refused "$card" network "$name carries address 10.9.5.7 in the network namespace of pid $holder (sleep)"
let_go
wait_until 30 [ -e "/sys/class/net/$name" ] || fail "$name did not come back"

ip address add 10.9.8.7/24 dev "$name"
ip link set "$name" up
expect_status 0 pcictl remove --force network "$card"
contains "$err" "overriding network: $name carries address 10.9.8.7"
expect_status 0 pcictl rescan "$card"
same "$before" "$(functions)"
