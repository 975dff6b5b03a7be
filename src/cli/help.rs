//! The part of each help that comes after the options: selectors, examples, exit statuses. The man pages have it, too.
//!
//! A section begins with a line at the margin that ends in a colon. In it, an indented line is a row, of two columns where
//! two spaces part them; a line at the margin is a paragraph, which is wrapped where it is shown.

/// What every selector table begins with.
macro_rules! one_function {
    () => {
        one_function!("also pci@0000:03:00.0 and pci_0000_03_00_0")
    };
    ($more:literal) => {
        concat!(
            "Selectors:
  0000:03:00.0       an address, with or without its domain;
                     ",
            $more,
            "
  /dev/nvme0n1       a device node, as /dev/dri/card0, /dev/vfio/17, /dev/mapper/vg-root
  eth0, mlx5_0       a device's name in sysfs, of whatever class; net/eth0 says which
  serial:, wwn:      a disk's or controller's serial number, a disk's or port's worldwide name
  mount:/srv         what is mounted there
  /sys/...           a path in sysfs
"
        )
    };
}

/// The same where an address that is not there makes sense.
macro_rules! one_function_or_absent {
    () => {
        one_function!("an absent one stands for the bridge that can bring it back")
    };
}

/// Groups, for commands that change something.
macro_rules! groups_with_each {
    () => {
        "  slot:NAME, driver:NAME, class:NVME, class:0108, id:8086:10d3
                     groups; --each accepts more than one function
"
    };
}

/// Groups and wildcards, for commands that only look.
macro_rules! groups {
    () => {
        "  slot:NAME, driver:NAME, class:NVME, class:0108, id:8086:10d3
                     groups of functions
  03:, 03:00, *.0    wildcards, as in lspci -s
"
    };
}

macro_rules! host_bridge {
    () => {
        "  pci0000:00         a host bridge
"
    };
}

/// What changing commands have in common.
macro_rules! exit_locked {
    () => {
        "  75   the lock is held by someone else
  77   not permitted
"
    };
}

macro_rules! exit_writing {
    () => {
        concat!(
            exit_locked!(),
            "  124  the kernel did not finish in time; the operation continues and keeps its lock
  130  interrupted; the state is restored or reported"
        )
    };
}

pub(super) const PCICTL: &str = "\
Examples:
  pcictl tree                        what is where
  pcictl remove -n 0000:03:00.0      the plan: who uses the device, what would be done
  pcictl remove 0000:03:00.0         remove it and everything below it
  pcictl rescan 0000:03:00.0         bring it back, and compare it with what it was
  pcictl replug 0000:03:00.0         both, under one lock

Exit status:
  0    done
  1    failed; nothing is left changed
  2    invalid command line
  3    no such device; nothing matched
  4    refused: the device is in use or protected, or the kernel's PCI core is stuck
  5    partly done; the report says what is and what is not
  6    done, but what came back is not what was expected
  75   the lock is held by someone else
  77   not permitted
  124  the kernel did not finish in time; the operation continues and keeps its lock
  130  interrupted; the state is restored or reported";

pub(super) const LIST: &str = concat!(
    one_function!(),
    host_bridge!(),
    groups!(),
    "
Examples:
  pcictl list                        every function
  pcictl list class:nvme             all NVMe controllers
  pcictl list 03:                    everything on bus 03
  pcictl list -o address,driver,serial
                                     with columns of your choice
  pcictl list -o +in-use             with the default ones, and who uses what
  pcictl list --unused class:nvme    NVMe controllers that nobody uses
"
);

pub(super) const TREE: &str = concat!(
    one_function!(),
    host_bridge!(),
    groups!(),
    "
Examples:
  pcictl tree                        the whole machine
  pcictl tree pci0000:00             what is below one host bridge
  pcictl tree -o numa,link 03:00.0   with NUMA node and link of each function
"
);

pub(super) const SHOW: &str = concat!(
    one_function!(),
    groups!(),
    "
Examples:
  pcictl show 0000:03:00.0           who uses it, who holds its lock, what remove would do
  pcictl show /dev/nvme0n1           the controller of a disk
  pcictl show driver:nvidia          every function of a driver, one after the other
  pcictl show --protected            what the site protects, and entries that match nothing
"
);

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
  4    refused: a bridge on the way does not answer, or the PCI core is stuck
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

/// How a command ends whose writes may wait for a driver.
macro_rules! when_it_hangs {
    ($why:literal) => {
        concat!(
            "When the driver does not finish:
",
            $why,
            " waits as long as the driver likes, and nothing can end it. After --timeout, or at a second interrupt, pcictl \
returns with status 124 or 130; the write goes on in the background with its lock, and what follows it is done then. \
pcictl status shows it.

"
        )
    };
}

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

pub(super) const WAIT: &str = concat!(
    one_function!("an absent one is waited for"),
    host_bridge!(),
    groups!(),
    "
What is waited for:
Of several selectors each must be so. A name that nothing has yet is waited for. A group needs one function at least, and \
all that it matches then must be so; it is gone when nothing matches. --ready looks at the function itself, not at what \
is below it. A driver whose probe has not ended does not count as bound.

pcictl wait takes no lock and changes nothing. A dumped tree (--sysroot) does not change: it is looked at once, unless \
--timeout is given.

Examples:
  pcictl wait 0000:03:00.0           until it is there
  pcictl wait --ready --timeout 30 /dev/nvme0n1
                                     until the disk can be used, for half a minute at most
  pcictl wait --gone 0000:03:00.0    until it is removed
  pcictl wait --driver vfio-pci slot:7
                                     until every function of a card is bound to vfio-pci

Exit status:
  0    it is so
  2    invalid command line
  124  it is not so within --timeout; the message says what is missing
  130  interrupted"
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

pub(super) const LOCK: &str = concat!(
    one_function_or_absent!(),
    host_bridge!(),
    groups_with_each!(),
    "
What to lock:
The function that the command removes, unbinds or resets. For a raw rescan, the bridge that leads to the scanned bus: \
with FUNCTION/rescan the bridge above FUNCTION; with BRIDGE/pci_bus/BUS/rescan BRIDGE itself, and the bridge above it if \
the bus is empty by then; with /sys/bus/pci/rescan everything (--all). Lock all that the command needs in one call: a \
pcictl inside that changes something would wait for the lock it was started under, and is refused.

What happens:
pcictl holds the locks until COMMAND exits, passes on its exit status (128 + N if signal N ended it) and forwards \
signals to it. As with flock(1), COMMAND inherits the locks: they are held until COMMAND and everything it leaves running \
have exited, even if pcictl itself is killed. With --close they end with pcictl; if it is killed, COMMAND is killed too, \
but a write that it has begun in the kernel continues unlocked.

Examples:
  pcictl lock 0000:03:00.0 -- sh -c 'echo 1 > /sys/bus/pci/devices/0000:03:00.0/remove'
                                     a raw removal, kept apart from other operators
  pcictl lock --shared pci0000:00 -- ./collect-logs
                                     beside other readers, but not beside changes

Exit status:
That of COMMAND; pcictl itself adds these.
",
    exit_locked!(),
    "  126  COMMAND cannot be run
  127  COMMAND is not found"
);

pub(super) const LOCKS: &str = concat!(
    one_function!(),
    host_bridge!(),
    groups!(),
    "
Examples:
  pcictl locks                       every lock that is held or waited for
  pcictl locks 0000:03:00.0          those that keep others from changing it
  pcictl locks --watch               kept up to date until it is interrupted
"
);

pub(super) const STATUS: &str = "\
Examples:
  pcictl status                      after an interruption: what is done, and what to run next

Exit status:
  0    nothing needs attention
  5    an operation is half done, or an entry of the ledger is invalid
  77   not permitted";

pub(super) const RECOVER: &str = concat!(
    "\
Examples:
  pcictl recover -n                  what was interrupted
  pcictl recover                     complete or undo all of it
  pcictl recover 1764057600-4711     one operation, by its id

Exit status:
  0    done, or nothing to recover
  1    failed
  3    no such operation
  4    refused: the kernel's PCI core is stuck
  5    partly done
",
    exit_writing!()
);

pub(super) const DUMP: &str = concat!(
    one_function!(),
    host_bridge!(),
    groups!(),
    "
What is copied:
The device tree, who has which device open, mounts, routes, swap, tasks that hang in the kernel, journals and the ledger. \
Nothing is read that waits for a driver or wakes a device, and no process's environment or memory. The copy does hold \
command lines of processes that have a device open, MAC and IP addresses and serial numbers; --anonymize replaces those, \
each by the same word everywhere. Look through it before you send it.

Examples:
  pcictl dump my-server              a directory, for --sysroot
  pcictl dump --anonymize my-server.tree
                                     one text file, for a report
  pcictl dump card 0000:03:00.0      one function, with what is above and below it

Exit status:
  0    done
  1    failed
  5    something could not be read; the report says what
  77   not permitted"
);
