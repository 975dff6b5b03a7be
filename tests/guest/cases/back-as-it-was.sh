# Whatever is removed comes back by any address that it answered at, and is found to be as it was: an endpoint, a port of a
# switch with what is below it, a whole switch, on either host bridge. A scan of a machine that nobody touched says nothing.
# topology: nested two-hosts
# kernels: any
# timeout: 240
before=$(functions)
untouched() {
    expect_status 0 pcictl rescan --all
    [ -z "$out$err" ] || fail "a rescan of an untouched machine says: $out $err"
}
# comes_back TOP ADDRESS: remove TOP, rescan by ADDRESS, which went with it.
comes_back() {
    gone=$(echo "$1"; below "$1")
    expect_status 0 pcictl remove "$1"
    expect_status 0 pcictl rescan "$2"
    contains "$out" "$(echo "$gone" | wc -l) appeared, $(echo "$gone" | wc -l) as before"
    case $out in *'!'*) fail "something differs: $out" ;; esac
    [ -z "$err" ] || fail "rescan $2 says: $err"
    same "$before" "$(functions)"
}
untouched
for endpoint in $(of_kind edu | nth 1) $(of_kind edu | tail -n 1); do
    comes_back "$endpoint" "$endpoint"
done
for port in $(of_kind downstream | sed -n '1p;$p'); do
    comes_back "$port" "$(below "$port" | tail -n 1)"
done
for switch in $(of_kind upstream); do
    comes_back "$switch" "$(below "$switch" | tail -n 1)"
    comes_back "$switch" "$switch"
done
for host in /sys/devices/pci*; do
    for port in "$host"/*/; do
        port=$(basename "$port")
        # The only devices on a root bus that may go are the ports.
        of_kind root-port | grep -q "^$port$" || continue
        expect_status 0 pcictl remove "$port"
    done
    expect_status 0 pcictl rescan "$(basename "$host")"
    same "$before" "$(functions)"
done
untouched
