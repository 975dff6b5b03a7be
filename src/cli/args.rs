//! The command line: parsing only, no look at the machine.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::change::{
    BindArgs, OverrideArgs, PowerArgs, RemoveArgs, ReplugArgs, RescanArgs, ResetArgs, SriovArgs, UnbindArgs,
};
use crate::cli::doctor_help;
use crate::cli::groups::{
    COLUMNS, COMMON, CONTENTS, Changing, LOCKING, OUTPUT, SAFETY, SELECTION, Waiting, Watching, Writing,
};
use crate::cli::guard::GuardArgs;
use crate::cli::help;
use crate::cli::history::HistoryArgs;
use crate::cli::lazy::Lazy;
use crate::cli::settings::{Setting, apply};
use crate::cli::slot::{SlotArgs, SlotCommand};
use crate::cli::values::{ColumnParser, color, column, format};
use crate::cli::version;
use crate::cli::wait::WaitArgs;
use crate::operation::options::ChangeOptions;
use crate::plan::power::PowerSettings;
use crate::report::columns::{Column, NamedColumn};
use crate::report::monitor::Format;
use crate::resolve::siblings::Selection;
use crate::terminal::color::ColorChoice;
use crate::terminal::output::Talk;

/// Remove PCI devices and bring them back without hanging the kernel.
#[derive(Debug, Parser)]
#[command(name = "pcictl", version = version::SHORT, long_version = version::long(), propagate_version = true)]
#[command(max_term_width = 100, arg_required_else_help = true)]
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
    #[arg(long_help = "Print version; '--version' also tells commit, lock protocol, JSON schema and target")]
    version: Option<bool>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List functions, one per line
    List(Lazy<ListArgs>),
    /// Show the device tree, host bridges at the top
    Tree(Lazy<TreeArgs>),
    /// Show functions in detail, and what removing them would do
    Show(Lazy<ShowArgs>),
    /// Remove a function and everything below it, drivers first
    Remove(Lazy<RemoveArgs>),
    /// Bring a device back by scanning the smallest bus that can
    Rescan(Lazy<RescanArgs>),
    /// Remove a function and bring it back, under one lock
    Replug(Lazy<ReplugArgs>),
    /// Stop the driver of a function, which stays where it is
    Unbind(Lazy<UnbindArgs>),
    /// Give a function to a driver
    Bind(Lazy<BindArgs>),
    /// Choose the driver of a function, whatever drivers it fits
    Override(Lazy<OverrideArgs>),
    /// Wait until a device is there, gone, bound or ready
    Wait(Lazy<WaitArgs>),
    /// Show or change the virtual functions of a physical function
    Sriov(Lazy<SriovArgs>),
    /// Reset a function, which stays where it is
    Reset(Lazy<ResetArgs>),
    /// Show or change how a function may sleep and wake
    Power(Lazy<PowerArgs>),
    /// Show slots, switch their power, find them by their light
    Slot(Lazy<SlotArgs>),
    /// Run a command while holding a device's lock
    Lock(Lazy<LockArgs>),
    /// Show who holds or waits for which lock
    Locks(Lazy<LocksArgs>),
    /// Show interrupted operations, and devices not yet back
    Status(Lazy<StatusArgs>),
    /// Show what was done to which device, when and by whom
    History(Lazy<HistoryArgs>),
    /// Complete or undo interrupted operations
    Recover(Lazy<RecoverArgs>),
    /// Diagnose a stuck PCI core: which tasks, why, and what to do
    Doctor(Lazy<DoctorArgs>),
    /// Make raw writes to sysfs wait for their turn, too
    Guard(Lazy<GuardArgs>),
    /// Copy what pcictl reads of this machine, to attach to a report
    Dump(Lazy<DumpArgs>),
    /// Tell a shell what may come next on a command line
    #[command(hide = true)]
    Complete(Lazy<CompleteArgs>),
}

/// `pcictl list`
#[derive(Args, Debug)]
#[command(after_help = help::LIST)]
pub(crate) struct ListArgs {
    /// Functions to list [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Only those that nobody uses, as far as that could be checked; looks at every process
    #[arg(long, help_heading = SELECTION)]
    pub(crate) unused: bool,
    /// Columns to print, in this order; +COLUMN adds to the default ones
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = ColumnParser)]
    #[arg(help_heading = COLUMNS)]
    pub(crate) output: Vec<NamedColumn>,
    /// Sort by this column, what is missing last [default: address]
    #[arg(long, value_name = "COLUMN", value_parser = column(), hide_possible_values = true, help_heading = COLUMNS)]
    pub(crate) sort: Option<Column>,
    /// Cut nothing to fit the terminal, and name everything
    #[arg(short, long, help_heading = COLUMNS)]
    pub(crate) long: bool,
    /// List the available columns
    #[arg(long, help_heading = COLUMNS)]
    pub(crate) list_columns: bool,
    /// Do not print the header line
    #[arg(long, help_heading = COLUMNS)]
    pub(crate) no_header: bool,
    /// Whether to look again and again.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// `pcictl tree`
#[derive(Args, Debug)]
#[command(after_help = help::TREE)]
pub(crate) struct TreeArgs {
    /// Function or host bridge to start at [default: the whole machine]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Columns to print after each address; +COLUMN adds to the default ones
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = ColumnParser)]
    #[arg(help_heading = COLUMNS)]
    pub(crate) output: Vec<NamedColumn>,
    /// Whether to look again and again.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// `pcictl show`
#[derive(Args, Debug)]
#[command(after_help = help::SHOW)]
pub(crate) struct ShowArgs {
    /// Function or group of functions to show
    #[arg(value_name = "SELECTOR", required_unless_present = "protected")]
    pub(crate) selector: Option<String>,
    /// Show what the site protects instead, and which of its entries match nothing
    #[arg(long, conflicts_with = "selector", help_heading = SELECTION)]
    pub(crate) protected: bool,
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
    /// Whether to look again and again.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// `pcictl status`
#[derive(Args, Debug)]
#[command(after_help = help::STATUS, mut_arg("quiet", hidden), mut_arg("verbose", hidden))]
pub(crate) struct StatusArgs {
    /// Whether to look again and again.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// `pcictl recover`
#[derive(Args, Debug)]
#[command(after_help = help::RECOVER, mut_arg("sysroot", hidden))]
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
}

/// `pcictl doctor`
#[derive(Args, Debug)]
#[command(after_help = doctor_help::DOCTOR, mut_arg("quiet", hidden), mut_arg("verbose", hidden))]
pub(crate) struct DoctorArgs {
    /// Form of the answer, which decides the exit status, too
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = format(), help_heading = OUTPUT)]
    #[arg(display_order = 899)]
    pub(crate) format: Format,
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

/// `pcictl complete`
#[derive(Args, Debug)]
pub(crate) struct CompleteArgs {
    /// The words after the program's name, up to the cursor, which is in the last one
    #[arg(value_name = "WORD", last = true)]
    pub(crate) words: Vec<OsString>,
}

/// An option that every command has, of one where it has no effect or is refused.
fn hidden(option: Arg) -> Arg {
    option.hide(true)
}

impl Common {
    fn talk(&self) -> Talk {
        Talk { json: self.json, events: false, quiet: self.quiet, verbose: self.verbose, color: self.color }
    }
}

impl Cli {
    /// What `Cli::try_parse` does, with these defaults, but that the definition of the command line is left to the end of
    /// the process: taking it apart, option by option, is a quarter of what reading the command line costs.
    ///
    /// # Errors
    /// The command line is not valid, or asks for help.
    pub fn read(settings: Vec<Setting>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if !settings.is_empty() {
            command.build();
            command = apply(command, settings.leak());
        }
        let mut command = ManuallyDrop::new(command);
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// How to talk, as the options say.
    pub fn talk(&self) -> Talk {
        let asks_json = matches!(&self.command, Command::Doctor(args) if args.format == Format::Json);
        let talk = self.common.talk();
        Talk { json: talk.json || asks_json, events: self.command.tells_events(), ..talk }
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
            | Self::History(_)
            | Self::Doctor(_)
            | Self::Guard(_)
            | Self::Dump(_)
            | Self::Complete(_) => false,
        }
    }

    /// Whether pcictl.conf sets defaults of its options.
    pub(crate) fn takes_settings(&self) -> bool {
        match self {
            Self::Slot(args) => !matches!(args.command, SlotCommand::List(_) | SlotCommand::Show(_)),
            Self::Lock(_) | Self::Reset(_) | Self::Power(_) => true,
            command => command.writes(),
        }
    }

    /// Whether it tells of everything while it happens.
    fn tells_events(&self) -> bool {
        let writing = match self {
            Self::Remove(args) => &args.in_place.writing,
            Self::Replug(args) => &args.remove.in_place.writing,
            Self::Unbind(args) => &args.in_place.writing,
            Self::Override(args) => &args.in_place.writing,
            Self::Reset(args) => &args.in_place.writing,
            Self::Power(args) => &args.writing,
            Self::Bind(args) => &args.writing,
            Self::Rescan(args) => &args.writing,
            Self::Sriov(args) => &args.applying.writing,
            Self::Slot(args) => return args.command.tells_events(),
            Self::Recover(args) => &args.writing,
            _ => return false,
        };
        writing.events
    }

    /// Whether it prints a plan and changes nothing.
    pub(crate) fn is_dry_run(&self) -> bool {
        match self {
            Self::Remove(args) => args.in_place.changing.dry_run,
            Self::Replug(args) => args.remove.in_place.changing.dry_run,
            Self::Unbind(args) => args.in_place.changing.dry_run,
            Self::Override(args) => args.in_place.changing.dry_run,
            Self::Reset(args) => !args.list && args.in_place.changing.dry_run,
            Self::Power(args) => args.changing.dry_run,
            Self::Bind(args) => args.changing.dry_run,
            Self::Rescan(args) => args.dry_run,
            Self::Sriov(args) => args.applying.dry_run,
            Self::Slot(args) => args.command.is_dry_run(),
            Self::Lock(args) => args.changing.dry_run,
            Self::Recover(args) => args.dry_run,
            Self::List(_)
            | Self::Tree(_)
            | Self::Show(_)
            | Self::Wait(_)
            | Self::Locks(_)
            | Self::Status(_)
            | Self::History(_)
            | Self::Doctor(_)
            | Self::Guard(_)
            | Self::Dump(_)
            | Self::Complete(_) => false,
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
