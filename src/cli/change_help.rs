//! The same for the commands that change functions.

pub(super) const REMOVE: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
Examples:
  pcictl remove -n 0000:03:00.0      print the plan
  pcictl remove 0000:03:00.0         remove it and everything below it
  pcictl remove --each slot:7        every function of a card
  pcictl remove --with-siblings 0000:03:00.0
                                     the same, named by one of them
  pcictl remove --force mounted /dev/nvme0n1
                                     although a file system on it is mounted

Exit status:
  0    removed, or already absent with --if-present
  1    failed; the drivers that were stopped are bound again
  3    no such device
  4    refused: in use or protected
  5    partly done
",
    exit_writing!()
);

pub(super) const RESCAN: &str = concat!(
    one_function_or_absent!(),
    host_bridge!(),
    groups_with_each!(),
    "
Examples:
  pcictl rescan 0000:03:00.0         bring a removed function back
  pcictl rescan --slot 7             look for a new card in a slot
  pcictl rescan --expect driver=nvme,count=4 pci0000:00
                                     fail unless four NVMe controllers appear
  pcictl rescan --accept link 0000:03:00.0
                                     a slower link is acceptable

Exit status:
  0    done, and everything is as it was
  1    failed; nothing is left changed
  3    nothing on this machine leads to that address
  4    refused: a bridge does not answer or was reset, or the PCI core is stuck
  5    some of the buses were scanned
  6    something is missing or not as it was
",
    exit_writing!()
);

pub(super) const REPLUG: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
Examples:
  pcictl replug 0000:03:00.0         remove it and bring it back
  pcictl replug --reset 0000:03:00.0
                                     with a reset while its driver is stopped
  pcictl replug --escalate --restore 0000:03:00.0
                                     try harder if it stays away, and restore its VFs

Exit status:
  0    done, and everything is as it was
  1    failed; the drivers that were stopped are bound again
  3    no such device
  4    refused: in use or protected
  5    removed and not brought back; pcictl recover continues
  6    something is missing or not as it was
",
    exit_writing!()
);

pub(super) const UNBIND: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
What it locks:
The function, with its VFs and all that its driver made below it. The kernel holds no PCI lock meanwhile, so other \
devices are not held up.

What it can break:
Whoever uses the device, and so it refuses as remove does. A bridge is refused while anything below it has a driver: \
without its own, nothing below it could reach memory. A physical function loses its VFs first.

",
    when_it_hangs!("An unbind"),
    "Examples:
  pcictl unbind 0000:03:00.0         stop its driver
  pcictl unbind --jobs 1 --each driver:ioatdma
                                     one after the other

Exit status:
  0    it has no driver
  1    failed; the drivers that were stopped are bound again
  3    no such device
  4    refused: in use or protected, or a bridge with drivers below it
  5    partly done
",
    exit_writing!()
);

pub(super) const BIND: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
What it locks:
The function; for a bridge, the bridge above it, until a hotplug port has added what it finds plugged.

What it can break:
Nothing that works: a function that has another driver is refused. pcictl verifies that the driver took the function, \
which the kernel's own answer does not tell.

",
    when_it_hangs!("A probe"),
    "Examples:
  pcictl bind 0000:03:00.0           to the driver that fits
  pcictl bind --driver nvme 0000:03:00.0

Exit status:
  0    it has the driver
  1    failed; no driver took it
  3    no such device
  4    refused: it has another driver
  5    some of several functions were bound
",
    exit_writing!()
);

pub(super) const OVERRIDE: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
What it locks:
The function, from before the override is set until the driver is verified, so that no other driver comes in between. \
It never writes new_id, which would hit every device with these ids.

What it can break:
Whoever uses the device, and so it refuses as remove does. If the new driver does not take it, the old override and the \
old driver are put back. --persist writes /etc/driverctl.d/pci-ADDRESS, as driverctl does; what driverctl has installed \
loads it when the device is found.

",
    when_it_hangs!("An unbind or a probe"),
    "Examples:
  pcictl override 0000:03:00.0 vfio-pci
                                     for a guest
  pcictl override --persist 0000:03:00.0 vfio-pci
                                     and after the next boot, too
  pcictl override --clear 0000:03:00.0
                                     back to the driver that fits

Exit status:
  0    the override is set, and the driver has the function
  1    failed; the old override and the old driver are back
  3    no such device
  4    refused: in use or protected
  5    partly done
",
    exit_writing!()
);

pub(super) const SRIOV: &str = concat!(
    one_function!(),
    "
What it locks:
The physical function; the bridge above it where VFs are created, or are on a bus of their own, because the other \
functions of the card may share that bus. VFs are created while drivers are kept from them (sriov_drivers_autoprobe), so \
that the kernel's PCI lock, for which every hotplug waits, is held for their numbering only; then they get their drivers \
side by side.

What it can break:
Whoever uses the VFs that are there: another number goes through zero. It refuses as remove does. If the kernel refuses \
the new number, or a MAC, the old VFs are put back with their drivers and what the physical function keeps for them. \
sriov_drivers_autoprobe is left as it was, unless --autoprobe says otherwise; while it is off, VFs get no driver but by \
--driver or --restore.

MACs and the like:
--mac has the driver of the physical function keep a MAC for a VF, by rtnetlink at its network interface, before the VF's own \
driver is bound. Of a VF that is there and stays, most drivers ask for it only when they are bound: pcictl unbind and bind it. \
Some drivers reset the VF for it, so whoever uses it counts. What is set is read back.
Whatever is kept for a VF goes with it. --restore gives it to the new VF with the same number: MAC, VLAN, spoof check, trust, \
link state and transmit rate, as far as the kernel tells them, and the driver override and the driver. Without VFs it takes what \
the ledger knows of those that went with the physical function (pcictl remove). rescan and replug do the same with their \
--restore.

",
    when_it_hangs!("The driver of the physical function, or of a VF,"),
    "Examples:
  pcictl sriov 0000:03:00.0          its VFs: driver, override, MAC, users
  pcictl sriov 0000:03:00.0 8        eight VFs, each with the driver that fits
  pcictl sriov --driver vfio-pci 0000:03:00.0 8
                                     eight VFs for guests
  pcictl sriov --autoprobe off 0000:03:00.0 8
                                     eight VFs without drivers
  pcictl sriov --mac 0=02:00:00:00:00:01 --driver vfio-pci 0000:03:00.0 1
                                     one VF for a guest that knows its MAC
  pcictl sriov --mac 0=02:00:00:00:00:01 0000:03:00.0
                                     the MAC of the first VF, and nothing else
  pcictl sriov --restore 0000:03:00.0 16
                                     more VFs, and the first ones as they were
  pcictl sriov --off 0000:03:00.0    none

Exit status:
  0    it has so many VFs, and those that were to have a driver or a MAC have it
  1    failed, and all is as before; or the function cannot have VFs, or its driver cannot set that
  3    no such device
  4    refused: VFs are in use or protected, or the physical function has no driver
  5    the VFs are there, and some of them have no driver, or not what was to be restored
",
    exit_writing!()
);

pub(super) const RESET: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
What it does:
The driver is stopped (of a physical function its VFs first), the reset is written, and VFs, drivers and driver overrides \
are put back as they were; then the function must answer, with its driver, link, VFs and addresses as before. With \
--keep-driver the reset is all, as with a raw write; a driver without reset handlers then has a device that lost its state.

A bridge with functions below it is not reset: they would be reset as well, and the kernel sets up nothing but the bridge \
again. replug --reset does that.

What it locks:
The function with its VFs, where every method that the kernel would try hits it alone. Where one of them is by the bus, and \
where the kernel does not tell, the bridge above: the kernel walks that bus unlocked. --method narrows it to one method.

What it can break:
Whoever uses the device, and so it refuses as remove does; whoever uses what else is on the bus counts, too, where the \
bus is reset.

",
    when_it_hangs!("A reset takes up to a minute. A driver"),
    "Examples:
  pcictl reset --list 0000:03:00.0   how it can be reset
  pcictl reset 0000:03:00.0          by the first of these
  pcictl reset --method pm 0000:03:00.0
                                     by another one

Exit status:
  0    reset, and all is as before
  1    failed, or the kernel cannot reset it like that; drivers and VFs are back
  3    no such device
  4    refused: in use or protected
  5    reset, but something was not put back; pcictl recover tries again
  6    reset, but something is not as before
",
    exit_writing!()
);

pub(super) const POWER: &str = concat!(
    one_function!(),
    groups_with_each!(),
    "
What is shown:
Without an option, how the function may sleep and wake and whether it sleeps now, from what the kernel remembers: \
nothing is woken, locked or changed. What the kernel does not tell is unknown.

What it locks:
The function.

What it can break:
A device that does not bear to sleep may not wake again. --runtime auto is refused while a BAR for memory has no address: \
the function would wake with what was saved before it got one. What was changed is read back; if one of several settings \
is refused, the others are put back.

",
    when_it_hangs!("It wakes what is above the function, and then"),
    "Examples:
  pcictl power 0000:03:00.0          what is set, and whether it sleeps
  pcictl power --runtime on 0000:03:00.0
                                     keep it awake
  pcictl power --runtime auto --d3cold off 0000:03:00.0
                                     let it sleep, but not without power

Exit status:
  0    it is so
  1    failed, or the function has no such setting; nothing is changed
  3    no such device
  4    refused: it must not sleep yet
  5    partly done
  6    a setting does not say what was written to it
",
    exit_writing!()
);
