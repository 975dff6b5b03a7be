//! The plan of a removal: stop from the bottom up, then remove in one short step.
//!
//! The kernel's own `remove` stops drivers one by one while holding the one global mutex. Stopping them first, without
//! it, is quicker and keeps the mutex free; the order below is what makes that safe (drivers/pci/remove.c does the same
//! two passes). A port is stopped only after all below it: its driver ends in pci_disable_device, which stops the DMA of
//! whatever is still at work there. VFs go before their PF: a PF removed with its VFs on hangs some kernels.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::Claims;
use crate::pci::address::{BusNumber, PciAddress};
use crate::plan::action::{Action, Plan, Step, in_sequence};
use crate::plan::claims_for::{Touched, claims_for};
use crate::topology::model::{FunctionId, Topology};
use crate::verify::overrides::Overrides;

/// What a removal will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The stop phase: unbinding, and taking VFs away.
    pub(crate) stop: Plan,
    /// The remove phase: one write a subtree.
    pub(crate) remove: Plan,
    /// The tops of the subtrees, ordered by address; targets below others are merged into them.
    pub tops: Vec<PciAddress>,
    /// Every function that will be gone, parents before children.
    pub(crate) gone: Vec<PciAddress>,
}

impl Removal {
    /// What must be held from the first step to the last.
    pub fn claims(&self) -> &Claims {
        &self.stop.claims
    }

    /// Both phases as one list, each remove step waiting for all that was stopped.
    pub fn all_steps(&self) -> Vec<Step> {
        in_sequence([self.stop.steps.as_slice(), &self.remove.steps])
    }

    /// Fills in what it takes to put VFs and drivers back: the driver overrides, and which physical functions give VFs
    /// that appear to drivers.
    pub(crate) fn remember(
        &mut self,
        topology: &Topology,
        overrides: &Overrides,
        autoprobe: impl Fn(PciAddress) -> bool,
    ) {
        for step in &mut self.stop.steps {
            match &mut step.action {
                Action::Unbind { address, driver_override, .. } => {
                    let physical = topology.find(*address).and_then(|id| topology.function(id).virtual_of);
                    let is_kept_out = || physical.is_some_and(|of| !autoprobe(topology.function(of.physical).address));
                    // Where VFs are kept from drivers, only one that its override names may have it again
                    // (pci_device_can_probe, drivers/pci/pci-driver.c). There was none, and there will be none.
                    let none = || is_kept_out().then(String::new);
                    *driver_override = overrides.get(address).cloned().or_else(none);
                }
                Action::SetVfs { address, autoprobe: is_on, idle_overrides, .. } => {
                    *is_on = autoprobe(*address);
                    let vfs = topology.find(*address).map(|id| topology.virtual_functions(id)).unwrap_or_default();
                    let idle = vfs.into_iter().map(|id| topology.function(id)).filter(|vf| vf.driver.is_none());
                    *idle_overrides =
                        idle.filter_map(|vf| Some((vf.address, overrides.get(&vf.address)?.clone()))).collect();
                }
                _ => {}
            }
        }
    }
}

/// Plans to remove these functions and everything below them.
///
/// # Errors
/// A target is a virtual function, or a physical one has VFs that no driver can take away.
pub fn plan_removal(topology: &Topology, targets: &[FunctionId]) -> Result<Removal> {
    let mut removal = Removal::default();
    for top in tops(topology, targets) {
        refuse_virtual(topology, top)?;
        let address = topology.function(top).address;
        stop(topology, top, &mut removal.stop)?;
        removal.remove.push(Action::Remove { address }, &topology.path(top), Vec::new());
        removal.tops.push(address);
        removal.gone.extend(topology.subtree(top).into_iter().map(|id| topology.function(id).address));
    }
    one_after_the_other(topology, &mut removal.stop);
    let steps = removal.stop.steps.iter().chain(&removal.remove.steps);
    let touched: Vec<Touched> = steps.filter_map(|step| Touched::by_action(topology, &step.action)).collect();
    removal.stop.claims = claims_for(&touched);
    removal.remove.claims = removal.stop.claims.clone();
    Ok(removal)
}

/// The targets that lie below no other, ordered by address, each once.
fn tops(topology: &Topology, targets: &[FunctionId]) -> Vec<FunctionId> {
    let places: Vec<_> = targets.iter().map(|id| topology.place(*id)).collect();
    let topmost = crate::pci::place::topmost(places);
    let mut tops: Vec<FunctionId> =
        targets.iter().copied().filter(|id| topmost.contains(&topology.place(*id))).collect();
    topology.sort(&mut tops);
    tops.dedup();
    tops
}

fn refuse_virtual(topology: &Topology, id: FunctionId) -> Result<()> {
    let function = topology.function(id);
    let Some(of) = function.virtual_of else { return Ok(()) };
    let physical = topology.function(of.physical).address;
    let message = format!(
        "{}: is a virtual function of {physical} and cannot be removed by itself; change the number of VFs of {physical}, or remove {physical}",
        function.address
    );
    Err(Error::new(ErrorKind::Refused, message).about(function.address).fact("physical_function", physical.to_string()))
}

/// Adds the steps that stop a function and all below it; gives those that whatever lies above must wait for.
fn stop(topology: &Topology, id: FunctionId, plan: &mut Plan) -> Result<Vec<usize>> {
    let mut pending = stop_virtual(topology, id, plan)?;
    for child in topology.below(id) {
        pending.extend(stop(topology, child, plan)?);
    }
    for bridge in topology.bridges_below(id) {
        for child in topology.on_root_bus(*bridge) {
            pending.extend(stop(topology, child, plan)?);
        }
    }
    let function = topology.function(id);
    let Some(driver) = &function.driver else { return Ok(pending) };
    let unbind = Action::Unbind { address: function.address, driver: driver.to_string(), driver_override: None };
    Ok(vec![plan.push(unbind, "", pending)])
}

/// Makes the steps that set the number of VFs wait for each other where their VFs share a virtual bus: the kernel adds and
/// removes that bus without a lock of its own (virtfn_remove_bus in drivers/pci/iov.c; a lock came in February 2026).
fn one_after_the_other(topology: &Topology, plan: &mut Plan) {
    let buses = |address: PciAddress| -> Vec<BusNumber> {
        let physical = topology.find(address);
        let vfs = physical.map(|id| topology.virtual_functions(id)).unwrap_or_default();
        let buses = vfs.into_iter().map(|id| topology.function(id).address.bus_number());
        buses.filter(|bus| *bus != address.bus_number()).collect()
    };
    let mut before: Vec<(usize, Vec<BusNumber>)> = Vec::new();
    for index in 0..plan.steps.len() {
        let Action::SetVfs { address, .. } = plan.steps[index].action else { continue };
        let own = buses(address);
        let shares = |(_, others): &&(usize, Vec<BusNumber>)| others.iter().any(|bus| own.contains(bus));
        if let Some((earlier, _)) = before.iter().rfind(shares) {
            if !plan.steps[index].after.contains(earlier) {
                plan.steps[index].after.push(*earlier);
            }
        }
        before.push((index, own));
    }
}

/// VFs are stopped, then disabled, all before their PF is stopped.
fn stop_virtual(topology: &Topology, physical: FunctionId, plan: &mut Plan) -> Result<Vec<usize>> {
    let virtual_functions = topology.virtual_functions(physical);
    if virtual_functions.is_empty() {
        return Ok(Vec::new());
    }
    let address = topology.function(physical).address;
    if topology.function(physical).driver.is_none() {
        // sriov_numvfs_store (drivers/pci/iov.c) needs the PF's driver, and nothing else takes VFs away.
        let message = format!(
            "{address}: has {} virtual functions left on but no driver that could take them away; bind its driver first, then remove it",
            virtual_functions.len()
        );
        return Err(Error::new(ErrorKind::Refused, message).about(address));
    }
    let was = virtual_functions.len();
    let mut pending = Vec::new();
    for id in virtual_functions {
        pending.extend(stop(topology, id, plan)?);
    }
    let disable = Action::SetVfs { address, count: 0, was, autoprobe: false, idle_overrides: BTreeMap::new() };
    Ok(vec![plan.push(disable, &topology.path(physical), pending)])
}

#[cfg(test)]
mod tests;
