//! `pcictl guard`.

use std::time::Duration;

use clap::Args;

use crate::cli::groups::{OUTPUT, SAFETY, WAITING};
use crate::cli::guard_help::GUARD;
use crate::cli::values::{danger, parse_duration};
use crate::guard::checks::Conditions;
use crate::guard::options::GuardOptions;
use crate::usage::model::Danger;

/// `pcictl guard`
#[derive(Args, Debug)]
#[command(after_help = GUARD)]
pub(crate) struct GuardArgs {
    /// How long a writer may wait for locks before it is denied, in seconds, or with a unit: 500ms, 2m, 1h
    #[arg(short, long, value_name = "TIME", default_value = "30", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    wait: Duration,
    /// Deny writes that would take away a device that is in use in these ways (comma-separated)
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = danger(), help_heading = SAFETY)]
    refuse: Vec<Danger>,
    /// Stop the drivers before a device is removed, bottom-up and side by side
    #[arg(long, help_heading = SAFETY)]
    stop_first: bool,
    /// Hold up nobody; only log what would have waited or been denied
    #[arg(long, conflicts_with_all = ["refuse", "stop_first", "wait"], help_heading = SAFETY)]
    report: bool,
    /// Show what the running guard does
    #[arg(long, conflicts_with_all = ["wait", "refuse", "stop_first", "report"], help_heading = OUTPUT)]
    pub(crate) status: bool,
}

impl GuardArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> GuardOptions {
        let conditions = Conditions { refuse: self.refuse.clone(), stop_first: self.stop_first };
        GuardOptions { wait: self.wait, conditions, report_only: self.report }
    }
}
