//! Virtual functions that were just created get their drivers: the second half of a change of their number.
//!
//! Where VFs are restored they get back, before that, what the physical function kept for them. All of it is noted in the
//! journal at once, as soon as it is known where they are. A driver that does not take its VF keeps no other VF from its own:
//! nothing is rolled back any more, and who has none is told.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::{Outcome, Outcomes};
use crate::host::uevent::Events;
use crate::operation::context::Context;
use crate::operation::failure::why_not;
use crate::operation::progress::Progress;
use crate::operation::run::Operation;
use crate::operation::vf_settings;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step, VfDrivers, in_sequence};
use crate::plan::sriov::plan_vf_drivers;
use crate::report::text::words;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_setting::VfSetting;
use crate::verify::readiness::{Awaited, Readiness};
use crate::verify::record::VirtualRecord;
use crate::verify::settle::{Pending, settle};

/// How many drivers at a time, and how long to wait for what udev loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeLimits {
    pub(crate) jobs: usize,
    pub(crate) settle: Duration,
}

/// A VF that should have a driver and has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Undriven {
    /// The VF.
    pub(crate) address: PciAddress,
    /// The override that brings it its driver.
    pub(crate) driver_override: Option<String>,
    /// Why.
    pub(crate) why: String,
}

/// A setting that a VF should have and has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Unset {
    /// What, and for which VF.
    pub(crate) setting: VfSetting,
    /// Why.
    pub(crate) why: String,
}

/// So many drivers are asked at a time where nothing else is wanted.
pub(crate) const VFS_AT_A_TIME: usize = 64;

/// What came of the second half.
#[derive(Debug, Default)]
pub(crate) struct GivenDrivers {
    /// What was done, in its order, and why what was not done failed.
    pub(crate) steps: Vec<(Action, Option<String>)>,
    /// VFs that should have a driver and have none.
    pub(crate) undriven: Vec<Undriven>,
    /// Settings that VFs were to get back and did not.
    pub(crate) unset: Vec<Unset>,
}

/// Has the steps noted all at once, and makes them.
///
/// # Errors
/// The steps cannot be noted, somebody interrupted, or drivers cannot be let in again.
pub(crate) fn ask_drivers(
    context: &Context,
    operation: &mut Operation,
    physical: PciAddress,
    drivers: &VfDrivers,
    jobs: usize,
) -> Result<GivenDrivers> {
    let (topology, id) = read(context, physical)?;
    let has_settings = drivers.was.iter().any(|was| !was.settings.is_empty());
    let now = if has_settings { vf_settings::to_keep(context, &topology, id) } else { Vec::new() };
    let plan = plan_vf_drivers(&topology, id, drivers, &now);
    operation.extend(&in_sequence(plan.phases()))?;
    let mut given = GivenDrivers::default();
    for steps in plan.phases() {
        let outcomes = operation.run_each(steps, jobs)?;
        given.take(operation, steps, &outcomes)?;
    }
    Ok(given)
}

/// Gives the VFs of a physical function that have no driver to one, waits until they are ready, and tells which failed.
///
/// # Errors
/// As for [`ask_drivers`].
pub(crate) fn give_drivers(
    context: &Context,
    operation: &mut Operation,
    physical: PciAddress,
    drivers: &VfDrivers,
    limits: ProbeLimits,
) -> Result<GivenDrivers> {
    let mut events = Events::listen();
    let mut given = ask_drivers(context, operation, physical, drivers, limits.jobs)?;
    let failed = &mut given.undriven;
    let pending = wait(context, &mut events, physical, failed, limits.settle)?;
    let heard = events.heard();
    let (topology, id) = read(context, physical)?;
    for vf in topology.virtual_functions(id).into_iter().map(|id| topology.function(id)) {
        let address = vf.address;
        if vf.driver.is_some() || failed.iter().any(|undriven| undriven.address == address) {
            continue;
        }
        let waited = |pending: &Pending| format!("{} not there after {} s", pending.what, limits.settle.as_secs_f64());
        let why = heard.failure(address).map(|why| format!("its probe failed: {why}"));
        let why = why.or_else(|| pending.iter().find(|pending| pending.address == Some(address)).map(waited));
        failed.extend(why.map(|why| Undriven { address, driver_override: None, why }));
    }
    for undriven in failed.iter_mut() {
        let index = topology.find(undriven.address).and_then(|id| topology.function(id).virtual_of?.index);
        let was = index.and_then(|index| drivers.was.get(index as usize));
        let by_override = |was: &VirtualRecord| {
            // Where drivers are kept from VFs nothing else brings it one.
            was.driver_override.clone().or_else(|| was.driver.clone().filter(|_| !drivers.autoprobe))
        };
        undriven.driver_override = was.and_then(by_override);
    }
    let is_late = |pending: &&Pending| !failed.iter().any(|undriven| Some(undriven.address) == pending.address);
    for pending in pending.iter().filter(is_late) {
        context.output.say(&format!("{pending}: not there after {} s", limits.settle.as_secs_f64()));
    }
    failed.retain(|undriven| topology.find(undriven.address).is_none_or(|id| topology.function(id).driver.is_none()));
    Ok(given)
}

/// The physical function and all around it, as it is now.
///
/// # Errors
/// It went away.
pub(crate) fn read(context: &Context, physical: PciAddress) -> Result<(Topology, FunctionId)> {
    let topology = Topology::load_around(&context.machine.sysfs, &[physical], Fields::ALL)?;
    let id = topology.find(physical).ok_or_else(|| {
        let message = format!("{physical}: went away while its VFs were created");
        Error::new(ErrorKind::Partly, message).about(physical)
    })?;
    Ok((topology, id))
}

impl GivenDrivers {
    /// Notes how steps ended. What is left of the switch, and after an interrupt of all, is for `pcictl recover`.
    fn take(&mut self, operation: &mut Operation, steps: &[Step], outcomes: &Outcomes) -> Result<()> {
        for (step, outcome) in steps.iter().zip(outcomes.each()) {
            let Outcome::Failed(errno) = outcome else {
                if matches!(outcome, Outcome::Done(..)) {
                    self.steps.push((step.action.clone(), None));
                }
                continue;
            };
            let refusal = why_not(&step.action, *errno);
            let why = format!("{}: {refusal}", words::describe_action(&step.action));
            self.steps.push((step.action.clone(), Some(refusal)));
            match (&step.action, step.action.address()) {
                (Action::SetVf { setting, .. }, _) => self.unset.push(Unset { setting: *setting, why }),
                (action, Some(address)) if !matches!(action, Action::Set { .. }) => {
                    // Without its override its driver does not take it, either.
                    if !self.undriven.iter().any(|undriven| undriven.address == address) {
                        self.undriven.push(Undriven { address, driver_override: None, why });
                    }
                }
                _ => {
                    operation.keep_half_done();
                    let message = format!("{why}; the VFs are there, and drivers are kept from them");
                    return Err(Error::new(ErrorKind::Partly, message).hint("pcictl recover tries again"));
                }
            }
        }
        if outcomes.interrupted && !outcomes.is_complete() {
            operation.keep_half_done();
            let message = "interrupted; the VFs are there, and some of them have no driver yet";
            return Err(Error::new(ErrorKind::Interrupted, message).hint("pcictl recover gives them to their drivers"));
        }
        Ok(())
    }
}

/// Waits for drivers that udev loads and for what drivers show; gives what is still missing.
fn wait(
    context: &Context,
    events: &mut Events,
    physical: PciAddress,
    failed: &[Undriven],
    longest: Duration,
) -> Result<Vec<Pending>> {
    let mut readiness = Readiness::new(&context.machine.sysfs);
    let mut progress = Progress::on(context.output);
    settle(events, longest, &mut progress, |heard| {
        let (topology, id) = read(context, physical)?;
        let vfs = topology.virtual_functions(id).into_iter();
        let is_awaited = |id: &FunctionId| {
            let address = topology.function(*id).address;
            !failed.iter().any(|undriven| undriven.address == address)
        };
        let lacks = |id| readiness.pending(&Awaited { topology: &topology, id, was: None, came: true }, heard);
        Ok(vfs.filter(is_awaited).filter_map(lacks).collect())
    })
}
