# On this kernel a raw removal of a physical function whose driver disables its virtual functions deadlocks with itself: it
# holds pci_rescan_remove_lock, and igb_remove wants it again below pci_disable_sriov. pcictl, which has them off first,
# removes it.
# topology: igb
# kernels: 6.18
# boot: own
# expect: stuck
# allow: changed
before=$(functions)
pf=$(of_kind igb | nth 1)
echo 2 >"$pci/$pf/sriov_numvfs"
[ "$(of_kind igbvf | wc -l)" = 2 ] || fail "no virtual functions: $(functions)"
expect_status 0 pcictl remove --force vfs,network --yes "$pf"
[ ! -e "$pci/$pf" ] || fail "$pf is still there"
expect_status 0 pcictl rescan "$pf" --accept vfs
same "$before" "$(functions)"

echo 2 >"$pci/$pf/sriov_numvfs"
drop "$pf" &
hangs_in_itself() {
    case $(stuck_tasks) in *sriov_disable*) ;; *) return 1 ;; esac
}
wait_until 30 hangs_in_itself || fail "it got through: $(stuck_tasks) $(dmesg | tail -n 5)"
note "stuck: $(stuck_tasks | head -n 8 | xargs)"
