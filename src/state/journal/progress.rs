//! Where an operation stands that nobody works on any more, and the way on: from its journal and from the tree.

use serde::Serialize;

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step};
use crate::plan::step_state::is_done;
use crate::state::journal::record::OperationRecord;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nothing is changed, or all is as it was.
    NotStarted,
    /// All that was planned is done.
    Complete,
    /// Some is done and some is not.
    Partial,
}

/// The way on from between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecoveryAction {
    /// Do what is left.
    #[serde(rename = "complete")]
    RollForward,
    /// Take back what was done.
    #[serde(rename = "undo")]
    RollBack,
}

/// Where it stands, step by step.
#[derive(Clone, Debug)]
pub struct Assessment<'a> {
    record: &'a OperationRecord,
    /// What the operation did.
    done: Vec<bool>,
    /// What is so now, whoever did it.
    satisfied: Vec<bool>,
}

impl<'a> Assessment<'a> {
    /// Looks at what became of each step.
    pub fn of(record: &'a OperationRecord, sysfs: &Sysfs) -> Self {
        let satisfied: Vec<bool> = record
            .header
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                brings_back_after(record, index)
                    || has_brought_back(record, index, sysfs)
                    || has_happened(sysfs, &step.action).unwrap_or_else(|| record.succeeded(index))
            })
            .collect();
        // A driver that let go by itself is not our doing: only what was begun can have been done.
        let done = satisfied.iter().enumerate().map(|(index, reached)| *reached && record.was_begun(index)).collect();
        Self { record, done, satisfied }
    }

    /// Where the operation stands.
    pub fn progress(&self) -> Progress {
        if self.satisfied.iter().all(|reached| *reached) {
            Progress::Complete
        } else if self.done.iter().any(|done| *done) || self.is_scan() && self.record.ends.values().any(Option::is_none)
        {
            Progress::Partial
        } else {
            Progress::NotStarted
        }
    }

    /// The way that `pcictl recover` takes: on, if something was done for good and no driver would have to be stopped for
    /// the rest (that is for a command which looks for users first); else back.
    pub(crate) fn action(&self) -> RecoveryAction {
        let for_good = self.done().any(|step| step.action.undo().is_none()) || self.is_scan();
        let stops = self.left().any(|(_, step)| step.action.undo().is_some());
        if for_good && !stops { RecoveryAction::RollForward } else { RecoveryAction::RollBack }
    }

    /// What was done, in the order of the plan.
    pub(crate) fn done(&self) -> impl Iterator<Item = &'a Step> {
        self.record.header.steps.iter().zip(&self.done).filter(|(_, done)| **done).map(|(step, _)| step)
    }

    /// What is left to do, with each step's place in the plan, in the order of the plan.
    pub(crate) fn left(&self) -> impl Iterator<Item = (usize, &'a Step)> {
        let steps = self.record.header.steps.iter().enumerate().zip(&self.satisfied);
        steps.filter(|(_, reached)| !**reached).map(|(step, _)| step)
    }

    /// Which steps were done, for undoing them.
    pub(crate) fn done_flags(&self) -> &[bool] {
        &self.done
    }

    /// Scanning again is always right, and nothing tells whether it was done.
    fn is_scan(&self) -> bool {
        self.record.header.steps.iter().all(|step| step.action.is_scan())
    }
}

/// Whether a scan was begun that waits for this step: then the step was done for good, whatever the scan brought back.
fn brings_back_after(record: &OperationRecord, index: usize) -> bool {
    let brings_back = |step: &Step| step.action.is_scan() || matches!(step.action, Action::SlotPower { .. });
    let mut scans = record.header.steps.iter().enumerate().filter(|(_, step)| brings_back(step));
    scans.any(|(scan, step)| record.was_begun(scan) && step.after.contains(&index))
}

/// Whether this is a scan that was begun, and all that was removed before it is there again, whoever scanned.
fn has_brought_back(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    let steps = &record.header.steps;
    let removed = |step: &Step| match step.action {
        Action::Remove { address } => Some(address),
        _ => None,
    };
    let mut removed = steps[index].after.iter().filter_map(|before| removed(steps.get(*before)?)).peekable();
    steps[index].action.is_scan()
        && record.was_begun(index)
        && removed.peek().is_some()
        && removed.all(|address| sysfs.has_function(address))
}

fn has_happened(sysfs: &Sysfs, action: &Action) -> Option<bool> {
    match action {
        // With the device went its VFs.
        Action::SetVfs { address, count: 0, .. } if !sysfs.has_function(*address) => Some(true),
        _ => is_done(sysfs, action),
    }
}

/// A function that is another device now than when the journal was written.
pub(crate) fn other_device(record: &OperationRecord, sysfs: &Sysfs) -> Option<PciAddress> {
    let is_other = |(address, was): &(&PciAddress, &String)| sysfs.modalias(**address).is_some_and(|now| now != **was);
    record.header.functions.iter().find(is_other).map(|(address, _)| *address)
}
