# The doctor cries wolf at no time while five operators remove and rescan, some drivers are slow, and the mutex is always
# wanted by several tasks at once: nothing is stuck, and it never says so.
# topology: nested
# kernels: any
# timeout: 240
before=$(functions)
first=$(of_kind upstream | nth 1)
last=$(of_kind upstream | tail -n 1)
slow remove_ms 200
slow probe_ms 200
# operator TARGET: removes and rescans it, twice.
operator() {
    for _ in 1 2; do
        pcictl remove --wait 100 --if-present "$1"
        pcictl rescan --wait 100 "$1"
    done >>"/tmp/case/$1" 2>&1
    : >"/tmp/case/$1.done"
}
operator "$first" &
operator "$last" &
operator "$(of_kind edu | nth 1)" &
# Raw scans from above, which only wait: nobody removes what they are in.
while [ ! -e "/tmp/case/$first.done" ]; do echo 1 >/sys/bus/pci/rescan; done &

looks=0 busy=0
while [ ! -e "/tmp/case/$first.done" ] || [ ! -e "/tmp/case/$last.done" ]; do
    got=0
    pcictl doctor >/tmp/case/doctor 2>&1 || got=$?
    looks=$((looks + 1))
    grep -q '^busy' /tmp/case/doctor && busy=$((busy + 1))
    [ "$got" != 124 ] || fail "a false alarm: $(cat /tmp/case/doctor)"
done
wait
note "the doctor looked $looks times, and found somebody at work $busy times"
[ "$busy" -gt 0 ] || fail "nobody was ever at work, so this proves nothing"
slow remove_ms 0
slow probe_ms 0
pcictl rescan --all >/dev/null
same "$before" "$(functions)"
