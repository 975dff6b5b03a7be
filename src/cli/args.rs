//! The command line: parsing only, no look at the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cli::values::{color, column, danger, difference, parse_seconds};
use crate::operation::options::{
    ChangeOptions, ForceOptions, RemoveOptions, ReplugOptions, ScanOptions, SettleOptions,
};
use crate::report::rows::Column;
use crate::terminal::{ColorChoice, Talk};
use crate::usage::model::Danger;
use crate::verify::compare::DifferenceKind;
use crate::verify::expectation::Expectation;

/// Remove PCI devices and bring them back without hanging the kernel.
#[derive(Debug, Parser)]
#[command(name = "pcictl", version, propagate_version = true, max_term_width = 100, arg_required_else_help = false)]
#[command(after_help = EXIT_STATUS)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0 done; 1 failed, nothing left changed; 2 usage; 3 no such device; 4 refused; 5 partly done;
  6 done, but not as expected; 75 locked by someone else; 77 not permitted;
  124 the kernel has not finished in time, and the operation goes on; 130 interrupted";

const SELECTORS: &str = "\
Selectors:
  0000:03:00.0   an address, with or without its domain; also pci@0000:03:00.0, pci_0000_03_00_0
  /sys/...       a path of sysfs
  /dev/nvme0n1   a device node
  eth0           a network interface
  pci0000:00     a host bridge (list, tree and rescan)
  slot:NAME driver:NAME class:NVME class:0108 id:8086:10d3
                 groups; a command that changes something wants --each for more than one function
  03: 03:00 *.0  wildcards as in lspci, for list, tree and show";

/// Options that mean the same everywhere.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Print one JSON document
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = color())]
    pub(crate) color: ColorChoice,
    /// Look at a dumped tree instead of this machine
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) sysroot: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List functions, a line each
    List(ListArgs),
    /// Show the device tree, host bridges at the top
    Tree(TreeArgs),
    /// Show one function in full, and what removing it would do
    Show(ShowArgs),
    /// Stop everything below a function from the bottom up, then remove it
    Remove(RemoveArgs),
    /// Scan the smallest bus that can bring a device back, and report what came
    Rescan(RescanArgs),
    /// Remove a function and bring it back at once, under one lock from start to end
    Replug(ReplugArgs),
    /// Run a command while nobody else changes a function or what is below it
    Lock(LockArgs),
    /// Show who holds or waits for which lock
    Locks(LocksArgs),
    /// Show what is under way, what was interrupted, and what is removed and not back
    Status,
    /// Bring interrupted operations to their end, or back to their start
    Recover(RecoverArgs),
    /// Tell whether the kernel's PCI core is stuck, by whom, and what helps
    Doctor,
}

/// `pcictl list`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct ListArgs {
    /// Which functions; all without one
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Which columns, in this order
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = column())]
    pub(crate) output: Vec<Column>,
    /// List the columns that there are
    #[arg(long)]
    pub(crate) list_columns: bool,
    /// Leave out the heading
    #[arg(long)]
    pub(crate) no_header: bool,
}

/// `pcictl tree`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct TreeArgs {
    /// The function or host bridge to begin at; the whole machine without one
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// What to say of each function, besides its address; as in list
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = column())]
    pub(crate) output: Vec<Column>,
}

/// `pcictl show`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct ShowArgs {
    /// The function
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: String,
}

/// Options of every command that changes something.
#[derive(Args, Clone, Debug)]
pub(crate) struct Changing {
    /// Print the steps and the locks in their order, and touch nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// How long to wait for locks
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub(crate) wait: Duration,
    /// Do not wait for locks at all
    #[arg(long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// Take all functions that a selector means
    #[arg(long)]
    pub(crate) each: bool,
}

/// Options of every command that writes to the kernel.
#[derive(Args, Clone, Debug)]
pub(crate) struct Writing {
    /// How long one write to the kernel may take before the terminal is given back
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
}

/// Options of every command that can take a device away from its users.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Forcing {
    /// Go on although this is so; only the dangers that are named are overridden
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = danger())]
    pub(crate) force: Vec<Danger>,
    /// Do not ask whether a forced danger is meant
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `pcictl remove`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct RemoveArgs {
    /// The functions to remove, with all below them
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// What may be overridden.
    #[command(flatten)]
    pub(crate) forcing: Forcing,
    /// It is fine if the device is not there
    #[arg(long)]
    pub(crate) if_present: bool,
    /// When a driver cannot be stopped, leave those that were stopped as they are
    #[arg(long)]
    pub(crate) no_rollback: bool,
    /// How many drivers to stop at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
}

/// `pcictl rescan`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct RescanArgs {
    /// A bridge (what is below it), a function (its bus), an address that is gone, or a host bridge
    #[arg(value_name = "SELECTOR", required_unless_present_any = ["all", "slot"])]
    pub(crate) selectors: Vec<String>,
    /// Scan every bus of the machine
    #[arg(long, conflicts_with_all = ["selectors", "slot"])]
    pub(crate) all: bool,
    /// Scan the bus of a slot, be there something in it or not
    #[arg(long, value_name = "NAME")]
    pub(crate) slot: Vec<String>,
    /// What to wait for, to put up with and to put back.
    #[command(flatten)]
    pub(crate) back: BackArgs,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// Options of every command that brings devices back.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackArgs {
    /// How long to wait for drivers, disks and interfaces
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(crate) settle: Duration,
    /// What must come: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas for one
    /// function
    #[arg(long, value_name = "WHAT")]
    pub(crate) expect: Vec<Expectation>,
    /// Differences that are fine
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = difference())]
    pub(crate) accept: Vec<DifferenceKind>,
    /// Put back the number of VFs, driver overrides and power settings
    #[arg(long)]
    pub(crate) restore: bool,
}

/// `pcictl replug`
#[derive(Args, Debug)]
pub(crate) struct ReplugArgs {
    /// All that a removal takes.
    #[command(flatten)]
    pub(crate) remove: RemoveArgs,
    /// All that a rescan takes.
    #[command(flatten)]
    pub(crate) back: BackArgs,
    /// Reset each function when its driver is stopped; its bus, if it cannot be reset by itself and nothing else is there
    #[arg(long)]
    pub(crate) reset: bool,
    /// Switch the power of its slot off and on while it is removed
    #[arg(long, conflicts_with = "reset")]
    pub(crate) power_cycle: bool,
    /// If it does not come back, try more: the bus above, a reset of its bus, the power of its slot
    #[arg(long)]
    pub(crate) escalate: bool,
}

const LOCK: &str = "\
What to lock: the function that the command removes, unbinds or resets. For a raw rescan, the bridge to the bus that is \
scanned: with FUNCTION/rescan that is the bridge above the function; with BRIDGE/pci_bus/BUS/rescan it is BRIDGE, and \
the bridge above BRIDGE if the bus is empty by then; with /sys/bus/pci/rescan it is everything (--all). An address \
that is gone stands for the bridge that can bring it back. Lock all that the command needs in one call: a pcictl that \
changes something inside would wait for the lock that it was started under, and refuses.

pcictl holds the locks until COMMAND ends, and passes on its exit status (128 + N if signal N ended it) and signals. \
As with flock(1), COMMAND inherits the locks: they are held until COMMAND and all that it leaves running have ended, even \
if pcictl itself is killed. With --close they end with pcictl, and what COMMAND leaves running does not keep them; if \
pcictl is killed, COMMAND is killed too, but a write that it has begun in the kernel goes on unlocked.

Example:
  pcictl lock 0000:03:00.0 -- sh -c 'echo 1 > /sys/bus/pci/devices/0000:03:00.0/remove'

Exit status: that of COMMAND; of pcictl itself 75 if the lock is held by someone else, 126 if COMMAND cannot be run, \
127 if there is no such command; otherwise as for all commands";

/// `pcictl lock`
#[derive(Args, Debug)]
#[command(after_help = LOCK, override_usage = "pcictl lock [OPTIONS] <SELECTOR>... -- <COMMAND>...\n       \
    pcictl lock [OPTIONS] --all -- <COMMAND>...")]
pub(crate) struct LockArgs {
    /// A function (and all below it), a bridge or host bridge, or an address that is gone
    #[arg(value_name = "SELECTOR", required_unless_present = "all")]
    pub(crate) selectors: Vec<String>,
    /// The command, with its arguments
    #[arg(value_name = "COMMAND", last = true, required = true, value_hint = clap::ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Lock the whole machine
    #[arg(long, conflicts_with = "selectors")]
    pub(crate) all: bool,
    /// Keep out changes, not others who lock with --shared: for a command that only looks
    #[arg(short, long)]
    pub(crate) shared: bool,
    /// Keep the locks from the command and all that it leaves running; they end with pcictl
    #[arg(short = 'o', long)]
    pub(crate) close: bool,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
}

/// `pcictl locks`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub(crate) struct LocksArgs {
    /// Only the locks at, above and below this function or host bridge
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
}

/// `pcictl recover`
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// Which operations, as pcictl status names them; all without one
    #[arg(value_name = "OPERATION")]
    pub(crate) ids: Vec<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

impl Common {
    /// How to talk, as the options say.
    pub fn talk(&self) -> Talk {
        Talk { json: self.json, quiet: self.quiet, verbose: self.verbose, color: self.color }
    }
}

impl Changing {
    fn options(&self, timeout: Duration) -> ChangeOptions {
        let wait = if self.no_wait { Duration::ZERO } else { self.wait };
        ChangeOptions { dry_run: self.dry_run, wait, each: self.each, timeout }
    }
}

impl RemoveArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> RemoveOptions {
        RemoveOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: ForceOptions { force: self.forcing.force.clone(), yes: self.forcing.yes },
            if_present: self.if_present,
            no_rollback: self.no_rollback,
            jobs: self.jobs.into(),
        }
    }
}

impl BackArgs {
    fn options(&self) -> SettleOptions {
        let Self { settle, expect, accept, restore } = self.clone();
        SettleOptions { settle, expect, accept, restore }
    }
}

impl RescanArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ScanOptions {
        ScanOptions {
            change: self.changing.options(self.writing.timeout),
            all: self.all,
            slots: self.slot.clone(),
            settle: self.back.options(),
        }
    }
}

impl ReplugArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ReplugOptions {
        ReplugOptions {
            remove: self.remove.options(),
            settle: self.back.options(),
            reset: self.reset,
            power_cycle: self.power_cycle,
            escalate: self.escalate,
        }
    }
}

impl RecoverArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ChangeOptions {
        self.changing.options(self.writing.timeout)
    }
}

impl LockArgs {
    /// The same as plain values. The command itself writes to the kernel, so there is no time limit.
    pub(crate) fn options(&self) -> ChangeOptions {
        self.changing.options(Duration::MAX)
    }
}
