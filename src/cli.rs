//! The command line: parsing only, no look at the machine.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::address::PciAddress;
use crate::report::Column;
use crate::settle::Expectation;
use crate::users::Danger;
use crate::verify::Kind;

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
    pub command: Command,
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
    pub json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Look at a dumped tree instead of this machine
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub sysroot: Option<PathBuf>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    /// Print driver overrides, in a process that may hang
    #[command(hide = true)]
    ReadOverrides(ReadOverridesArgs),
}

/// `pcictl list`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct ListArgs {
    /// Which functions; all without one
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Which columns, in this order
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',')]
    pub output: Vec<Column>,
    /// List the columns that there are
    #[arg(long)]
    pub list_columns: bool,
    /// Leave out the heading
    #[arg(long)]
    pub no_header: bool,
}

/// `pcictl tree`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct TreeArgs {
    /// The function or host bridge to begin at; the whole machine without one
    #[arg(value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// What to say of each function, besides its address; as in list
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',')]
    pub output: Vec<Column>,
}

/// `pcictl show`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct ShowArgs {
    /// The function
    #[arg(value_name = "SELECTOR")]
    pub selector: String,
}

/// Options of every command that changes something.
#[derive(Args, Clone, Debug)]
pub struct Changing {
    /// Print the steps and the locks in their order, and touch nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How long to wait for locks
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    pub wait: std::time::Duration,
    /// Do not wait for locks at all
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Take all functions that a selector means
    #[arg(long)]
    pub each: bool,
}

/// Options of every command that writes to the kernel.
#[derive(Args, Clone, Debug)]
pub struct Writing {
    /// How long one write to the kernel may take before the terminal is given back
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = parse_seconds)]
    pub timeout: std::time::Duration,
}

/// Options of every command that can take a device away from its users.
#[derive(Args, Clone, Debug, Default)]
pub struct Forcing {
    /// Go on although this is so; only the dangers that are named are overridden
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub force: Vec<Danger>,
    /// Do not ask whether a forced danger is meant
    #[arg(short, long)]
    pub yes: bool,
}

/// `pcictl remove`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct RemoveArgs {
    /// The functions to remove, with all below them
    #[arg(value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub writing: Writing,
    /// What may be overridden.
    #[command(flatten)]
    pub forcing: Forcing,
    /// It is fine if the device is not there
    #[arg(long)]
    pub if_present: bool,
    /// When a driver cannot be stopped, leave those that were stopped as they are
    #[arg(long)]
    pub no_rollback: bool,
    /// How many drivers to stop at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
}

/// `pcictl rescan`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct RescanArgs {
    /// A bridge (what is below it), a function (its bus), an address that is gone, or a host bridge
    #[arg(value_name = "SELECTOR", required_unless_present_any = ["all", "slot"])]
    pub selectors: Vec<String>,
    /// Scan every bus of the machine
    #[arg(long, conflicts_with_all = ["selectors", "slot"])]
    pub all: bool,
    /// Scan the bus of a slot, be there something in it or not
    #[arg(long, value_name = "NAME")]
    pub slot: Vec<String>,
    /// What to wait for, to put up with and to put back.
    #[command(flatten)]
    pub back: BackArgs,
    /// What every changing command takes.
    #[command(flatten)]
    pub changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub writing: Writing,
}

/// Options of every command that brings devices back.
#[derive(Args, Clone, Debug)]
pub struct BackArgs {
    /// How long to wait for drivers, disks and interfaces
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub settle: std::time::Duration,
    /// What must come: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas for one
    /// function
    #[arg(long, value_name = "WHAT")]
    pub expect: Vec<Expectation>,
    /// Differences that are fine
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub accept: Vec<Kind>,
    /// Put back the number of VFs, driver overrides and power settings
    #[arg(long)]
    pub restore: bool,
}

/// `pcictl read-overrides`
#[derive(Args, Debug)]
pub struct ReadOverridesArgs {
    /// The functions
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<PciAddress>,
}

/// `pcictl replug`
#[derive(Args, Debug)]
pub struct ReplugArgs {
    /// All that a removal takes.
    #[command(flatten)]
    pub remove: RemoveArgs,
    /// All that a rescan takes.
    #[command(flatten)]
    pub back: BackArgs,
    /// Reset each function when its driver is stopped; its bus, if it cannot be reset by itself and nothing else is there
    #[arg(long)]
    pub reset: bool,
    /// Switch the power of its slot off and on while it is removed
    #[arg(long, conflicts_with = "reset")]
    pub power_cycle: bool,
    /// If it does not come back, try more: the bus above, a reset of its bus, the power of its slot
    #[arg(long)]
    pub escalate: bool,
}

const LOCK: &str = "\
What to lock: the function that the command removes, unbinds or resets. For a raw rescan, the bridge to the bus that is \
scanned: with FUNCTION/rescan that is the bridge above the function; with BRIDGE/pci_bus/BUS/rescan it is BRIDGE, and \
the bridge above BRIDGE if the bus is empty by then; with /sys/bus/pci/rescan it is everything (--all). An address \
that is gone stands for the bridge that can bring it back. Lock all that the command needs in one call: a pcictl that \
changes something inside would wait for the lock that it was started under, and refuses.

pcictl holds the locks until COMMAND ends, and passes on its exit status (128 + N if signal N ended it) and signals. \
What COMMAND leaves running in the background does not keep the locks, unless --inherit is given. If pcictl itself is \
killed, COMMAND is killed too, so that it does not go on unlocked; with --inherit it goes on, and so do the locks.

Example:
  pcictl lock 0000:03:00.0 -- sh -c 'echo 1 > /sys/bus/pci/devices/0000:03:00.0/remove'

Exit status: that of COMMAND; of pcictl itself 75 if the lock is held by someone else, 126 if COMMAND cannot be run, \
127 if there is no such command; otherwise as for all commands";

/// `pcictl lock`
#[derive(Args, Debug)]
#[command(after_help = LOCK, override_usage = "pcictl lock [OPTIONS] <SELECTOR>... -- <COMMAND>...\n       \
    pcictl lock [OPTIONS] --all -- <COMMAND>...")]
pub struct LockArgs {
    /// A function (and all below it), a bridge or host bridge, or an address that is gone
    #[arg(value_name = "SELECTOR", required_unless_present = "all")]
    pub selectors: Vec<String>,
    /// The command, with its arguments
    #[arg(value_name = "COMMAND", last = true, required = true, value_hint = clap::ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
    /// Lock the whole machine
    #[arg(long, conflicts_with = "selectors")]
    pub all: bool,
    /// Keep out changes, not others who lock with --shared: for a command that only looks
    #[arg(short, long)]
    pub shared: bool,
    /// Let the command, and all that it starts, keep the locks until the last of them has ended
    #[arg(long)]
    pub inherit: bool,
    /// What every changing command takes.
    #[command(flatten)]
    pub changing: Changing,
}

/// `pcictl locks`
#[derive(Args, Debug)]
#[command(after_help = SELECTORS)]
pub struct LocksArgs {
    /// Only the locks at, above and below this function or host bridge
    #[arg(value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// `pcictl recover`
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Which operations, as pcictl status names them; all without one
    #[arg(value_name = "OPERATION")]
    pub ids: Vec<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub writing: Writing,
}

/// Seconds with a fraction; never negative, at most what a deadline can hold.
fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    /// Ten years: longer than any lock is held, and far from the end of the clock.
    const MOST: f64 = 10.0 * 365.0 * 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as 5 or 0.5".to_owned())?;
    if !(0.0..=MOST).contains(&seconds) {
        return Err("give seconds between 0 and ten years".to_owned());
    }
    Ok(std::time::Duration::from_secs_f64(seconds))
}
