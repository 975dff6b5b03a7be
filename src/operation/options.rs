//! What an operator may ask of an operation, as plain values: the command line fills them in, and so may anybody else.

use std::time::Duration;

use crate::resolve::siblings::Selection;
use crate::usage::model::Danger;
use crate::verify::compare::DifferenceKind;
use crate::verify::expectation::Expectation;

/// Options of every operation: whether to do it at all, and how long to wait for its locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeOptions {
    /// Print the plan and change nothing.
    pub(crate) dry_run: bool,
    /// How long to wait for the whole set of locks; zero means not at all.
    pub(crate) wait: Duration,
    /// How many functions a selector may stand for, and which others are included.
    pub(crate) selection: Selection,
    /// How long one write to the kernel may take before the terminal is given back.
    pub(crate) timeout: Duration,
}

/// Dangers that may be overridden.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForceOptions {
    /// The dangers, each by its own name.
    pub(crate) force: Vec<Danger>,
    /// Do not ask for confirmation.
    pub(crate) yes: bool,
}

/// Options of a removal.
#[derive(Clone, Debug)]
pub(crate) struct RemoveOptions {
    /// What every operation takes.
    pub(crate) change: ChangeOptions,
    /// Dangers that may be overridden.
    pub(crate) forcing: ForceOptions,
    /// An absent device is fine.
    pub(crate) if_present: bool,
    /// Names of one thing of a function, as one of its disks, stand for the whole function.
    pub(crate) whole_device: bool,
    /// Leave stopped drivers stopped when the removal fails.
    pub(crate) no_rollback: bool,
    /// How many drivers to stop at a time; at least 1.
    pub(crate) jobs: usize,
}

/// Options of a change after which the functions are still there.
#[derive(Clone, Debug)]
pub(crate) struct InPlaceOptions {
    /// What every operation takes.
    pub(crate) change: ChangeOptions,
    /// Dangers that may be overridden.
    pub(crate) forcing: ForceOptions,
    /// Names of one thing of a function, as one of its disks, stand for the whole function.
    pub(crate) whole_device: bool,
    /// How many drivers to stop or to start at a time; at least 1.
    pub(crate) jobs: usize,
}

/// Options of a reset after which the functions are still there.
#[derive(Clone, Debug)]
pub(crate) struct ResetOptions {
    /// What every change in place takes.
    pub(crate) in_place: InPlaceOptions,
    /// The one method to use.
    pub(crate) method: Option<String>,
    /// The drivers stay and take care of it by themselves.
    pub(crate) keep_driver: bool,
}

/// What a rescan waits for, accepts and restores.
#[derive(Clone, Debug)]
pub(crate) struct SettleOptions {
    /// How long to wait for drivers, disks and interfaces.
    pub(crate) settle: Duration,
    /// What must appear.
    pub(crate) expect: Vec<Expectation>,
    /// Kinds of difference that do not matter.
    pub(crate) accept: Vec<DifferenceKind>,
    /// Restore VFs with what they had, driver overrides and power settings.
    pub(crate) restore: bool,
}

/// Options of a rescan.
#[derive(Clone, Debug)]
pub(crate) struct ScanOptions {
    /// What every operation takes.
    pub(crate) change: ChangeOptions,
    /// Scan every bus.
    pub(crate) all: bool,
    /// Slots whose buses are scanned, occupied or not.
    pub(crate) slots: Vec<String>,
    /// What to wait for, accept and restore.
    pub(crate) settle: SettleOptions,
}

/// What `wait` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The function is there.
    Present,
    /// It is not there.
    Gone,
    /// It is there and this driver has it.
    Driver(String),
    /// It is there and can be used: its driver is bound, or it is known to have none, with its disks and interfaces.
    Ready,
}

impl Condition {
    /// The word that stands for it in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Gone => "gone",
            Self::Driver(_) => "driver",
            Self::Ready => "ready",
        }
    }
}

/// Options of a replug.
#[derive(Clone, Debug)]
pub(crate) struct ReplugOptions {
    /// The removal's.
    pub(crate) remove: RemoveOptions,
    /// What to wait for, accept and restore.
    pub(crate) settle: SettleOptions,
    /// Reset each function once its driver is stopped.
    pub(crate) reset: bool,
    /// Switch the slot's power off and on while the device is removed.
    pub(crate) power_cycle: bool,
    /// Escalate if the device does not come back.
    pub(crate) escalate: bool,
}
