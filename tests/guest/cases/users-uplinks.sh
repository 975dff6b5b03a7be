# Network use that no address tells of: a default route over two link-local uplinks, of IPv4 and IPv6 and in other tables,
# next-hop objects, packet sockets, promiscuous interfaces, XDP programs, RDMA; and of two links of a bond one may go, not both.
# topology: users
# kernels: any
# timeout: 300
first=$(of_kind e1000e | nth 1)
second=$(of_kind e1000e | nth 2)
before=$(functions)
a=$(basename "$pci/$first"/net/*)
b=$(basename "$pci/$second"/net/*)
ip link set lo up
ip link set "$a" up
ip link set "$b" up

# allowed ADDRESS: nobody uses it.
allowed() {
    expect_status 0 pcictl remove -n "$1"
    case $out in *"would be refused"*) fail "$1 is refused: $out" ;; esac
}
wait_until 30 grep -q "$b" /proc/net/if_inet6 || fail "no link-local address"
allowed "$first"
allowed "$second"

# /proc/net/route has the first next hop alone.
net via 4 254 "$a" "$b"
refused "$first" management "$a carries the default route"
refused "$second" management "$b carries the default route"
grep -q "^$b" /proc/net/route && fail "the file tells of $b: this shows nothing"
net noroute 4 254
net via 6 254 "$a" "$b"
refused "$first" management "$a carries the default route"
refused "$second" management "$b carries the default route"
net noroute 6 254
net via 4 1001 "$b"
allowed "$first"
refused "$second" management "$b carries the default route of table 1001"
net noroute 4 1001

# Next-hop objects, whose interfaces the route itself may not tell.
net hop 1 "$a"
net hop 2 "$b"
net group 3 1 2
net through 3
for compatible in 1 0; do
    echo $compatible >/proc/sys/net/ipv4/nexthop_compat_mode
    refused "$first" network "$a carries a route to 10.50.0.0/16"
    refused "$second" network "$b carries a route to 10.50.0.0/16"
done
ip route del 10.50.0.0/16
allowed "$second"

# An address whose network is the address alone.
ip address add 10.9.8.7/32 dev "$b"
refused "$second" network "$b carries address 10.9.8.7"
ip address flush dev "$b"

# Thousands of routes are somebody else's, and the last one is ours.
net fill "$a" 3000
begun=$(now)
allowed "$second"
note "with 3000 routes on another interface the look took $((10 * ($(now) - begun))) ms"
refused "$first" network "$a carries a route to 11.0.0.0/32" "2997 more routes"
ip link set "$a" down
ip link set "$a" up

# Who listens.
in_background net listen "$b"
refused "$second" network "pid $holder (net listen $b) listens on $b with a packet socket"
allowed "$first"
let_go
in_background net listen "$b" promiscuous
refused "$second" network "$b is promiscuous: something listens" "pid $holder"
let_go
allowed "$second"
net xdp "$b"
refused "$second" network "$b runs XDP program "
net noxdp "$b"
allowed "$second"

# An RDMA device on it, which one part of the kernel uses: the SCSI RDMA target takes whatever comes.
net rxe soft0 "$b" || fail "no RDMA device"
refused "$second" holders,network "$b carries RDMA device soft0" 'ib_srpt of the kernel uses RDMA device soft0'
allowed "$first"
expect_status 0 pcictl remove --force network,holders "$second"
expect_status 0 pcictl rescan "$second"
b=$(basename "$pci/$second"/net/*)
ip link set "$b" up

# In a network namespace of its own.
in_background unshare -n sh -c 'echo ready; exec sleep 1000'
ip link set "$b" netns "$holder"
nsenter -t "$holder" -n ip link set "$b" up
nsenter -t "$holder" -n net listen "$b" >/tmp/listener 2>&1 &
listener=$!
wait_until 30 grep -q ready /tmp/listener || fail "$(cat /tmp/listener)"
refused "$second" network "listens on $b with a packet socket in the network namespace of pid $holder (sleep)"
kill -9 "$listener"
wait "$listener" 2>/dev/null
let_go
wait_until 30 [ -e "/sys/class/net/$b" ] || fail "$b did not come back"

# Two links of a bond.
ip link set "$a" down
ip link set "$b" down
echo +bond7 >/sys/class/net/bonding_masters
echo active-backup >/sys/class/net/bond7/bonding/mode
echo 100 >/sys/class/net/bond7/bonding/miimon
echo "+$a" >/sys/class/net/bond7/bonding/slaves || fail "$a is not in the bond"
echo "+$b" >/sys/class/net/bond7/bonding/slaves || fail "$b is not in the bond"
ip link set bond7 up
ip address add 10.9.6.7/24 dev bond7
ip route add default via 10.9.6.1
wait_until 30 grep -q up "/sys/class/net/$a/bonding_slave/mii_status" || fail "$a is not up in the bond"
wait_until 30 grep -q up "/sys/class/net/$b/bonding_slave/mii_status" || fail "$b is not up in the bond"
is_part="is part of bond bond7 (address 10.9.6.7, the default route)"
refused "$first" redundant "$a $is_part and is 1 of 2 links of bond7: $b ($second) stays and is up"
expect_status 4 pcictl remove --each "$first" "$second"
contains "$err" "$a $is_part and leaves bond7 without a link that is up"
contains "$err" '--force management'
expect_status 4 pcictl remove --force network,management "$first"
expect_status 0 pcictl remove --force redundant "$first"
ping -c 1 -W 1 10.9.6.7 >/dev/null || fail "the bond is gone"
grep -q up /sys/class/net/bond7/operstate || fail "the bond is down"
refused "$second" management "$b $is_part and leaves bond7 without a link that is up"
expect_status 0 pcictl rescan "$first"
echo -bond7 >/sys/class/net/bonding_masters
wait_until 30 [ -e "/sys/class/net/$b" ]
same "$before" "$(functions)"
