//! `pcictl guard`.

use std::time::Duration;

use clap::Args;

use crate::cli::groups::{OUTPUT, WAITING};
use crate::cli::guard_help::GUARD;
use crate::cli::values::parse_duration;
use crate::guard::options::GuardOptions;

/// `pcictl guard`
#[derive(Args, Debug)]
#[command(after_help = GUARD)]
pub(crate) struct GuardArgs {
    /// How long a writer may wait for locks before it is denied, in seconds, or with a unit: 500ms, 2m, 1h
    #[arg(short, long, value_name = "TIME", default_value = "30", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    wait: Duration,
    /// Show what the running guard does
    #[arg(long, conflicts_with = "wait", help_heading = OUTPUT)]
    pub(crate) status: bool,
}

impl GuardArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> GuardOptions {
        GuardOptions { wait: self.wait }
    }
}
