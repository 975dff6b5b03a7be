//! Where an operation stands that nobody works on any more, and the way on: from its journal and from the tree.

use serde::Serialize;

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step, VfDrivers, ends_as_it_began};
use crate::plan::step_state::{has_led_to_driver, is_done, is_subject_gone};
use crate::state::journal::record::OperationRecord;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// What led to the driver that its function has now has done its part, whoever bound that driver.
    led: Vec<bool>,
    /// What can be done no more, what gives VFs to drivers included, as what it is about is gone.
    gone: Vec<bool>,
}

impl<'a> Assessment<'a> {
    /// Looks at what became of each step.
    pub fn of(record: &'a OperationRecord, sysfs: &Sysfs) -> Self {
        let is_satisfied = |(index, step): (usize, &Step)| {
            brings_back_after(record, index)
                || has_been_replaced(record, index, sysfs)
                || has_become_needless(record, index, sysfs)
                || has_brought_back(record, index, sysfs)
                || !has_kept_driver(record, index, sysfs)
                    && has_happened(sysfs, &step.action).unwrap_or_else(|| record.succeeded(index))
        };
        let satisfied: Vec<bool> = record.steps.iter().enumerate().map(is_satisfied).collect();
        // A driver that let go by itself is not our doing: only what was started can have been done.
        // One whose undoing was cut off is undone once more: its last write may be what gives drivers their devices.
        // So is a setting of which nobody knows whether it was made.
        let is_done = |(index, is): (usize, &bool)| {
            let may_be = *is || record.steps[index].action.is_setting() && !record.was_undone(index);
            let may_be = may_be && !went_with_vfs(record, index, &satisfied);
            may_be && record.may_have_done(index) || record.undo_was_cut(index)
        };
        let done: Vec<bool> = satisfied.iter().enumerate().map(is_done).collect();
        let has_led = |index: usize| {
            let is_there = |later: usize| satisfied[later] && has_new_driver(&record.steps, index, sysfs);
            has_led_to_driver(&record.steps, index, |later| done[later] || is_there(later))
        };
        let led: Vec<bool> = (0..record.steps.len()).map(has_led).collect();
        let satisfied: Vec<bool> = satisfied.iter().zip(&led).map(|(is, led)| *is || *led).collect();
        let gone = without_subject(&record.steps, &satisfied, sysfs);
        Self { record, done, satisfied, led, gone }
    }

    /// Where the operation stands.
    pub fn progress(&self) -> Progress {
        if self.ends_as_it_began() {
            // What was stopped for a reset must be at work again, be the reset done or not.
            let is_stopped = self.done().any(|step| step.action.can_be_undone());
            let is_done = self.done().next().is_some();
            return match (is_stopped, is_done) {
                (true, _) => Progress::Partial,
                (false, true) => Progress::Complete,
                (false, false) => Progress::NotStarted,
            };
        }
        let is_scanning = || self.is_scan() && self.record.ends.values().any(Option::is_none);
        if self.left().next().is_none() && self.undriven_vfs().is_none() {
            Progress::Complete
        } else if self.done.iter().any(|done| *done) || is_scanning() {
            Progress::Partial
        } else {
            Progress::NotStarted
        }
    }

    /// What `pcictl recover` does: it rolls forward if something was done for good and no driver would have to be stopped
    /// for the rest (that is for a command which looks for users first); else it rolls back. What ends as it began does so
    /// by rolling back.
    pub(crate) fn action(&self) -> RecoveryAction {
        let stays = |step: &Step| !step.action.can_be_undone() || takes_away(&step.action);
        let for_good = self.done().any(stays) || self.is_scan();
        let stops = self.left().any(|(_, step)| step.action.stops_drivers());
        if for_good && !stops && !self.ends_as_it_began() {
            RecoveryAction::RollForward
        } else {
            RecoveryAction::RollBack
        }
    }

    /// What was done, in the order of the plan.
    pub(crate) fn done(&self) -> impl Iterator<Item = &'a Step> {
        self.record.steps.iter().zip(&self.done).filter(|(_, done)| **done).map(|(step, _)| step)
    }

    /// What is left to do, with each step's place in the plan, in the order of the plan.
    pub(crate) fn left(&self) -> impl Iterator<Item = (usize, &'a Step)> {
        let is_left = |index: usize| !self.satisfied[index] && !self.gone[index];
        self.record.steps.iter().enumerate().filter(move |(index, _)| is_left(*index))
    }

    /// Whether something was not done and is not left to be done either, because what it is about is gone.
    pub(crate) fn has_lost_some(&self) -> bool {
        self.gone.contains(&true)
    }

    /// Which steps a roll back undoes: those that were done, unless the device was brought back since, as a driver that was
    /// stopped before a removal has nothing to do with the device that came. VFs that were restored stay: somebody may use
    /// them by now, and nobody looks.
    pub(crate) fn to_roll_back(&self) -> Vec<bool> {
        let is_past = |index: usize| brings_back_after(self.record, index) || self.led[index];
        let is_undone = |index: usize| !is_past(index) && !takes_away(&self.record.steps[index].action);
        self.done.iter().enumerate().map(|(index, done)| *done && is_undone(index)).collect()
    }

    /// VFs that were created and that nothing was done for.
    pub(crate) fn undriven_vfs(&self) -> Option<(PciAddress, &'a VfDrivers)> {
        let (index, address, drivers) = self.vfs_to_drive()?;
        self.done[index].then_some((address, drivers))
    }

    /// The same, if all is done that is left.
    pub(crate) fn vfs_undriven_in_the_end(&self) -> Option<(PciAddress, &'a VfDrivers)> {
        self.vfs_to_drive().map(|(_, address, drivers)| (address, drivers))
    }

    /// The step that creates VFs, if it is the last one that is known, their MACs aside: what their drivers need could not be
    /// noted before.
    fn vfs_to_drive(&self) -> Option<(usize, PciAddress, &'a VfDrivers)> {
        let is_mac = |step: &Step| matches!(step.action, Action::SetVf { was: None, .. });
        let (index, step) = self.record.steps.iter().enumerate().rev().find(|(_, step)| !is_mac(step))?;
        if self.gone[index] {
            return None;
        }
        match &step.action {
            Action::CreateVfs { address, drivers: Some(drivers), .. } => Some((index, *address, drivers)),
            _ => None,
        }
    }

    fn ends_as_it_began(&self) -> bool {
        ends_as_it_began(&self.record.steps)
    }

    /// Scanning again is always right, and nothing tells whether it was done.
    fn is_scan(&self) -> bool {
        self.record.steps.iter().all(|step| step.action.is_scan())
    }
}

/// Whether a function has a driver by now that the operation did not find there: nobody but a later command bound it.
fn has_new_driver(steps: &[Step], index: usize, sysfs: &Sysfs) -> bool {
    let Some(address) = steps[index].action.address() else { return false };
    let now = sysfs.driver(&address.sysfs_link());
    now.is_some_and(|now| !steps.iter().any(|step| stops(step, address, &now)))
}

fn stops(step: &Step, function: PciAddress, its_driver: &str) -> bool {
    matches!(&step.action, Action::Unbind { address, driver, .. } if *address == function && driver == its_driver)
}

/// What can be done no more: its function, bus or slot is not there, and nothing that is left to be done before brings it.
fn without_subject(steps: &[Step], satisfied: &[bool], sysfs: &Sysfs) -> Vec<bool> {
    let mut gone: Vec<bool> = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let mut before = steps.iter().zip(satisfied).zip(&gone);
        let may_come = before.any(|((step, satisfied), gone)| !satisfied && !gone && step.action.brings_functions());
        let is_left = !satisfied[index] || matches!(step.action, Action::CreateVfs { drivers: Some(_), .. });
        gone.push(is_left && !may_come && is_subject_gone(sysfs, &step.action));
    }
    gone
}

/// Whether this was set for VFs that were to be created before, and that are not there.
fn went_with_vfs(record: &OperationRecord, index: usize, satisfied: &[bool]) -> bool {
    let Step { action: Action::SetVf { .. }, after, .. } = &record.steps[index] else { return false };
    let creates = |before: &usize| matches!(record.steps[*before].action, Action::CreateVfs { .. });
    after.iter().any(|before| creates(before) && !satisfied[*before])
}

/// Whether a scan was started that waits for this step: then the step was done for good, whatever the scan brought back.
/// Not so a slot that was to be switched on: what sits in it is scanned for all the same if the kernel refused that.
fn brings_back_after(record: &OperationRecord, index: usize) -> bool {
    if matches!(record.steps[index].action, Action::SlotPower { on: true, .. }) {
        return false;
    }
    let mut scans = record.steps.iter().enumerate().filter(|(_, step)| step.action.brings_back());
    scans.any(|(scan, step)| record.was_begun(scan) && step.after.contains(&index))
}

/// Whether putting this back would take something away that drivers may have by now.
fn takes_away(action: &Action) -> bool {
    action.undo().iter().any(Action::stops_drivers)
}

/// Whether this was done to VFs, or to have none, and others were created since in their place.
fn has_been_replaced(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    let replaced = &record.steps[index].action;
    let replaces = |(later, step): (usize, &Step)| {
        let Action::CreateVfs { address, .. } = step.action else { return false };
        let is_its = matches!(replaced, Action::Unbind { .. }) || replaced.address() == Some(address);
        let is_before = is_its && step.after.contains(&index) && record.was_begun(later);
        is_before && is_done(sysfs, &step.action) == Some(true)
    };
    record.steps.iter().enumerate().skip(index + 1).any(replaces)
}

/// Whether this is a scan that was started, and all that was removed before it is there again, whoever scanned.
fn has_brought_back(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    record.steps[index].action.is_scan() && record.was_begun(index) && is_all_back(record, index, sysfs)
}

/// Whether something was to be removed before this step, and all of it is there.
fn is_all_back(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    let before = record.steps[index].after.iter().filter_map(|before| record.steps.get(*before));
    let mut removed = before.flat_map(|step| step.action.removes()).peekable();
    removed.peek().is_some() && removed.all(|address| sysfs.has_function(*address))
}

/// Whether this only helps to bring devices back, and all that was removed before it is there again: to reset it now would
/// hit what is at work. What is gone has nothing left to be reset.
fn has_become_needless(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    if matches!(record.steps[index].action, Action::Reset { address, .. } if !sysfs.has_function(address)) {
        return true;
    }
    let helps = matches!(
        record.steps[index].action,
        Action::Reset { .. } | Action::ResetBelow { .. } | Action::SlotPower { on: false, .. }
    );
    helps && is_all_back(record, index, sysfs)
}

/// Whether this asks whichever driver fits, and the function still has the one that was to be stopped before: that one is not
/// what the asking brought, as far as anybody noted.
fn has_kept_driver(record: &OperationRecord, index: usize, sysfs: &Sysfs) -> bool {
    let Action::Probe { address, driver: None } = record.steps[index].action else { return false };
    let Some(now) = sysfs.driver(&address.sysfs_link()) else { return false };
    let mut before = record.steps.iter().enumerate().take(index);
    before.any(|(before, step)| stops(step, address, &now) && !record.succeeded(before))
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

#[cfg(test)]
mod tests;
