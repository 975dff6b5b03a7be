//! Physical functions are kept awake while the number of their virtual functions changes.
//!
//! sriov_numvfs_store (drivers/pci/iov.c) wakes no function that its driver has put to sleep, and the driver that is asked then sets
//! up what it sets up again as it wakes: igb adds queues to a list that they are in already, and the kernel crashes with the next
//! thing that wakes the function, an unbind for instance (igb_sriov_reinit and __igb_resume in
//! drivers/net/ethernet/intel/igb/igb_main.c). The case raw-sriov-asleep does it with three writes; 5.10 and 6.1 hang in the second.

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan, Step};
use crate::plan::power::CONTROL;
use crate::topology::model::Topology;

/// What lets the kernel put a function to sleep.
pub(crate) const MAY_SLEEP: &str = "auto";
/// What keeps it awake.
const AWAKE: &str = "on";

/// The directory of a function that may sleep at any moment.
pub(crate) fn sleepers<'a>(sysfs: &'a Sysfs, topology: &'a Topology) -> impl Fn(PciAddress) -> Option<String> + 'a {
    |address| {
        let directory = topology.path(topology.find(address)?);
        (sysfs.value(&format!("{directory}/{CONTROL}")).as_deref() == Some(MAY_SLEEP)).then_some(directory)
    }
}

impl Plan {
    /// Wakes each physical function that may sleep before its VFs change. In the end it may sleep again, if it `stays`.
    /// `sleeper` gives the directory of a function that may sleep.
    pub(crate) fn keep_awake(&mut self, stays: bool, sleeper: &dyn Fn(PciAddress) -> Option<String>) {
        let mut sleepers: Vec<(PciAddress, String)> = Vec::new();
        for address in self.steps.iter().filter_map(|step| changes_vfs(&step.action)) {
            if sleepers.iter().all(|(known, _)| *known != address) {
                sleepers.extend(sleeper(address).map(|directory| (address, directory)));
            }
        }
        if sleepers.is_empty() {
            return;
        }
        let steps = std::mem::take(&mut self.steps);
        for (address, path) in &sleepers {
            self.push(set(*address, AWAKE, MAY_SLEEP), path, Vec::new());
        }
        for mut step in steps {
            step.after.iter_mut().for_each(|index| *index += sleepers.len());
            let physical = changes_vfs(&step.action);
            let woken = sleepers.iter().position(|(address, _)| Some(*address) == physical);
            step.after.splice(0..0, woken);
            if let (Action::CreateVfs { drivers: Some(drivers), .. }, Some(_)) = (&mut step.action, woken) {
                // There is more to come.
                drivers.sleeps = stays;
            }
            self.steps.push(step);
        }
        let sleeps_later = |step: &Step, physical| match &step.action {
            Action::CreateVfs { address, drivers: Some(drivers), .. } => *address == physical && drivers.sleeps,
            _ => false,
        };
        for (address, path) in sleepers.iter().filter(|_| stays) {
            if !self.steps.iter().any(|step| sleeps_later(step, *address)) {
                self.push_after_all(Action::may_sleep(*address), path);
            }
        }
    }
}

impl Action {
    /// Lets a function sleep that was kept awake.
    pub(crate) fn may_sleep(address: PciAddress) -> Self {
        set(address, MAY_SLEEP, AWAKE)
    }
}

fn set(address: PciAddress, value: &str, was: &str) -> Action {
    Action::Set { address, file: CONTROL.to_owned(), value: value.to_owned(), was: was.to_owned() }
}

/// The physical function whose VFs become more or fewer.
pub(crate) fn changes_vfs(action: &Action) -> Option<PciAddress> {
    match action {
        Action::SetVfs { address, .. } | Action::CreateVfs { address, .. } => Some(*address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two physical functions, of which the first may sleep, with a step before each change.
    fn kept_awake(stays: bool) -> Vec<String> {
        let (first, second) = ("0000:01:00.0".parse().unwrap(), "0000:01:00.1".parse().unwrap());
        let mut plan = Plan::default();
        for address in [first, second] {
            let unbind = Action::Unbind { address, driver: "igbvf".to_owned(), driver_override: None };
            let stopped = plan.push(unbind, "", Vec::new());
            plan.push(Action::set_vfs(address, 0, 2, false), "D", vec![stopped]);
        }
        plan.keep_awake(stays, &|address| (address == first).then(|| "D".to_owned()));
        let line = |step: &Step| format!("{} {:?}", step.value, step.after);
        plan.steps.iter().map(line).collect()
    }

    #[test]
    fn one_that_may_sleep_is_woken_first_and_sleeps_again_last() {
        let awake = ["on []", "0000:01:00.0 []", "0 [0, 1]", "0000:01:00.1 []", "0 [3]"];
        assert_eq!(kept_awake(false), awake);
        assert_eq!(kept_awake(true), [awake.as_slice(), &["auto [0, 1, 2, 3, 4]"]].concat());
    }
}
