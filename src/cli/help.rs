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
