# A function is reset where it is, and all is as before: its driver, the VFs of a physical one, their drivers and overrides,
# the list of methods. A disk in use is not; what the function, the kernel or its neighbours do not allow is unsupported.
# topology: mixed
# timeout: 400
before=$(functions)
nvme=$(of_kind nvme)
card=$(of_kind e1000e)
methods() {
    cat "$pci"/*/reset_method 2>/dev/null
}
methods_before=$(methods)

expect_status 0 pcictl reset --list "$nvme"
contains "$out" 'flr'
expect_status 0 pcictl reset --list --json "$card"
contains "$out" '"hits": "bus"'
for address in $(functions | cut -d' ' -f1); do
    expect_status 0 pcictl reset --list "$address"
    [ -e "$pci/$address/reset" ] && continue
    contains "$out" 'cannot be reset'
    expect_status 1 pcictl reset --json "$address"
    contains "$out" '"kind": "unsupported"'
    note "no reset: $address"
done
same "$before" "$(functions)"

# By each method of each function that has a driver and none below it.
for address in $nvme $card; do
    for method in $(tr " " "\n" <"$pci/$address/reset_method"); do
        # Below the emulated root port the link does not say in time that it is up again, and the kernel answers ENOTTY.
        got=0
        out=$(pcictl reset --method "$method" "$address" 2>&1) || got=$?
        case $method:$got in
        *:0) contains "$out" "$address: reset by $method" ;;
        bus:1) contains "$out" 'no method that the kernel tried worked; all' ;;
        *) fail "by $method: $got: $out" ;;
        esac
        same "$before" "$(functions)"
        same "$methods_before" "$(methods)"
        note "$(echo "$out" | head -n 1)"
    done
    expect_status 0 pcictl reset --keep-driver "$address"
    contains "$out" kept
    same "$before" "$(functions)"
done
expect_status 1 pcictl reset --method acpi "$nvme"
contains "$err" "cannot be reset by 'acpi', only by"
expect_status 0 pcictl status

# By the bus, where there is a conventional one.
conventional=$(of_kind edu | tail -n 1)
same bus "$(cat "$pci/$conventional/reset_method")"
expect_status 0 pcictl reset "$conventional"
contains "$out" "reset by bus, slowpci stopped and back"
same "$before" "$(functions)"

# The functions of one card: the bus is not theirs alone.
first=$(of_kind edu | nth 1)
second=$(of_kind edu | nth 2)
if [ -e "$pci/$first/reset" ]; then
    expect_status 1 pcictl reset "$first"
    contains "$err" "only where nothing else is on it; there is $second"
fi
same "$before" "$(functions)"

# A disk in use, with and without its driver.
name=nvme0n1
wait_until 30 [ -e "/dev/$name" ] || fail 'no disk'
mke2fs "/dev/$name" >/dev/null 2>&1 || fail 'no file system'
mkdir -p /tmp/mnt
mount -t ext4 "/dev/$name" /tmp/mnt
for how in '' --keep-driver; do
    # shellcheck disable=SC2086 # nothing, or one word
    expect_status 4 pcictl reset $how "$nvme"
    contains "$err" "/tmp/mnt is mounted from $name (ext4)"
    contains "$err" 'nothing was changed'
done
echo alive >/tmp/mnt/file
umount /tmp/mnt
same "$before" "$(functions)"

# A driver that does not take it again: told, and recover gives it back.
slow fail_probe 5
expect_status 5 pcictl reset "$conventional"
contains "$err" "not all was put back: bind $conventional to slowpci"
expect_status 5 pcictl status
slow fail_probe 0
expect_status 0 pcictl recover
same "$before" "$(functions)"
expect_status 0 pcictl status
