//! `pcictl slot` and its commands.

use crate::cli::groups::BackArgs;
use crate::cli::groups::CONTENTS;
use crate::cli::groups::Forcing;
use crate::cli::groups::Jobs;
use crate::cli::groups::SAFETY;
use crate::cli::groups::Waiting;
use crate::cli::groups::Writing;
use crate::cli::slot_help;
use crate::cli::values::parse_duration;
use crate::operation::identify::IdentifyOptions;
use crate::operation::options::ChangeOptions;
use crate::operation::options::RemoveOptions;
use crate::operation::options::SettleOptions;
use crate::resolve::siblings::Selection;
use clap::Args;
use clap::Subcommand;
use std::time::Duration;

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

impl SlotCommand {
    pub(super) fn is_dry_run(&self) -> bool {
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
