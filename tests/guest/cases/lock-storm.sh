# Scripts with raw writes that run under `pcictl lock` are as safe as pcictl's own commands beside them: five operators,
# half of whose operations are raw removals and rescans, which wreck the kernel when nobody keeps them apart (raw-deadlock,
# raw-remove-pair). The kernel stays healthy, and everything is back in the end. /rig/storm says how many operations.
# topology: nested
# kernels: any
# append: slub_debug=FPZU
# timeout: 3000
before=$(functions)
operations=$(cat /rig/storm)
first=$(of_kind upstream | nth 1)
last=$(of_kind upstream | tail -n 1)
# What is above each function now: while it is away, nobody can tell.
functions | while read -r address _; do echo "$address $(parent_of "$address")"; done >/tmp/case/above

# raw_remove TARGET / raw_rescan TARGET: what runbooks do, under the lock of what the write touches. A rescan file scans
# the bus that its function sits on, so the bridge above is what is locked.
cat >/tmp/case/write <<'END'
[ ! -e "$1" ] || echo 1 >"$1"
END
raw_remove() {
    pcictl lock --wait 100 "$1" -- sh /tmp/case/write "$pci/$1/remove"
}
raw_rescan() {
    pcictl lock --wait 100 "$(sed -n "s/^$1 //p" /tmp/case/above)" -- sh /tmp/case/write "$pci/$1/rescan"
}

# operator NAME SEED TARGET...: a fifth of the operations, on targets picked by a small generator, the same in each run.
operator() {
    name=$1 seed=$2
    shift 2
    for count in $(seq $((operations / 5))); do
        next
        eval "target=\${$((seed / 65536 % $# + 1))}"
        case $((seed / 256 % 4)) in
        0) what="pcictl remove --wait 100 --if-present" ;;
        1) what="pcictl rescan --wait 100 --settle 0" ;;
        2) what=raw_remove ;;
        3) what=raw_rescan ;;
        esac
        status=0
        $what "$target" >"/tmp/case/$name.out" 2>&1 || status=$?
        echo "$status $name $count $what $target: $(one_line 300 <"/tmp/case/$name.out")" >>"/tmp/case/log.$name"
    done
}

# shellcheck disable=SC2046 # an argument each
{
    operator one 1 "$first" $(below "$first") &
    operator two 22 "$first" $(below "$first") &
    operator three 333 $(of_kind edu) "$first" &
    operator four 4444 "$last" $(below "$last") &
    operator five 55555 $(below "$last") &
}
wait

cat /tmp/case/log.* >/tmp/case/log
[ "$(wc -l </tmp/case/log)" = "$operations" ] || fail "$(wc -l </tmp/case/log) operations, not $operations"
bad=$(grep -vhE '^(0|1|3|4|5|6) ' /tmp/case/log) && fail "unexpected exit status: $bad"
note "exit statuses: $(cut -d ' ' -f 1 /tmp/case/log | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
raw=$(grep -cE '^0 .*(raw_remove|raw_rescan)' /tmp/case/log)
waited=$(grep -c 'waiting for' /tmp/case/log)
note "$raw raw writes got the lock, $waited operations had to wait"
if [ "$raw" -lt $((operations * 3 / 10)) ] || [ "$waited" -lt $((operations / 20)) ]; then
    fail "too few raw writes, or nobody met anybody, so this proves nothing"
fi
contains "$(pcictl locks 2>&1)" "no lock is held"
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
