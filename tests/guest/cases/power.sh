# Power settings: shown without waking anybody, changed and read back; what a function lacks is unsupported.
# topology: mixed
# kernels: all 6.18
# timeout: 400
before=$(functions)
nvme=$(of_kind nvme)
settings() {
    for file in power/control d3cold_allowed power/wakeup; do
        for device in "$pci"/*; do
            [ ! -e "$device/$file" ] || echo "$device/$file $(cat "$device/$file")"
        done
    done
}
start=$(settings)

# One of each kind, and one that cannot wake the machine, whichever that is on this kernel:
# a command takes a third of a second in an emulated machine.
cannot_wake() {
    for device in "$pci"/*; do
        [ -n "$(cat "$device/power/wakeup" 2>/dev/null)" ] || basename "$device"
    done
}
some=$({
    for kind in nvme e1000e edu root-port; do of_kind $kind | nth 1; done
    cannot_wake | nth 1
} | sort -u)
for address in $some; do
    expect_status 0 pcictl power "$address"
    contains "$out" "runtime $(cat "$pci/$address/power/control")"
done
same "$start" "$(settings)"

expect_status 0 pcictl power --runtime auto --d3cold off "$nvme"
same auto "$(cat "$pci/$nvme/power/control")"
same 0 "$(cat "$pci/$nvme/d3cold_allowed")"
contains "$out" "runtime auto"
expect_status 0 pcictl power --json --runtime auto "$nvme"
contains "$out" '"changed": false'
expect_status 0 pcictl power --runtime on "$nvme"
same on "$(cat "$pci/$nvme/power/control")"
contains "$out" "runtime on (active)"

# One that can wake the machine, and one that cannot.
lacks=0
for address in $some; do
    was=$(cat "$pci/$address/power/wakeup" 2>/dev/null)
    if [ -z "$was" ]; then
        before_refusal=$(settings)
        expect_status 1 pcictl power --json --runtime auto --wakeup on "$address"
        contains "$out" '"kind": "unsupported"'
        same "$before_refusal" "$(settings)"
        lacks=$((lacks + 1))
        continue
    fi
    for value in off on; do
        expect_status 0 pcictl power --wakeup "$value" "$address"
        contains "$out" "wakeup $value"
    done
    echo "$was" >"$pci/$address/power/wakeup"
done
[ "$lacks" -gt 0 ] || fail "all of them can wake the machine"
note "$lacks cannot wake the machine"
echo "$start" | while read -r file value; do [ -z "$value" ] || echo "$value" >"$file" 2>/dev/null; done
same "$start" "$(settings)"
same "$before" "$(functions)"
