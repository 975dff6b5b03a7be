# Five operators remove and rescan at the same time, 200 operations in all, where raw writes wreck the kernel
# (raw-deadlock, raw-remove-pair): three below the same switch, in each other's way, two on the other side of the
# machine. Each operation ends as documented, the kernel stays healthy, and everything is back in the end.
# topology: nested
# append: slub_debug=FPZU
# timeout: 600
before=$(functions)
first=$(of_kind upstream | nth 1)
last=$(of_kind upstream | tail -n 1)
slow remove_ms 20

# operator NAME SEED TARGET...: 40 operations on targets picked by a small generator, the same in each run.
operator() {
    name=$1 seed=$2
    shift 2
    for count in $(seq 40); do
        seed=$(((seed * 1103515245 + 12345) % 2147483648))
        eval "target=\${$((seed / 65536 % $# + 1))}"
        status=0
        if [ $((seed / 256 % 2)) = 0 ]; then
            what="remove $target"
            pcictl remove --wait 60 --if-present "$target" >"/tmp/case/$name.out" 2>&1 || status=$?
        else
            what="rescan $target"
            pcictl rescan --wait 60 "$target" >"/tmp/case/$name.out" 2>&1 || status=$?
        fi
        echo "$status $name $count $what: $(xargs <"/tmp/case/$name.out" | cut -c 1-300)" >>"/tmp/case/log.$name"
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

cat /tmp/case/log.*
[ "$(cat /tmp/case/log.* | wc -l)" = 200 ] || fail "$(cat /tmp/case/log.* | wc -l) operations, not 200"
bad=$(grep -vhE '^(0|1|3|4|5|6|75) ' /tmp/case/log.*) && fail "undocumented exit status: $bad"
note "exit statuses: $(cut -d ' ' -f 1 /tmp/case/log.* | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
removed=$(cat /tmp/case/log.* | grep -c ': removed [1-9]')
waited=$(cat /tmp/case/log.* | grep -c 'waiting for up to')
note "$removed removed something, $waited had to wait"
if [ "$removed" -lt 30 ] || [ "$waited" -lt 20 ]; then
    fail "most operations did nothing, or met nobody, so this proves nothing"
fi
slow remove_ms 0
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
