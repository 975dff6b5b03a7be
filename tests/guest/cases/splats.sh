# What raw writes alone bring out of the kernel, each in turn and none beside another: removal, rescan, virtual functions, slots,
# drivers, resets. Only a kernel with a lock validator tells, and of each boot but the first report: it is silent from then on. So
# /rig/seed says which comes first (PCICTL_GUEST_SEED=1 to 8). tests/PROOF.md lists what it said, with the functions at the top.
# topology: lifecycle
# kernels: 6.12-debug
# run: named
# boot: own
# allow: complaint changed
# timeout: 600
pf=$(of_kind nvme | nth 1)
edu=$(of_kind edu | nth 1)
upstream=$(of_kind upstream | nth 1)
set -- /sys/bus/pci/slots/*
slot=${1##*/}
# tell WHAT: does it, and what the kernel has said of it.
tell() {
    "$1" 2>/tmp/case/error || note "$1: $(cat /tmp/case/error)"
    dmesg >/tmp/case/said
    reports=$(grep -c "$report" /tmp/case/said)
    [ "$reports" -gt "$told" ] || return 0
    told=$reports
    note "$1: $(grep -A 60 "$report" /tmp/case/said | grep -E 'is trying to acquire|already holding|[a-z_]+\+0x|at: ' | sed 's/^[^]]*\] *//' | head -n 40 | xargs)"
    grep -A 120 'possible circular' /tmp/case/said
}
report='possible circular\|BUG:\|WARNING' told=0
rescans() { scan "$edu"; }
removes() { drop "$edu" && scan "$upstream"; }
above() { drop "$upstream" && echo 1 >/sys/bus/pci/rescan; }
functions_on() { echo 2 >"$pci/$pf/sriov_numvfs" && echo 0 >"$pci/$pf/sriov_numvfs"; }
pf_goes() { drop "$pf" && echo 1 >/sys/bus/pci/rescan; }
slot_off() { echo 0 >"/sys/bus/pci/slots/$slot/power" && echo 1 >"/sys/bus/pci/slots/$slot/power"; }
driver() { echo "$edu" >"$pci/$edu/driver/unbind" && echo "$edu" >/sys/bus/pci/drivers_probe; }
resets() { echo 1 >"$pci/$pf/reset"; }
all='driver resets functions_on rescans removes above pf_goes slot_off'
# shellcheck disable=SC2086 # words
for what in $(echo $all $all | cut -d ' ' -f "$(cat /rig/seed)-" | cut -d ' ' -f 1-8); do tell "$what"; done
[ "$told" -gt 0 ] || note 'nothing was reported'
