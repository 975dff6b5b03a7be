# What surprise.sh keeps away from with ACPI: a card is pulled while a bridge two above it is being removed, and whatever ACPI
# has the kernel do from then on is stuck. The one who tells of the card has the last hold on the bridge above it, lets go
# of it under acpi_hp_context_lock, and with it of the next bridge, for which it takes that lock again (free_bridge in
# drivers/pci/hotplug/acpiphp_glue.c). With the raw write there is time for it as long as drivers stop.
# topology: pull
# kernels: any
# boot: own
# expect: stuck
# allow: changed
upstream=$(of_kind upstream)
port=$(parent_of "$upstream")
slow remove_ms 4000
drop "$port" &
stops() {
    dmesg | grep -q 'slowpci .*: remove begin'
}
wait_until 30 stops || fail "no driver stops: $(stuck_tasks)"
answer=$(monitor device_del card3)
[ -z "$answer" ] || fail "cannot pull the card: $answer"
is_stuck_in_itself() {
    case $(stuck_tasks) in *free_bridge*acpi_hotplug_work_fn*) ;; *) return 1 ;; esac
}
wait_until 60 is_stuck_in_itself || fail "it got through: $(stuck_tasks) $(dmesg | tail -n 20)"
note "stuck: $(stuck_tasks | head -n 12 | xargs)"

# Whoever changes something with a bridge now would wait for that lock, and with it everybody else.
expect_status 124 pcictl doctor
contains "$out" "a task waits for itself"
contains "$out" "waits for ACPI's lock of slots"
contains "$out" "nothing but a reboot ends this"
expect_status 4 pcictl remove "$(of_kind edu | nth 1)"
contains "$err" "the kernel's PCI core is stuck"
