# The rig has a network card of two physical functions, whose virtual ones come and go, and share their bus.
# topology: igb
# kernels: any
before=$(functions)
pfs=$(of_kind igb)
[ "$(echo "$pfs" | wc -l)" = 2 ] || fail "not two physical functions: $before"
[ "$(of_kind edu | grep -c '^0000:8[0-9a-f]:')" = 1 ] || fail "no neighbour below the other host bridge: $before"
for pf in $pfs; do
    same 7 "$(cat "$pci/$pf/sriov_totalvfs")"
    echo 7 >"$pci/$pf/sriov_numvfs" || fail "no virtual functions of $pf: $(dmesg | tail)"
done
same 14 "$(of_kind igbvf | wc -l)"
for pf in $pfs; do
    for vf in "$pci/$pf"/virtfn*; do
        vf=$(basename "$(readlink "$vf")")
        same "${pf%:*}" "${vf%:*}"
        same igbvf "$(basename "$(readlink "$pci/$vf/driver")")"
    done
done
for pf in $pfs; do echo 0 >"$pci/$pf/sriov_numvfs"; done
same "$before" "$(functions)"
