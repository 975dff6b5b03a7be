//! The command line: parsing only, no look at the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cli::help;
use crate::cli::slot_help;
use crate::cli::values::{color, column, danger, difference, parse_duration, parse_time_limit, switch};
use crate::cli::wait::WaitArgs;
use crate::operation::identify::IdentifyOptions;
use crate::operation::options::{
    ChangeOptions, ForceOptions, InPlaceOptions, RemoveOptions, ReplugOptions, ResetOptions, ScanOptions, SettleOptions,
};
use crate::plan::power::PowerSettings;
use crate::plan::sriov::VfRequest;
use crate::report::rows::Column;
use crate::resolve::siblings::Selection;
use crate::terminal::{ColorChoice, Talk};
use crate::usage::model::Danger;
use crate::verify::compare::DifferenceKind;
use crate::verify::expectation::Expectation;

/// The headings of help, in their order.
const SCAN: &str = "Scan";
const CONTENTS: &str = "Contents";
const COLUMNS: &str = "Columns";
const SAFETY: &str = "Safety";
const SELECTION: &str = "Selection";
const LOCKING: &str = "Locking";
const RETURN: &str = "Bringing the device back";
const WAITING: &str = "Waiting";
const OUTPUT: &str = "Output";
const COMMON: &str = "Common";

/// Remove PCI devices and bring them back without hanging the kernel.
#[derive(Debug, Parser)]
#[command(name = "pcictl", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
#[command(disable_help_flag = true, disable_version_flag = true, after_help = help::PCICTL)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that mean the same everywhere.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Print one JSON document
    #[arg(short, long, global = true, help_heading = OUTPUT, display_order = 900)]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = OUTPUT, display_order = 901)]
    pub(crate) quiet: bool,
    /// Print more: each step, every lock of a plan
    #[arg(short, long, global = true, help_heading = OUTPUT, display_order = 902)]
    pub(crate) verbose: bool,
    /// When to use color
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = color())]
    #[arg(help_heading = OUTPUT, display_order = 903)]
    pub(crate) color: ColorChoice,
    /// Read a dumped tree instead of this machine; nothing can be changed there
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    #[arg(help_heading = COMMON, display_order = 910)]
    pub(crate) sysroot: Option<PathBuf>,
    /// Print help (see more with '--help')
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = COMMON, display_order = 911)]
    #[arg(long_help = "Print help (see a summary with '-h')")]
    help: Option<bool>,
    /// Print version
    #[arg(short = 'V', long, global = true, action = ArgAction::Version, help_heading = COMMON, display_order = 912)]
    version: Option<bool>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List functions, one per line
    List(ListArgs),
    /// Show the device tree, host bridges at the top
    Tree(TreeArgs),
    /// Show functions in detail, and what removing them would do
    Show(ShowArgs),
    /// Remove a function and everything below it, drivers first
    Remove(RemoveArgs),
    /// Bring a device back by scanning the smallest bus that can
    Rescan(RescanArgs),
    /// Remove a function and bring it back, under one lock
    Replug(ReplugArgs),
    /// Stop the driver of a function, which stays where it is
    Unbind(UnbindArgs),
    /// Give a function to a driver
    Bind(BindArgs),
    /// Choose the driver of a function, whatever drivers it fits
    Override(OverrideArgs),
    /// Wait until a device is there, gone, bound or ready
    Wait(WaitArgs),
    /// Show or change the virtual functions of a physical function
    Sriov(SriovArgs),
    /// Reset a function, which stays where it is
    Reset(ResetArgs),
    /// Show or change how a function may sleep and wake
    Power(PowerArgs),
    /// Show slots, switch their power, find them by their light
    Slot(SlotArgs),
    /// Run a command while holding a device's lock
    Lock(LockArgs),
    /// Show who holds or waits for which lock
    Locks(LocksArgs),
    /// Show interrupted operations, and devices not yet back
    Status(StatusArgs),
    /// Complete or undo interrupted operations
    Recover(RecoverArgs),
    /// Diagnose a stuck PCI core: which tasks, why, and what to do
    Doctor(DoctorArgs),
    /// Copy what pcictl reads of this machine, to attach to a report
    Dump(DumpArgs),
}

/// `pcictl list`
#[derive(Args, Debug)]
#[command(after_help = help::LIST)]
pub(crate) struct ListArgs {
    /// Functions to list [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Columns to print, in this order
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = column(), help_heading = COLUMNS)]
    pub(crate) output: Vec<Column>,
    /// List the available columns
    #[arg(long, help_heading = COLUMNS)]
    pub(crate) list_columns: bool,
    /// Do not print the header line
    #[arg(long, help_heading = COLUMNS)]
    pub(crate) no_header: bool,
}

/// `pcictl tree`
#[derive(Args, Debug)]
#[command(after_help = help::TREE)]
pub(crate) struct TreeArgs {
    /// Function or host bridge to start at [default: the whole machine]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Columns to print after each address
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = column(), help_heading = COLUMNS)]
    pub(crate) output: Vec<Column>,
}

/// `pcictl show`
#[derive(Args, Debug)]
#[command(after_help = help::SHOW)]
pub(crate) struct ShowArgs {
    /// Function or group of functions to show
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: String,
}

/// Options of every command that changes functions.
#[derive(Args, Clone, Debug)]
pub(crate) struct Changing {
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// Accept selectors that match more than one function
    #[arg(long, help_heading = SELECTION)]
    pub(crate) each: bool,
    /// Include every function of the same device (same domain, bus and device number; VFs only with their PF)
    #[arg(long, help_heading = SELECTION)]
    with_siblings: bool,
    /// Include every function of the same IOMMU group, bridges left out
    #[arg(long, help_heading = SELECTION)]
    iommu_group: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Options of every command that takes locks.
#[derive(Args, Clone, Debug)]
pub(crate) struct Waiting {
    /// How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h
    #[arg(short, long, value_name = "TIME", default_value = "30", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) wait: Duration,
    /// Do not wait for locks
    #[arg(long, conflicts_with = "wait", help_heading = WAITING)]
    pub(crate) no_wait: bool,
}

/// Options of every command that writes to the kernel.
#[derive(Args, Clone, Debug)]
pub(crate) struct Writing {
    /// How long one write to the kernel may take before pcictl returns with status 124
    #[arg(long, value_name = "TIME", default_value = "120", value_parser = parse_time_limit)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) timeout: Duration,
}

/// Options of every command that can take a device away from its users.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Forcing {
    /// Proceed although the device is in use in these ways (comma-separated); each must be named
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = danger(), help_heading = SAFETY)]
    pub(crate) force: Vec<Danger>,
    /// Do not ask for confirmation when --force is used
    #[arg(short, long, help_heading = SAFETY)]
    pub(crate) yes: bool,
}

/// `pcictl remove`
#[derive(Args, Debug)]
#[command(after_help = help::REMOVE)]
pub(crate) struct RemoveArgs {
    /// Functions to remove, with everything below them
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
    /// Succeed if the device is already absent
    #[arg(long, help_heading = SELECTION)]
    pub(crate) if_present: bool,
    /// Accept the name of one disk, interface or the like for the whole device, with all else that is on it
    #[arg(long, help_heading = SELECTION)]
    pub(crate) whole_device: bool,
    /// If a driver fails to stop, leave the others unbound
    #[arg(long, help_heading = SAFETY)]
    pub(crate) no_rollback: bool,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl rescan`
#[derive(Args, Debug)]
#[command(after_help = help::RESCAN, override_usage = "pcictl rescan [OPTIONS] <SELECTOR>...\n       \
    pcictl rescan [OPTIONS] --slot <NAME>\n       \
    pcictl rescan [OPTIONS] --all")]
pub(crate) struct RescanArgs {
    /// A bridge (scans below it), a function (scans its bus), an absent address, or a host bridge
    #[arg(value_name = "SELECTOR", required_unless_present_any = ["all", "slot"])]
    pub(crate) selectors: Vec<String>,
    /// Scan every bus of the machine
    #[arg(long, conflicts_with_all = ["selectors", "slot"], help_heading = SCAN)]
    pub(crate) all: bool,
    /// Scan the bus of a slot, even if the slot is empty
    #[arg(long, value_name = "NAME", help_heading = SCAN)]
    pub(crate) slot: Vec<String>,
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    dry_run: bool,
    /// Accept selectors that match more than one function
    #[arg(long, help_heading = SELECTION)]
    each: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    waiting: Waiting,
    /// What to wait for, accept and restore.
    #[command(flatten)]
    pub(crate) back: BackArgs,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// Options of every command that brings devices back.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackArgs {
    /// Device that must appear: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas
    #[arg(long, value_name = "WHAT", help_heading = RETURN)]
    pub(crate) expect: Vec<Expectation>,
    /// Differences to accept (comma-separated)
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = difference(), help_heading = RETURN)]
    pub(crate) accept: Vec<DifferenceKind>,
    /// Restore the number of VFs, driver overrides and power settings
    #[arg(long, help_heading = RETURN)]
    pub(crate) restore: bool,
    /// How long to wait for drivers, disks and interfaces
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) settle: Duration,
}

/// `pcictl replug`
#[derive(Args, Debug)]
#[command(after_help = help::REPLUG)]
pub(crate) struct ReplugArgs {
    /// What a removal takes.
    #[command(flatten)]
    pub(crate) remove: RemoveArgs,
    /// Reset each function once its driver is stopped; its bus, if only that can be reset and nothing else is on it
    #[arg(long, help_heading = RETURN)]
    pub(crate) reset: bool,
    /// Switch the slot's power off and on while the device is removed
    #[arg(long, conflicts_with = "reset", help_heading = RETURN)]
    pub(crate) power_cycle: bool,
    /// Escalate if the device does not come back: the bus above, a reset of its bus, the slot's power
    #[arg(long, help_heading = RETURN)]
    pub(crate) escalate: bool,
    /// What a rescan takes.
    #[command(flatten)]
    pub(crate) back: BackArgs,
}

/// Options of every command that stops drivers and leaves the functions where they are.
#[derive(Args, Debug)]
pub(crate) struct InPlaceArgs {
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// What may be overridden.
    #[command(flatten)]
    pub(crate) forcing: Forcing,
    /// Accept the name of one disk, interface or the like for the whole device, with all else that is on it
    #[arg(long, help_heading = SELECTION)]
    pub(crate) whole_device: bool,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// How many drivers are stopped or started at a time.
#[derive(Args, Clone, Debug)]
pub(crate) struct Jobs {
    /// How many drivers to stop or start at a time; 1 is the most careful
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    #[arg(allow_negative_numbers = true, help_heading = SAFETY)]
    pub(crate) jobs: u16,
}

/// `pcictl unbind`
#[derive(Args, Debug)]
#[command(after_help = help::UNBIND)]
pub(crate) struct UnbindArgs {
    /// Functions whose drivers to stop; VFs of a physical function go with it
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl bind`
#[derive(Args, Debug)]
#[command(after_help = help::BIND)]
pub(crate) struct BindArgs {
    /// Functions without a driver
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// The driver [default: whichever fits]
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl override`
#[derive(Args, Debug)]
#[command(after_help = help::OVERRIDE, override_usage = "pcictl override [OPTIONS] <SELECTOR> <DRIVER>\n       \
    pcictl override [OPTIONS] <SELECTOR> --clear")]
pub(crate) struct OverrideArgs {
    /// Function, or with --each a group of them
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: String,
    /// The driver; 'none' keeps every driver away
    #[arg(value_name = "DRIVER", required_unless_present = "clear")]
    pub(crate) driver: Option<String>,
    /// Clear the override, and give the function to the driver that fits it
    #[arg(long, conflicts_with = "driver")]
    pub(crate) clear: bool,
    /// Keep it over reboots: write or remove the file that driverctl reads in /etc/driverctl.d
    #[arg(long)]
    pub(crate) persist: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl sriov`
#[derive(Args, Debug)]
#[command(after_help = help::SRIOV, override_usage = "pcictl sriov [OPTIONS] <PF>\n       \
    pcictl sriov [OPTIONS] <PF> <N>\n       \
    pcictl sriov [OPTIONS] <PF> --off")]
pub(crate) struct SriovArgs {
    /// Physical function; without more its VFs are shown
    #[arg(value_name = "PF")]
    pub(crate) selector: String,
    /// How many VFs it is to have; those that it has go first
    #[arg(value_name = "N")]
    pub(crate) count: Option<u16>,
    /// Take all VFs away
    #[arg(long, conflicts_with = "count")]
    pub(crate) off: bool,
    /// Whether drivers take VFs that appear (sriov_drivers_autoprobe) [default: as it is]
    #[arg(long, value_name = "WHEN", value_parser = switch())]
    pub(crate) autoprobe: Option<bool>,
    /// The driver that each VF is to have, by a driver override [default: whichever fits]
    #[arg(long, value_name = "NAME", requires = "count")]
    pub(crate) driver: Option<String>,
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// How long to wait for drivers, disks and interfaces of VFs
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) settle: Duration,
    /// What may be overridden.
    #[command(flatten)]
    pub(crate) forcing: Forcing,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl reset`
#[derive(Args, Debug)]
#[command(after_help = help::RESET)]
pub(crate) struct ResetArgs {
    /// Functions to reset; VFs of a physical function go and come back with it
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// Use this method, one of those that --list shows [default: the first]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// List the methods and what each one hits, and change nothing
    #[arg(long, conflicts_with_all = ["method", "keep_driver"])]
    pub(crate) list: bool,
    /// Leave the driver at work, which must be able to bear it (reset_prepare and reset_done)
    #[arg(long)]
    pub(crate) keep_driver: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) in_place: InPlaceArgs,
}

/// `pcictl power`
#[derive(Args, Debug)]
#[command(after_help = help::POWER)]
pub(crate) struct PowerArgs {
    /// Functions to show or change
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selectors: Vec<String>,
    /// Let the kernel put it to sleep when its driver has nothing to do, or keep it awake
    #[arg(long, value_name = "auto|on", value_parser = ["auto", "on"])]
    pub(crate) runtime: Option<String>,
    /// Whether it may lose its power while it sleeps
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) d3cold: Option<String>,
    /// Whether it may wake the machine
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) wakeup: Option<String>,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// `pcictl slot`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT)]
pub(crate) struct SlotArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SlotCommand,
}

/// What can be done with slots.
#[derive(Debug, Subcommand)]
pub(crate) enum SlotCommand {
    /// List slots, one per line
    List(SlotListArgs),
    /// Show a slot in detail, with what its hardware says
    Show(SlotShowArgs),
    /// Switch a slot's power on, and compare what comes with what was there
    On(SlotOnArgs),
    /// Stop the drivers of what is in a slot, and switch its power off
    Off(SlotOffArgs),
    /// Have a light show where a slot is
    Identify(SlotIdentifyArgs),
}

/// `pcictl slot list`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_LIST)]
pub(crate) struct SlotListArgs {
    /// Read power, adapter, latch and attention of each slot, which asks the hardware
    #[arg(long, help_heading = CONTENTS)]
    pub(crate) status: bool,
}

/// `pcictl slot show`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_SHOW)]
pub(crate) struct SlotShowArgs {
    /// Slot, by its name or by the address of what is or was in it
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
}

/// Options of every command that changes a slot.
#[derive(Args, Clone, Debug)]
pub(crate) struct SlotChanging {
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// `pcictl slot on`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_ON)]
pub(crate) struct SlotOnArgs {
    /// Slot, by its name or by the address of what is or was in it
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) changing: SlotChanging,
    /// What to wait for, accept and restore.
    #[command(flatten)]
    pub(crate) back: BackArgs,
}

/// `pcictl slot off`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_OFF)]
pub(crate) struct SlotOffArgs {
    /// Slot, by its name or by the address of what is in it
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) changing: SlotChanging,
    /// What may be overridden.
    #[command(flatten)]
    pub(crate) forcing: Forcing,
    /// If a driver fails to stop, leave the others unbound
    #[arg(long, help_heading = SAFETY)]
    pub(crate) no_rollback: bool,
    /// How many drivers at a time.
    #[command(flatten)]
    pub(crate) jobs: Jobs,
}

/// `pcictl slot identify`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_IDENTIFY)]
pub(crate) struct SlotIdentifyArgs {
    /// Slot, by its name or by the address of what is or was in it
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// For how long; then the light shows what it showed before [default: until --off]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    pub(crate) length: Option<Duration>,
    /// Switch the light off
    #[arg(long, conflicts_with = "length")]
    pub(crate) off: bool,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) changing: SlotChanging,
}

/// `pcictl lock`
#[derive(Args, Debug)]
#[command(after_help = help::LOCK, override_usage = "pcictl lock [OPTIONS] <SELECTOR>... -- <COMMAND>...\n       \
    pcictl lock [OPTIONS] --all -- <COMMAND>...")]
pub(crate) struct LockArgs {
    /// A function (and everything below it), a bridge or host bridge, or an absent address
    #[arg(value_name = "SELECTOR", required_unless_present = "all")]
    pub(crate) selectors: Vec<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true, value_hint = clap::ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Lock the whole machine
    #[arg(long, conflicts_with = "selectors", help_heading = LOCKING)]
    pub(crate) all: bool,
    /// Keep out changes but not other readers: for a command that only reads
    #[arg(short, long, help_heading = LOCKING)]
    pub(crate) shared: bool,
    /// Keep the locks from the command and what it leaves running; they end with pcictl
    #[arg(short = 'o', long, help_heading = LOCKING)]
    pub(crate) close: bool,
    /// What every changing command takes.
    #[command(flatten)]
    pub(crate) changing: Changing,
}

/// `pcictl locks`
#[derive(Args, Debug)]
#[command(after_help = help::LOCKS)]
pub(crate) struct LocksArgs {
    /// Function or host bridge: show only the locks at, above and below it [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
}

/// Options that every command accepts, hidden where they have no effect.
#[derive(Args, Debug)]
pub(crate) struct NoTalk {
    #[arg(short, long, conflicts_with = "verbose", hide = true)]
    quiet: bool,
    #[arg(short, long, hide = true)]
    verbose: bool,
}

/// `pcictl status`
#[derive(Args, Debug)]
#[command(after_help = help::STATUS)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    talk: NoTalk,
}

/// `pcictl recover`
#[derive(Args, Debug)]
#[command(after_help = help::RECOVER)]
pub(crate) struct RecoverArgs {
    /// Operations to recover, by the ids that pcictl status prints [default: all]
    #[arg(value_name = "OPERATION")]
    pub(crate) ids: Vec<String>,
    /// Print what would be recovered without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// Refused, because a dumped tree cannot be changed.
    #[arg(long, value_name = "DIR", hide = true)]
    sysroot: Option<PathBuf>,
}

/// `pcictl doctor`
#[derive(Args, Debug)]
#[command(after_help = help::DOCTOR)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    talk: NoTalk,
}

/// `pcictl dump`
#[derive(Args, Debug)]
#[command(after_help = help::DUMP)]
pub(crate) struct DumpArgs {
    /// A new directory, or a new file whose name ends in .tree
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) target: PathBuf,
    /// Functions or host bridges to copy, with everything above and below them [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Replace MAC and IP addresses, serial numbers, UUIDs, names that people chose, and arguments of commands
    #[arg(long, help_heading = CONTENTS)]
    pub(crate) anonymize: bool,
}

impl Common {
    /// How to talk, as the options say.
    pub fn talk(&self) -> Talk {
        Talk { json: self.json, quiet: self.quiet, verbose: self.verbose, color: self.color }
    }
}

impl Command {
    /// Whether it makes writes to the kernel by itself.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Remove(_)
            | Self::Rescan(_)
            | Self::Replug(_)
            | Self::Recover(_)
            | Self::Unbind(_)
            | Self::Bind(_)
            | Self::Override(_)
            | Self::Sriov(_)
            | Self::Slot(_) => true,
            Self::Reset(args) => !args.list,
            Self::Power(args) => args.wanted() != PowerSettings::default(),
            Self::List(_)
            | Self::Tree(_)
            | Self::Show(_)
            | Self::Lock(_)
            | Self::Wait(_)
            | Self::Locks(_)
            | Self::Status(_)
            | Self::Doctor(_)
            | Self::Dump(_) => false,
        }
    }

    /// Whether it prints a plan and changes nothing.
    pub(crate) fn is_dry_run(&self) -> bool {
        match self {
            Self::Remove(args) => args.changing.dry_run,
            Self::Rescan(args) => args.dry_run,
            Self::Replug(args) => args.remove.changing.dry_run,
            Self::Unbind(UnbindArgs { in_place, .. })
            | Self::Override(OverrideArgs { in_place, .. })
            | Self::Reset(ResetArgs { in_place, list: false, .. }) => in_place.changing.dry_run,
            Self::Reset(_) => false,
            Self::Power(args) => args.changing.dry_run,
            Self::Bind(args) => args.changing.dry_run,
            Self::Sriov(args) => args.dry_run,
            Self::Slot(args) => args.command.is_dry_run(),
            Self::Lock(args) => args.changing.dry_run,
            Self::Recover(args) => args.dry_run,
            Self::List(_)
            | Self::Tree(_)
            | Self::Show(_)
            | Self::Wait(_)
            | Self::Locks(_)
            | Self::Status(_)
            | Self::Doctor(_)
            | Self::Dump(_) => false,
        }
    }
}

impl Waiting {
    fn limit(&self) -> Duration {
        if self.no_wait { Duration::ZERO } else { self.wait }
    }
}

impl Changing {
    fn options(&self, timeout: Duration) -> ChangeOptions {
        let &Self { dry_run, each, with_siblings: siblings, iommu_group, ref waiting } = self;
        let selection = Selection { each, siblings, iommu_group };
        ChangeOptions { dry_run, wait: waiting.limit(), selection, timeout }
    }
}

impl RemoveArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> RemoveOptions {
        RemoveOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: self.forcing.options(),
            if_present: self.if_present,
            whole_device: self.whole_device,
            no_rollback: self.no_rollback,
            jobs: self.jobs.jobs.into(),
        }
    }
}

impl SlotCommand {
    fn is_dry_run(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) => false,
            Self::On(args) => args.changing.dry_run,
            Self::Off(args) => args.changing.dry_run,
            Self::Identify(args) => args.changing.dry_run,
        }
    }
}

impl SlotChanging {
    fn options(&self) -> ChangeOptions {
        let Self { dry_run, waiting, writing } = self;
        let selection = Selection::default();
        ChangeOptions { dry_run: *dry_run, wait: waiting.limit(), selection, timeout: writing.timeout }
    }
}

impl SlotOnArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> (ChangeOptions, SettleOptions) {
        (self.changing.options(), self.back.options())
    }
}

impl SlotOffArgs {
    /// The same as plain values. All that is in the slot goes.
    pub(crate) fn options(&self) -> RemoveOptions {
        RemoveOptions {
            change: self.changing.options(),
            forcing: self.forcing.options(),
            if_present: false,
            whole_device: true,
            no_rollback: self.no_rollback,
            jobs: self.jobs.jobs.into(),
        }
    }
}

impl SlotIdentifyArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> IdentifyOptions {
        IdentifyOptions { change: self.changing.options(), on: !self.off, length: self.length }
    }
}

impl InPlaceArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: self.forcing.options(),
            whole_device: self.whole_device,
            jobs: self.jobs.jobs.into(),
        }
    }
}

impl ResetArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> ResetOptions {
        ResetOptions { in_place: self.in_place.options(), method: self.method.clone(), keep_driver: self.keep_driver }
    }
}

impl PowerArgs {
    /// What is to be set, as the kernel takes it.
    pub(crate) fn wanted(&self) -> PowerSettings {
        let switch = |value: &Option<String>, on, off| value.as_ref().map(|value| if value == "on" { on } else { off });
        PowerSettings {
            control: switch(&self.runtime, "on", "auto"),
            d3cold: switch(&self.d3cold, "1", "0"),
            wakeup: switch(&self.wakeup, "enabled", "disabled"),
        }
    }

    /// The same as plain values. Nothing is taken from anybody, so nothing has to be forced.
    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: ForceOptions::default(),
            whole_device: true,
            jobs: 1,
        }
    }
}

impl BindArgs {
    /// The same as plain values. Nothing is taken from anybody, so nothing has to be forced.
    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: ForceOptions::default(),
            whole_device: true,
            jobs: self.jobs.jobs.into(),
        }
    }
}

impl SriovArgs {
    /// What is asked for; nothing if the VFs are only to be shown.
    pub(crate) fn request(&self) -> VfRequest {
        let count = if self.off { Some(0) } else { self.count.map(usize::from) };
        VfRequest { count, autoprobe: self.autoprobe, driver: self.driver.clone() }
    }

    /// The other options as plain values. An interface of the physical function stands for all of it.
    pub(crate) fn options(&self) -> InPlaceOptions {
        let (dry_run, wait, timeout) = (self.dry_run, self.waiting.limit(), self.writing.timeout);
        InPlaceOptions {
            change: ChangeOptions { dry_run, wait, selection: Selection::default(), timeout },
            forcing: self.forcing.options(),
            whole_device: true,
            jobs: self.jobs.jobs.into(),
        }
    }
}

impl Forcing {
    fn options(&self) -> ForceOptions {
        ForceOptions { force: self.force.clone(), yes: self.yes }
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
        let selection = Selection { each: self.each, ..Selection::default() };
        let (wait, timeout) = (self.waiting.limit(), self.writing.timeout);
        ScanOptions {
            change: ChangeOptions { dry_run: self.dry_run, wait, selection, timeout },
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
        let selection = Selection::default();
        ChangeOptions { dry_run: self.dry_run, wait: self.waiting.limit(), selection, timeout: self.writing.timeout }
    }
}

impl LockArgs {
    /// The same as plain values. The command itself writes to the kernel, so there is no time limit.
    pub(crate) fn options(&self) -> ChangeOptions {
        self.changing.options(Duration::MAX)
    }
}
