# A function is reset where it is, and all is as before: its driver, the VFs of a physical one, their drivers and overrides,
# the list of methods. A disk in use is not; what the function, the kernel or its neighbours do not allow is unsupported.
# topology: mixed
# kernels: all
# timeout: 400
before=$(functions)
nvme=$(of_kind nvme)
card=$(of_kind e1000e)
methods() {
    cat "$pci"/*/reset_method 2>/dev/null
}
# Linux 5.15 and newer tell the methods and let somebody choose.
[ -e "$pci/$nvme/reset_method" ] && tells=yes || tells=no
# told PART OTHER: PART is said where the kernel tells the methods, and OTHER where it does not.
told() {
    if [ "$tells" = yes ]; then contains "$out" "$1"; else contains "$out" "$2"; fi
}
methods_before=$(methods)

expect_status 0 pcictl reset --list "$nvme"
told 'flr' "$nvme: can be reset; how, this kernel does not tell (Linux 5.15 and newer do)"
expect_status 0 pcictl reset --list --json "$card"
told '"hits": "bus"' '"methods": null'
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
    if [ "$tells" = no ]; then
        expect_status 1 pcictl reset --method flr "$address"
        contains "$err" 'this kernel lets nobody choose a method; Linux 5.15 and newer do'
        expect_status 0 pcictl reset "$address"
        contains "$out" "$address: reset, $(basename "$(readlink "$pci/$address/driver")") stopped and back"
        same "$before" "$(functions)"
    fi
    for method in $(tr " " "\n" 2>/dev/null <"$pci/$address/reset_method"); do
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
    # On 5.10 the emulated drive answers no read any more after a reset with its driver at work, nor after the driver's own reset
    # of the controller that follows the timeout; the disk is used below.
    [ "$tells-$address" != "no-$nvme" ] || continue
    expect_status 0 pcictl reset --keep-driver "$address"
    contains "$out" kept
    same "$before" "$(functions)"
done
expect_status 1 pcictl reset --json --method acpi "$nvme"
told "cannot be reset by 'acpi', only by" 'this kernel lets nobody choose a method'
contains "$out" '"kind": "unsupported"'
expect_status 0 pcictl status

# By the bus, where there is a conventional one.
conventional=$(of_kind edu | tail -n 1)
[ "$tells" = no ] || same bus "$(cat "$pci/$conventional/reset_method")"
expect_status 0 pcictl reset "$conventional"
told 'reset by bus, slowpci stopped and back' 'reset, slowpci stopped and back'
same "$before" "$(functions)"
# One without a driver has none afterwards either.
expect_status 0 pcictl unbind "$conventional"
expect_status 0 pcictl reset "$conventional"
told 'reset by bus, no driver' 'reset, no driver'
[ ! -e "$pci/$conventional/driver" ] || fail "it has a driver: $(functions)"
expect_status 0 pcictl bind "$conventional"
same "$before" "$(functions)"

# The functions of one card: the bus is not theirs alone.
first=$(of_kind edu | nth 1)
second=$(of_kind edu | nth 2)
if [ -e "$pci/$first/reset" ]; then
    expect_status 1 pcictl reset "$first"
    # Where the kernel does not tell its methods, nobody knows before it has tried them.
    out=$err
    told "only where nothing else is on it; there is $second" 'no method that the kernel tried worked'
fi
same "$before" "$(functions)"

# A disk in use, with and without its driver.
name=nvme0n1
wait_until 30 [ -e "/dev/$name" ] || fail 'no disk'
mount_new "$name" /tmp/mnt
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
for errno in 5 19; do
    slow fail_probe $errno
    expect_status 5 pcictl reset "$conventional"
    contains "$err" "not all was put back: bind $conventional to slowpci"
    expect_status 5 pcictl status
    slow fail_probe 0
    expect_status 0 pcictl recover
    same "$before" "$(functions)"
done
expect_status 0 pcictl status
