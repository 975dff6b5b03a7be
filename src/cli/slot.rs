//! `pcictl slot` and its commands.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::groups::{Applying, BackArgs, CONTENTS, Forcing, Jobs, SAFETY};
use crate::cli::lazy::Lazy;
use crate::cli::slot_help;
use crate::cli::values::parse_duration;
use crate::operation::identify::IdentifyOptions;
use crate::operation::options::{ChangeOptions, RemoveOptions, SettleOptions};

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
    List(Lazy<SlotListArgs>),
    /// Show a slot in detail, with what its hardware says
    Show(Lazy<SlotShowArgs>),
    /// Switch a slot's power on, and compare what comes with what was there
    On(Lazy<SlotOnArgs>),
    /// Stop the drivers of what is in a slot, and switch its power off
    Off(Lazy<SlotOffArgs>),
    /// Have a light show where a slot is
    Identify(Lazy<SlotIdentifyArgs>),
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

/// `pcictl slot on`
#[derive(Args, Debug)]
#[command(after_help = slot_help::SLOT_ON)]
pub(crate) struct SlotOnArgs {
    /// Slot, by its name or by the address of what is or was in it
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// What it shares with its like.
    #[command(flatten)]
    pub(crate) applying: Applying,
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
    pub(crate) applying: Applying,
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
    pub(crate) applying: Applying,
}

impl SlotCommand {
    /// Whether it tells of everything while it happens.
    pub(super) fn tells_events(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) => false,
            Self::On(args) => args.applying.writing.events,
            Self::Off(args) => args.applying.writing.events,
            Self::Identify(args) => args.applying.writing.events,
        }
    }

    pub(super) fn is_dry_run(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) => false,
            Self::On(args) => args.applying.dry_run,
            Self::Off(args) => args.applying.dry_run,
            Self::Identify(args) => args.applying.dry_run,
        }
    }
}

impl SlotOnArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> (ChangeOptions, SettleOptions) {
        (self.applying.options(), self.back.options())
    }
}

impl SlotOffArgs {
    /// The same as plain values. All that is in the slot goes.
    pub(crate) fn options(&self) -> RemoveOptions {
        RemoveOptions {
            change: self.applying.options(),
            forcing: self.forcing.options(),
            if_present: false,
            whole_device: true,
            no_rollback: self.no_rollback,
            jobs: self.jobs.count(),
        }
    }
}

impl SlotIdentifyArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> IdentifyOptions {
        IdentifyOptions { change: self.applying.options(), on: !self.off, length: self.length }
    }
}
