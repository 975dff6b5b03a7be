//! Options that several commands share, and the headings under which help lists them.

use std::time::Duration;

use clap::Args;

use crate::cli::values::{danger, difference, parse_duration, parse_jobs, parse_time_limit};
use crate::operation::options::{ChangeOptions, ForceOptions, InPlaceOptions, SettleOptions};
use crate::resolve::siblings::Selection;
use crate::usage::model::Danger;
use crate::verify::compare::DifferenceKind;
use crate::verify::expectation::Expectation;

/// The headings of help, in their order.
pub(super) const SCAN: &str = "Scan";
pub(super) const CONTENTS: &str = "Contents";
pub(super) const COLUMNS: &str = "Columns";
pub(super) const SAFETY: &str = "Safety";
pub(super) const SELECTION: &str = "Selection";
pub(super) const LOCKING: &str = "Locking";
pub(super) const RETURN: &str = "Bringing the device back";
pub(super) const WAITING: &str = "Waiting";
pub(super) const OUTPUT: &str = "Output";
pub(super) const COMMON: &str = "Common";

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
    waiting: Waiting,
}

/// The option of commands that only look.
#[derive(Args, Clone, Debug)]
pub(crate) struct Watching {
    /// Look again whenever something happens, until interrupted
    #[arg(long, help_heading = OUTPUT, display_order = 890)]
    pub(crate) watch: bool,
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
    /// Print what happens while it happens, as one JSON object per line; the report is the last
    #[arg(long, help_heading = OUTPUT, display_order = 898)]
    pub(crate) events: bool,
}

/// Options of every command that writes and takes the name of one thing.
#[derive(Args, Clone, Debug)]
pub(crate) struct Applying {
    /// Print the plan without changing anything
    #[arg(short = 'n', long, help_heading = SAFETY)]
    pub(crate) dry_run: bool,
    /// How long to wait for locks.
    #[command(flatten)]
    waiting: Waiting,
    /// What every writing command takes.
    #[command(flatten)]
    pub(crate) writing: Writing,
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

/// Options of every command that brings devices back.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackArgs {
    /// Device that must appear: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas
    #[arg(long, value_name = "WHAT", help_heading = RETURN)]
    pub(crate) expect: Vec<Expectation>,
    /// Differences to accept (comma-separated)
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = difference(), help_heading = RETURN)]
    pub(crate) accept: Vec<DifferenceKind>,
    /// Restore VFs with their MACs, settings and drivers, driver overrides and power settings
    #[arg(long, help_heading = RETURN)]
    pub(crate) restore: bool,
    /// How long to wait for drivers, disks and interfaces
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_duration)]
    #[arg(allow_negative_numbers = true, help_heading = WAITING)]
    pub(crate) settle: Duration,
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
    #[arg(long, value_name = "N", default_value = "64", value_parser = parse_jobs)]
    #[arg(allow_negative_numbers = true, help_heading = SAFETY)]
    jobs: u16,
}

impl Waiting {
    pub(super) fn limit(&self) -> Duration {
        if self.no_wait { Duration::ZERO } else { self.wait }
    }
}

impl Changing {
    pub(super) fn options(&self, timeout: Duration) -> ChangeOptions {
        let &Self { dry_run, each, with_siblings: siblings, iommu_group, ref waiting } = self;
        let selection = Selection { each, siblings, iommu_group };
        ChangeOptions { dry_run, wait: waiting.limit(), selection, timeout }
    }
}

impl Applying {
    pub(super) fn options(&self) -> ChangeOptions {
        let (dry_run, wait, timeout) = (self.dry_run, self.waiting.limit(), self.writing.timeout);
        ChangeOptions { dry_run, wait, selection: Selection::default(), timeout }
    }
}

impl InPlaceArgs {
    /// The same as plain values.
    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            change: self.changing.options(self.writing.timeout),
            forcing: self.forcing.options(),
            whole_device: self.whole_device,
            jobs: self.jobs.count(),
        }
    }
}

impl Jobs {
    pub(super) fn count(&self) -> usize {
        self.jobs.into()
    }
}

impl Forcing {
    pub(super) fn options(&self) -> ForceOptions {
        ForceOptions { force: self.force.clone(), yes: self.yes }
    }
}

impl BackArgs {
    pub(super) fn options(&self) -> SettleOptions {
        let Self { settle, expect, accept, restore } = self.clone();
        SettleOptions { settle, expect, accept, restore }
    }
}
