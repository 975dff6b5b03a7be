//! What the man pages say besides the help: what each command does, the files it uses, the environment.

use clap::{Arg, Command};

/// A file or a variable, and the commands whose pages name it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    uses: Uses,
    /// Others that do.
    commands: &'static [&'static str],
}

/// Which commands have to do with something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    All,
    /// Those that hold locks for a change, which have a dry run.
    Locking,
    /// Those that write to the kernel themselves, which limits how long they wait for it.
    Writing,
    /// Those that refuse what is in use, which can be forced.
    Forced,
    /// Only those that are named.
    Named,
}

impl Entry {
    pub(crate) fn is_for(&self, command: &Command, key: &str) -> bool {
        let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
        let uses = match self.uses {
            Uses::All => true,
            Uses::Locking => has("dry_run"),
            Uses::Writing => has("dry_run") && has("timeout"),
            Uses::Forced => has("force"),
            Uses::Named => false,
        };
        key == "pcictl" || uses || self.commands.contains(&key)
    }
}

/// An option that belongs to the operands of one form of the command.
pub(crate) fn is_operand(command: &str, arg: &Arg) -> bool {
    matches!(
        (command, arg.get_id().as_str()),
        ("rescan", "all" | "slot") | ("lock", "all") | ("override", "clear") | ("sriov", "off")
    )
}

/// What follows the options, a form a line, where that is more than the command's positional arguments.
pub(crate) fn forms(command: &str) -> Option<&'static [&'static str]> {
    Some(match command {
        "pcictl" | "slot" => &["\\fICOMMAND\\fR [\\fIARGUMENT\\fR.\\|.\\|.]"],
        "rescan" => &["\\fISELECTOR\\fR.\\|.\\|.", "\\fB\\-\\-slot\\fR \\fINAME\\fR.\\|.\\|.", "\\fB\\-\\-all\\fR"],
        "lock" => &[
            "\\fISELECTOR\\fR.\\|.\\|. \\fB\\-\\-\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR.\\|.\\|.]",
            "\\fB\\-\\-all\\fR \\fB\\-\\-\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR.\\|.\\|.]",
        ],
        "override" => &["\\fISELECTOR\\fR \\fIDRIVER\\fR", "\\fISELECTOR\\fR \\fB\\-\\-clear\\fR"],
        "sriov" => &["\\fIPF\\fR [\\fIN\\fR]", "\\fIPF\\fR \\fB\\-\\-off\\fR"],
        _ => return None,
    })
}

/// What a command does, in paragraphs.
pub(crate) fn description(command: &str) -> &'static str {
    match command {
        "pcictl" => {
            "\
pcictl removes PCI devices from a running system and brings them back.
It does what writing to the files \"remove\" and \"rescan\" in sysfs does, but in an order the kernel can bear: under
locks that keep operators apart, after checking who uses the device, and with the drivers stopped before the kernel's
PCI mutex is taken.

The locks are advisory.
A script that writes to sysfs itself takes part by running under \"pcictl lock\".

Reports go to standard output, messages to standard error.
With --json a report is one JSON document with \"schema\": 1, and so is an error.
pcictl asks a question only on a terminal."
        }
        "list" => {
            "\
Prints a line for each function.
On a terminal lines are cut to fit it, names first, and of several disks or interfaces the first is named; with -l, and
anywhere but on a terminal, nothing is.

Who uses what is asked of every process, and only where the column IN-USE or --unused is about it.
IN-USE shows \"-\" where nobody uses the function, \"below:\" and the users of what a bridge leads to, and \"?\" where
that could not be checked; -v tells why.

A device whose link is asleep is not woken: its link reads \"asleep\".

With --watch the listing is made again whenever the kernel tells that a function, driver, slot, disk or interface came, went
or changed, and printed if it differs.
Nobody tells of processes and mounts: with IN-USE or --unused it is also made every 10 s.
A signal ends it with status 0."
        }
        "tree" => {
            "\
Prints the device tree: host bridges at the top, below each bridge the functions behind it, below a physical function
its virtual functions, marked VF.
The number in brackets is the bus behind a bridge."
        }
        "show" => {
            "\
Prints what is known of a function: its ids and subsystem by name, driver, the modules that fit, override, link, power
state, reset methods, errors that were counted (AER), BARs and windows, NUMA node and the processors near it, IOMMU group
with the other functions in it, slot and what can be switched there, what is above and below it, its disks and interfaces
with serial numbers and MACs, who holds its lock, who uses it, and what remove and rescan would do.

Nothing is read that waits for a driver or wakes a device.
The configuration space is left alone; lspci(8) shows it.

A selector that stands for a group shows each of its functions.
The JSON document of a group has them in \"functions\"; the facts of a single function, or of a group of one, are at the top
level."
        }
        "remove" => {
            "\
Removes functions, each with everything below it.

pcictl plans the removal, takes the locks of the subtree, and reads the tree again: if it is not the same devices any
more, it plans again.
It looks for users of every function that would be removed, and refuses with status 4 if there are any, unless each kind
of use is named with --force; on a terminal it then asks for confirmation unless --yes is given.
It unbinds the drivers from the bottom up, those that do not depend on each other at the same time, while no PCI lock of
the kernel is held.
Only then it removes the top of the subtree, and checks that every function is gone.
If a driver fails to stop, those that were stopped are bound again.

What each function was is saved in the ledger for pcictl-rescan(8).
A single disk or interface stands for its whole controller: pcictl-show(8) lists what else is on it.

The kernel cannot be interrupted in a write.
If one takes longer than --timeout, pcictl says what the kernel waits for and exits with status 124, while the operation
continues in the background and keeps its locks.
Where systemd runs the machine and its system bus answers within two seconds, that happens in a scope of its own,
pcictl-PID.scope, which the report names, so that it outlives the unit or session that started it.
Otherwise the end of that unit or session may kill it (KillMode= of units, KillUserProcesses= of sessions, and whatever
ends the tasks of Ansible or Slurm).
A write that the kernel has begun cannot be killed: its helper holds the locks until the kernel is done, and until then
pcictl-status(8) says that the operation is under way.
After that it says what is done and what is not, and pcictl-recover(8) undoes a removal that had only stopped drivers, by
binding them again.

An interrupt (SIGINT) waits for the writes in progress and undoes what was done; a second one detaches at once.
It also ends the operation where it comes between two writes.
That nobody reads the standard output any more ends nothing: the operation is completed, and its report is lost."
        }
        "slot" => {
            "\
Shows the slots that the kernel knows, switches their power, and has their lights show where they are.

A slot is known by whoever drives it: the hotplug of its port (pciehp), ACPI (acpiphp), a controller of a conventional bus
(shpchp).
Others are only names that the firmware has for places, and nothing about them can be switched."
        }
        "slot list" => {
            "\
Prints a line for each slot: the device or bus that it is, the port that leads to it, which of the files power, adapter,
latch and attention it has, and the functions in it.
No hardware is asked unless --status is given.
\"?\" stands for what could not be told."
        }
        "slot show" => {
            "\
Prints what is known of a slot, and asks its hardware for its power, for whether something is plugged in, for its latch
and its attention indicator.
\"occupied\" says whether the kernel has a function in it, \"adapter\" what the hardware sees.
What a slot has no file for is \"not controllable\" or \"not reported\", and what says nothing \"unknown\"."
        }
        "slot on" => {
            "\
Switches a slot's power on.
The kernel then looks for what is in it, as for a rescan; pcictl waits until that is ready, compares it with what the
ledger knows of the slot, and reports what appeared and changed.

The kernel refuses where nothing is plugged in."
        }
        "slot off" => {
            "\
Removes what is in a slot by switching its power off.
It does what pcictl-remove(8) does: it looks for users, stops the drivers from the bottom up, and saves in the ledger
what each function was; only the last step is another one."
        }
        "slot identify" => {
            "\
Has a light show where a slot is: the locate light that the kernel knows for what is in it or for its port (Native PCIe
Enclosure Management, Linux 6.13), else the attention indicator of the slot, which blinks.
It stays so until --off, or for as long as --for says."
        }
        "rescan" => {
            "\
Scans a bus for devices.
For a bridge that is the bus below it, for any other function the bus it is on.
An address that is absent is looked up in the ledger, which tells the place it was removed from; without an entry the
bus is chosen by the number.
If the bridges above the place are gone as well, the bus of the nearest one that is left is scanned.

pcictl refuses below a bridge that does not answer.
After the scan it waits until drivers, disks and interfaces are ready, for --settle at most, and compares each device
with what the ledger says it was: serial number, driver, link, BARs, virtual functions, names, IOMMU group.
Every difference is reported with its old and its new value, and the exit status is 6; --accept makes a kind of
difference acceptable.
An entry stays in the ledger until its device is back unchanged or the difference is accepted."
        }
        "replug" => {
            "\
Removes functions as pcictl-remove(8) does and brings them back as pcictl-rescan(8) does, without releasing the lock in
between.
With --reset or --power-cycle the device is reset in between.

If the device is removed and cannot be brought back, the exit status is 5, and pcictl-recover(8) continues."
        }
        "wait" => {
            "\
Waits until something is so of each selector, and prints what is so now: the function is there, or with --gone is not,
or with --driver is bound, or with --ready can be used.
It listens to the events of the kernel and of udev, then looks, and looks again whenever one comes; now and then without
one as well, because not everything is announced.

Without --timeout it waits as long as it takes; with -v it prints what is missing whenever that changes.
It can be used under \"pcictl lock\" and beside any operator, and reads nothing that a stuck driver could hold up."
        }
        "unbind" => {
            "\
Takes functions away from their drivers; they stay where they are.
What is below others comes first, functions of one device go one after the other, different devices at the same time.
Nothing keeps a driver away afterwards: \"pcictl override SELECTOR none\" does."
        }
        "bind" => {
            "\
Gives functions to a driver: to the one that fits, or to the one that --driver names.
A driver that does not know the device is never taught to (new_id): pcictl-override(8) makes it fit that one function.

The kernel takes the write even where the driver then does not want the device.
pcictl looks who has the function afterwards, and that is what it reports."
        }
        "override" => {
            "\
Sets the driver override of a function and binds the driver, in one hold of the locks, so that no other driver comes in
between.
What has another driver loses it first.
If the driver does not take the function, the override and the driver from before are put back.

With --persist the choice is also kept in the file that driverctl reads when the machine boots, and with --clear
--persist it is taken out; each tool sees what the other did."
        }
        "sriov" => {
            "\
Shows the virtual functions of a physical function: their drivers, their users, their MAC addresses where the kernel tells
them.
With a number, or with --off, it changes how many there are.

A kernel that has some VFs takes no other number but 0, so they go first.
New ones are made while no driver takes VFs, and then get their drivers side by side, which does not hold up others that
hotplug something.
If that fails, the number from before is put back, with the drivers that the VFs had."
        }
        "reset" => {
            "\
Resets a function that stays where it is, by the ways that the kernel knows.
--list tells them and what each hits."
        }
        "power" => {
            "\
Shows and changes how a function may sleep: at runtime (power/control), without power (d3cold_allowed), and whether it
may wake the machine (power/wakeup)."
        }
        "lock" => {
            "\
Runs a command while pcictl holds the locks of one or more subtrees, so that an existing script that writes to sysfs
takes part in the locking."
        }
        "locks" => {
            "\
Prints the nodes of the device tree whose locks are held or waited for, with the processes, as the kernel tells.
A node is a place, the chain of device and function numbers from the host bridge down, because bus numbers may change
with a rescan.

With --watch they are printed again when locks are taken or let go of, without their ages."
        }
        "guard" => {
            "\
Makes raw writers take part in the locking: a script, a vendor's tool or a container that writes to sysfs itself and
takes no lock.
Whoever opens one of the files whose write can hang or corrupt the kernel waits inside open until the guard has the
locks for it that the same command of pcictl would take.
They are held until the file is closed, also while the guard is restarted.

Readers go on at once, and so do commands of pcictl and what runs under \"pcictl lock\", which carry their locks.
A command that runs under a lock which does not cover the file it opens would wait for itself, and is denied.
Where the target is in what is written (a driver's unbind and bind, drivers_probe), everything that it can be is held:
all that the driver has, or all that has no driver.
Whoever waits longer than --wait is denied with EBUSY, or with EPERM by kernels before 6.14.

A keeper beside the guard holds what must not end with it.
When the guard is killed, those who wait go on waiting for the next guard, for ten seconds; then they are let go.
A guard that is stopped or stuck is killed by its keeper after ten seconds, and a keeper that does not answer for five by the
next guard; where both are stopped, whoever waits waits for the service manager to end the guard, and can be killed.
Whoever comes when the guard has no descriptors left waits in the kernel until it has some.
When the guard is ended by a signal, whoever waits goes on at once.
A guard of a newer version can take over from an older one without anybody noticing.

What it cannot do: hold up what the kernel does by itself, as when a card is pulled out; and keep root from getting
around it.
New devices are guarded as soon as the kernel has announced them, and until then whoever opens their files is not held up;
those that a raw scan brings, before anybody else may scan there.
The sysfs of another network namespace, as containers have it, is found when they are looked for, every two seconds.

Before a physical function is removed whose virtual functions are on, which hangs some kernels by itself, the guard has
drivers stopped and the virtual functions taken away.
With --stop-first every raw removal is let through once the drivers below it are stopped, so that it keeps the kernel's one
mutex for hundredths of a second; they are given back if one of them does not stop, or if the writer has gone.
With --refuse raw writes are denied that would end these uses of a device.
What is written to unbind is not known before, so neither applies to it.
With --report nobody is held up, and only what would have happened is told: to see what a guard would do to the
scripts of a machine."
        }
        "status" => {
            "\
Prints the operations that are under way or were interrupted, by a signal, a crash or a reboot: what is done, what is
not, and which commands complete or undo it.
Devices that were removed and are not back are listed as well.

With --watch all of it is printed again when it changes.
A signal ends that with status 0."
        }
        "recover" => {
            "\
Completes interrupted operations, or undoes them, as pcictl-status(8) says, under the same locks.
An operation whose devices are others by now, or whose journal cannot be trusted, is set aside."
        }
        "doctor" => {
            "\
Tells a kernel whose PCI core is stuck from one that is slow, by the kernel stacks of the tasks in it.
A deadlock is reported only if its members are proven to wait for each other.
pcictl doctor also warns about what was left behind: devices without a driver, operations half done, entries of the
ledger for devices that are there."
        }
        "dump" => {
            "\
Copies what the other commands read into a new directory, or into one text file if its name ends in .tree.
With \"pcictl --sysroot DIR\" the commands that only look, and every dry run, work on the copy as on the machine.
Root sees more than others: without it processes of other users are left out."
        }
        _ => "",
    }
}

/// Files.
pub(crate) const FILES: &[Entry] = &[
    Entry {
        name: "/etc/pcictl/protected.d/*.conf",
        meaning: "Devices that must not be removed: a selector and the reason on each line.\nA list that cannot be read \
                  refuses every removal, whatever is forced.\nA file replaces the one of the same name in \
                  /run/pcictl/protected.d, and that the one in /usr/lib/pcictl/protected.d; an empty file or a link to \
                  /dev/null masks it.",
        uses: Uses::Forced,
        commands: &["list", "show"],
    },
    Entry {
        name: "/etc/pcictl/pcictl.conf",
        meaning: "Defaults of options, as \"wait = 5m\" on a line: wait, timeout, settle, jobs.\nThe command line wins; \
                  what is not known is an error.\nWithout it the one in /run/pcictl counts, and then the one in \
                  /usr/lib/pcictl.",
        uses: Uses::Locking,
        commands: &["doctor"],
    },
    Entry {
        name: "/etc/driverctl.d",
        meaning: "Driver overrides that are kept over reboots, a file for each function.\nThe format is that of driverctl.",
        uses: Uses::Named,
        commands: &["override", "show"],
    },
    Entry {
        name: "/run/pcictl/locks",
        meaning: "Lock files, one for each node of the device tree.",
        uses: Uses::Locking,
        commands: &["show", "locks"],
    },
    Entry {
        name: "/run/pcictl/guard.log, /run/pcictl/guard.log.1",
        meaning: "A line of JSON for each raw write: who, what, how long it waited and took, or why it was denied.",
        uses: Uses::Named,
        commands: &["guard"],
    },
    Entry {
        name: "/run/pcictl/journal",
        meaning: "Operations: each step is recorded before it is done.",
        uses: Uses::Writing,
        commands: &["status", "doctor"],
    },
    Entry {
        name: "/var/lib/pcictl/ledger",
        meaning: "What each removed device was, in a JSON file.",
        uses: Uses::Named,
        commands: &["remove", "rescan", "replug", "slot on", "slot off", "recover", "wait", "status", "doctor"],
    },
    Entry {
        name: "/usr/share/misc/pci.ids, /usr/share/hwdata/pci.ids, /var/lib/pciutils/pci.ids",
        meaning: "Names of vendors and devices; the first that is there.\nClass names are built in.",
        uses: Uses::Named,
        commands: &["list", "tree", "show", "remove", "rescan", "replug"],
    },
];

/// Environment variables.
pub(crate) const ENVIRONMENT: &[Entry] = &[
    Entry {
        name: "NO_COLOR",
        meaning: "If set and not empty, no color is used unless --color is given.\nNor is it if TERM is \"dumb\".",
        uses: Uses::All,
        commands: &[],
    },
    Entry {
        name: "LC_ALL, LC_CTYPE, LANG",
        meaning: "The first that is set tells whether trees are drawn with UTF-8 lines.",
        uses: Uses::Named,
        commands: &["tree", "locks"],
    },
    Entry {
        name: "PCICTL_STATE_DIR",
        meaning: "A directory to use instead of /var/lib/pcictl.",
        uses: Uses::Named,
        commands: &["remove", "rescan", "replug", "slot on", "slot off", "wait", "status", "recover", "doctor"],
    },
    Entry {
        name: "PCICTL_RUN_DIR",
        meaning: "A directory to use instead of /run/pcictl, together with --sysroot only: a machine has one lock \
                  directory, and without --sysroot the exit status is 2.",
        uses: Uses::Locking,
        commands: &["show", "locks", "status", "doctor"],
    },
];

/// Related pages, `name.section`.
pub(crate) fn see_also(command: &str) -> Vec<&'static str> {
    let related: &[&str] = match command {
        "pcictl" => &["flock.1", "lspci.8", "setpci.8", "udevadm.8"],
        "list" => &["pcictl.8", "pcictl-show.8", "pcictl-tree.8", "lspci.8"],
        "tree" => &["pcictl.8", "pcictl-list.8", "lspci.8"],
        "show" => &["pcictl.8", "pcictl-list.8", "pcictl-remove.8", "lspci.8"],
        "remove" => &["pcictl.8", "pcictl-replug.8", "pcictl-rescan.8", "pcictl-show.8", "pcictl-status.8"],
        "rescan" => &["pcictl.8", "pcictl-remove.8", "pcictl-replug.8", "udevadm.8"],
        "replug" => &["pcictl.8", "pcictl-recover.8", "pcictl-remove.8", "pcictl-rescan.8"],
        "unbind" => &["pcictl.8", "pcictl-bind.8", "pcictl-override.8", "pcictl-remove.8"],
        "bind" => &["pcictl.8", "pcictl-override.8", "pcictl-unbind.8", "driverctl.8"],
        "override" => &["pcictl.8", "pcictl-bind.8", "pcictl-unbind.8", "driverctl.8"],
        "sriov" => &["pcictl.8", "pcictl-override.8", "pcictl-show.8", "ip-link.8"],
        "reset" => &["pcictl.8", "pcictl-replug.8", "pcictl-slot-off.8"],
        "power" => &["pcictl.8", "pcictl-slot.8", "pcictl-show.8"],
        "wait" => &["pcictl.8", "pcictl-rescan.8", "pcictl-show.8", "udevadm.8"],
        "lock" => &["pcictl.8", "pcictl-locks.8", "flock.1"],
        "locks" => &["pcictl.8", "pcictl-lock.8", "lslocks.8"],
        "guard" => &["pcictl.8", "pcictl-lock.8", "pcictl-locks.8", "fanotify.7", "systemd.service.5"],
        "status" => &["pcictl.8", "pcictl-doctor.8", "pcictl-recover.8"],
        "recover" => &["pcictl.8", "pcictl-status.8"],
        "slot" => &["pcictl.8", "pcictl-list.8", "pcictl-replug.8", "ledctl.8"],
        "slot list" | "slot show" => &["pcictl.8", "pcictl-slot.8", "pcictl-list.8"],
        "slot on" => &["pcictl.8", "pcictl-slot.8", "pcictl-slot-off.8", "pcictl-rescan.8"],
        "slot off" => &["pcictl.8", "pcictl-slot.8", "pcictl-slot-on.8", "pcictl-remove.8"],
        "slot identify" => &["pcictl.8", "pcictl-slot.8", "pcictl-recover.8", "ledctl.8"],
        "dump" => &["pcictl.8", "pcictl-list.8"],
        _ => &["pcictl.8", "pcictl-locks.8", "pcictl-status.8"],
    };
    related.to_vec()
}
