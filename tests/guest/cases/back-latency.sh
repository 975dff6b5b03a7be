# How long after the kernel is done with the scan a device that is ready is reported. Measured, not asserted.
# topology: two-hosts mixed
# kernels: any
# run: named
# timeout: 180
measure() {
    for device in $1; do
        all=
        for _ in 1 2 3 4 5; do
            expect_status 0 pcictl replug --json "$device"
            took=$(echo "$out" | sed -n 's/.*"settle_seconds": \([0-9.]*\).*/\1/p')
            all="$all $(echo "$took" | awk '{ printf "%.0f", $1 * 1000 }')"
        done
        note "$2 $device: settled and reported in$all ms after the scan"
    done
}
measure "$(of_kind edu | nth 1)" 'device without a class'
measure "$(of_kind nvme | nth 1)" NVMe
measure "$(functions | awk '$3 == "e1000e" { print $1 }')" 'network card'
