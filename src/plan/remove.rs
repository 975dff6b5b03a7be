//! The plan of a removal: stop from the bottom up, then remove in one short step.
//!
//! The kernel's own `remove` stops drivers one by one while holding the one global mutex. Stopping them first, without
//! it, is quicker and keeps the mutex free; the order below is what makes that safe (drivers/pci/remove.c does the same
//! two passes). A port is stopped only after all below it: its driver ends in pci_disable_device, which stops the DMA of
//! whatever is still at work there. VFs go before their PF: a PF removed with its VFs on hangs some kernels.

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::Claims;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan, Step, in_sequence};
use crate::plan::claims_for::{Touched, claims_for};
use crate::plan::stop::{in_stop_order, one_after_the_other, stop};
use crate::topology::model::{FunctionId, Topology};

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

    /// Holds what else the kernel touches with the steps.
    pub fn also_touching(&mut self, touched: &[Touched]) {
        self.stop.also_touching(touched);
        self.remove.claims = self.stop.claims.clone();
    }

    /// The same with what its steps take, what undoing them does, and what else is touched.
    pub(crate) fn claimed(mut self, topology: &Topology, mut touched: Vec<Touched>) -> Self {
        let steps = self.stop.steps.iter().chain(&self.remove.steps);
        touched.extend(steps.filter_map(|step| Touched::by_action(topology, &step.action)));
        // Bridges above what lies below a top are held with it.
        let tops = self.tops.iter().filter_map(|top| topology.find(*top));
        touched.extend(tops.filter_map(|top| Touched::by_rollback(topology, top)));
        self.stop.claims = claims_for(&touched);
        self.remove.claims = self.stop.claims.clone();
        self
    }

    /// Both phases as one list, each remove step waiting for all that was stopped.
    pub fn all_steps(&self) -> Vec<Step> {
        in_sequence([self.stop.steps.as_slice(), &self.remove.steps])
    }
}

/// Plans to remove these functions and everything below them.
///
/// # Errors
/// A target is a virtual function, or a physical one has VFs that no driver can take away.
pub fn plan_removal(topology: &Topology, targets: &[FunctionId]) -> Result<Removal> {
    let mut removal = plan_stop(topology, targets)?;
    for address in removal.tops.clone() {
        let path = topology.find(address).map(|top| topology.path(top)).unwrap_or_default();
        removal.remove.push(Action::Remove { address }, &path, Vec::new());
    }
    Ok(removal.claimed(topology, Vec::new()))
}

/// The stop phase of a removal of these functions and everything below them; how they are removed is yet to be planned.
///
/// # Errors
/// As for [`plan_removal`].
pub(crate) fn plan_stop(topology: &Topology, targets: &[FunctionId]) -> Result<Removal> {
    let mut removal = Removal::default();
    let tops = tops(topology, targets);
    for top in in_stop_order(topology, tops.clone()) {
        refuse_virtual(topology, top)?;
        stop(topology, top, &mut removal.stop)?;
    }
    for top in tops {
        removal.tops.push(topology.function(top).address);
        removal.gone.extend(topology.subtree(top).into_iter().map(|id| topology.function(id).address));
    }
    one_after_the_other(topology, &mut removal.stop);
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

#[cfg(test)]
mod tests;
