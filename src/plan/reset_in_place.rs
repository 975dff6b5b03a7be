//! The plan of a reset after which the function is still there.
//!
//! A reset takes the device's state. The driver is stopped before it, unless it is to take care of that by itself
//! (reset_prepare and reset_done of struct pci_error_handlers), and gets the device back by undoing that: the plan has no
//! steps for it, see [`ends_as_it_began`](crate::plan::action::ends_as_it_began).

use crate::error::Result;
use crate::plan::action::{Action, Plan};
use crate::plan::drivers::{claimed, from_below};
use crate::plan::stop::stop;
use crate::topology::model::{FunctionId, Topology};

/// The file that lists the ways to reset a function.
pub(crate) const RESET_METHOD: &str = "reset_method";

/// How one function is to be reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenReset {
    /// The function.
    pub(crate) id: FunctionId,
    /// Its bus may be hit.
    pub(crate) hits_bus: bool,
    /// The one method to be set for that time, and what is listed now.
    pub(crate) set: Option<(String, String)>,
}

/// Stops what is hit, unless drivers are kept, and resets each of these.
///
/// # Errors
/// A physical function has VFs that no driver can take away.
pub(crate) fn plan_reset_in_place(topology: &Topology, resets: &[ChosenReset], keep_driver: bool) -> Result<Plan> {
    let mut plan = Plan::default();
    let ids: Vec<FunctionId> = resets.iter().map(|reset| reset.id).collect();
    let order = from_below(topology, &ids);
    let is_within = |id: FunctionId, other: FunctionId| id != other && topology.subtree(other).contains(&id);
    if !keep_driver {
        for id in order.iter().filter(|id| !ids.iter().any(|other| is_within(**id, *other))) {
            stop(topology, *id, &mut plan)?;
        }
    }
    for reset in order.iter().filter_map(|id| resets.iter().find(|reset| reset.id == *id)) {
        // A VF is gone while its physical function is reset, and comes back anew.
        let physical = topology.function(reset.id).virtual_of.map(|of| of.physical);
        if !keep_driver && physical.is_some_and(|physical| ids.contains(&physical)) {
            continue;
        }
        push_reset(topology, reset, &mut plan);
    }
    Ok(claimed(topology, plan))
}

fn push_reset(topology: &Topology, reset: &ChosenReset, plan: &mut Plan) {
    let (address, path) = (topology.function(reset.id).address, topology.path(reset.id));
    if let Some((method, was)) = &reset.set {
        let (file, value, was) = (RESET_METHOD.to_owned(), method.clone(), was.clone());
        let before = (0..plan.steps.len()).collect();
        plan.push(Action::Set { address, file, value, was }, &path, before);
    }
    let before = (0..plan.steps.len()).collect();
    plan.push(Action::Reset { address, hits_bus: reset.hits_bus }, &path, before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Parent, VirtualOf};

    /// A port with a PF and its VF, both with drivers.
    fn machine() -> (Topology, FunctionId, FunctionId) {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let at = |text: &str| text.parse().unwrap();
        let port = topology.add_function(Parent::HostBridge(host), at("0000:00:01.0"), None, Some("pcieport".into()));
        let physical = topology.add_function(Parent::Function(port), at("0000:01:00.0"), None, Some("nvme".into()));
        let vf = topology.add_function(Parent::Function(port), at("0000:01:00.1"), None, Some("nvme".into()));
        topology.set_virtual(vf, VirtualOf { physical, index: Some(0) });
        (topology, physical, vf)
    }

    fn writes(plan: &Plan) -> Vec<String> {
        let name = |file: &str| file.rsplit('/').next().unwrap().to_owned();
        plan.steps.iter().map(|step| format!("{} > {} after {:?}", step.value, name(&step.file), step.after)).collect()
    }

    fn chosen(id: FunctionId, set: Option<(&str, &str)>) -> ChosenReset {
        ChosenReset { id, hits_bus: false, set: set.map(|(method, was)| (method.to_owned(), was.to_owned())) }
    }

    #[test]
    fn drivers_and_vfs_are_stopped_before_the_method_is_set() {
        let (topology, physical, vf) = machine();
        let both = [chosen(physical, Some(("pm", "flr pm"))), chosen(vf, None)];
        assert_eq!(
            writes(&plan_reset_in_place(&topology, &both, false).unwrap()),
            [
                "0000:01:00.1 > unbind after []",
                "0 > sriov_numvfs after [0]",
                "0000:01:00.0 > unbind after [1]",
                "pm > reset_method after [0, 1, 2]",
                "1 > reset after [0, 1, 2, 3]",
            ]
        );
    }

    #[test]
    fn with_its_driver_kept_each_is_only_reset() {
        let (topology, physical, vf) = machine();
        let both = [chosen(physical, None), chosen(vf, None)];
        let plan = plan_reset_in_place(&topology, &both, true).unwrap();
        assert_eq!(writes(&plan), ["1 > reset after []", "1 > reset after [0]"]);
    }
}
