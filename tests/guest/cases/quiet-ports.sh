# The ports above a device keep quiet while it is removed, brought back and reset as pcictl does it: no function counts an error
# (AER), and no port raises its interrupt (hotplug, PME, AER). A port whose slot is switched or reset says that it has done so;
# no other port says anything, and nobody counts an error. That errors and interrupts are seen where there are some is shown
# first.
# topology: slots
# kernels: all
# run: named 5.10 6.1 6.18
before=$(functions)
all=$(of_kind root-port; of_kind downstream)
ports=$all
drive=$(of_kind nvme)
card=$(of_kind edu | nth 1)

# errors: what AER has counted, by function and kind; nothing if it has counted nothing.
errors() {
    awk '$NF != 0 { print FILENAME, $0 }' "$pci"/*/aer_dev_* "$pci"/*/aer_rootport_*
}
# raised PORT...: how often the interrupt of each was, which its services share.
raised() {
    awk -v irqs=" $(for port in "$@"; do ls "$pci/$port/msi_irqs"; done | xargs) " '
        index(irqs, " " substr($1, 1, length($1) - 1) " ") {
            for (i = 2; $i ~ /^[0-9]+$/; i++) sum[$1] += $i
            print $1, sum[$1]
        }' /proc/interrupts
}
# told PORT: what its hotplug interrupts were for, bits of its Slot Status (pciehp_isr in drivers/pci/hotplug/pciehp_hpc.c):
# 0x0010 is Command Completed, 0x0008 Presence Detect Changed, 0x0100 Data Link Layer State Changed.
told() {
    dmesg | sed -n "s/.*pcieport $1: pciehp: pending interrupts \(0x[0-9a-f]*\) .*/\1/p" | sort -u | xargs
}
echo 'file pciehp_hpc.c +p' >/proc/dynamic_debug/control

# An error that QEMU injects is counted and raises the interrupt of its port.
same '' "$(errors)"
port=$(parent_of "$card")
count=$(raised "$port")
same '' "$(monitor pcie_aer_inject_error slot1 RCVR | grep Error)"
is_counted() {
    errors | grep -q "$port/aer_dev_correctable RxErr 1"
}
wait_until 20 is_counted || fail "no error is counted: $(errors)"
[ "$(raised "$port")" != "$count" ] || fail "an error, but no interrupt: $(grep aerdrv /proc/interrupts)"
counted=$(errors)

# quiet COMMAND...: no error, and no interrupt of $ports.
quiet() {
    # shellcheck disable=SC2086 # an argument each
    interrupts_before=$(raised $ports)
    expect_status 0 pcictl "$@"
    same "$* $counted" "$* $(errors)"
    # shellcheck disable=SC2086
    same "$* $interrupts_before" "$* $(raised $ports)"
}
# telling PORT COMMAND...: the same, but for that port, whose interrupts and their reasons are noted.
telling() {
    loud=$1
    shift
    ports=$(echo "$all" | grep -v "^$loud$")
    dmesg -c >/dev/null
    count=$(raised "$loud")
    quiet "$@"
    note "$*: $count -> $(raised "$loud"): $(told "$loud")"
}
for device in $card $drive; do
    for command in remove rescan replug unbind bind; do quiet $command "$device"; done
done
quiet reset "$drive"
# With ports among what goes: of those that stay.
ports=$(of_kind root-port)
switch=$(of_kind upstream)
for command in remove rescan replug; do quiet $command "$switch"; done
same "$before" "$(functions)"

# The reset of a slot: it switches off the reports of its link for that time (pciehp_reset_slot), and some kernels have the
# port say that this command is completed.
for device in $card $drive; do
    port=$(parent_of "$device")
    if [ "$device" = "$drive" ]; then
        grep -q bus "$pci/$drive/reset_method" 2>/dev/null || continue
        set -- reset --method bus "$drive"
    else
        set -- reset "$card"
    fi
    telling "$port" "$@"
    case $(told "$port") in '' | 0x0010) ;; *) fail "$*: $(dmesg | grep pciehp)" ;; esac
done

port=$(parent_of "$(cat /sys/bus/pci/slots/3/address).0")
for switch in off on; do
    telling "$port" slot $switch 3
    same 0x0010 "$(told "$port")"
done
echo 'file pciehp_hpc.c -p' >/proc/dynamic_debug/control
same "$before" "$(functions)"
