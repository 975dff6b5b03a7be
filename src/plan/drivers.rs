//! The plans that give functions to drivers and take them away, and leave the functions where they are.
//!
//! An override is set while the old driver is still there, so that no other comes in between; it is the only way to a driver
//! that does not know the device. `new_id` is never written: it hits every device with these ids.

use crate::error::{Error, ErrorKind, Result};
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan, Step};
use crate::plan::claims_for::{Touched, claims_for};
use crate::plan::stop::{in_stop_order, one_after_the_other, stop};
use crate::topology::model::{FunctionId, Topology};

/// An override that no driver is called by: it keeps every driver away. driverctl uses the same word.
pub(crate) const NO_DRIVER: &str = "none";

/// Whether a driver can be called so, and a path with it leads to nothing but that driver's directory.
pub(crate) fn is_driver_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_plain && !name.is_empty() && !name.starts_with('.')
}

/// Stops the drivers of these functions. One that has none needs no step.
///
/// # Errors
/// Something below a bridge is at work, or a physical function has VFs that no driver can take away.
pub fn plan_unbind(topology: &Topology, targets: &[FunctionId]) -> Result<Plan> {
    let mut plan = Plan::default();
    let is_covered = |plan: &Plan, id: FunctionId| {
        let address = topology.function(id).address;
        plan.steps.iter().any(|step| is_unbind_of(&step.action, address))
    };
    for id in from_below(topology, targets) {
        if topology.function(id).driver.is_some() && !is_covered(&plan, id) {
            stop_one(topology, id, &mut plan)?;
        }
    }
    Ok(claimed(topology, plan))
}

/// Gives these functions to a driver, or to whichever takes them. One that has the driver needs no step.
///
/// # Errors
/// One of them has another driver.
pub fn plan_bind(topology: &Topology, targets: &[FunctionId], driver: Option<&str>) -> Result<Plan> {
    let mut plan = Plan::default();
    // A port comes before what is below it.
    for id in from_below(topology, targets).into_iter().rev() {
        let function = topology.function(id);
        let address = function.address;
        match (function.driver.as_deref(), driver) {
            (Some(has), Some(wanted)) if has != wanted => {
                let message = format!("{address}: has the driver {has}; bind takes functions that have none");
                let hint = format!("pcictl override {address} {wanted} changes its driver");
                return Err(Error::new(ErrorKind::Refused, message).about(address).hint(hint).fact("driver", has));
            }
            (Some(_), _) => {}
            (None, Some(wanted)) => {
                plan.push(Action::Bind { address, driver: wanted.to_owned() }, "", Vec::new());
            }
            (None, None) => {
                plan.push(Action::Probe { address, driver: None }, "", Vec::new());
            }
        }
    }
    Ok(claimed(topology, plan))
}

/// Sets the override of these functions, an empty one to clear it, and has the driver that follows from it take them.
/// `overrides` is what they say now.
///
/// # Errors
/// As for [`plan_unbind`].
pub fn plan_override(
    topology: &Topology,
    targets: &[FunctionId],
    driver: &str,
    overrides: impl Fn(PciAddress) -> Option<String>,
) -> Result<Plan> {
    let mut plan = Plan::default();
    for id in from_below(topology, targets) {
        let function = topology.function(id);
        let (address, has) = (function.address, function.driver.as_deref());
        let was = overrides(address).unwrap_or_default();
        // Without an override the kernel chooses, and whether it would choose otherwise now nobody can tell but the kernel.
        let stays = match driver {
            "" => was.is_empty(),
            NO_DRIVER => has.is_none(),
            driver => has == Some(driver),
        };
        let before: Vec<usize> = if was == driver {
            Vec::new()
        } else {
            let set = Action::Override { address, driver: driver.to_owned(), was: Some(was) };
            vec![plan.push(set, &topology.path(id), Vec::new())]
        };
        if stays {
            continue;
        }
        let mut stopped = before.clone();
        if has.is_some() {
            stopped.extend(stop_for(topology, id, driver, &before, &mut plan)?);
        }
        if driver == NO_DRIVER {
            continue;
        }
        let expected = (!driver.is_empty()).then(|| driver.to_owned());
        plan.push(Action::Probe { address, driver: expected }, "", stopped);
    }
    Ok(claimed(topology, plan))
}

/// Adds the steps that stop a function with what belongs to it, and gives those that its next driver must wait for. Of a
/// bridge that is its own driver alone, after those below it that the plan has stopped already.
fn stop_one(topology: &Topology, id: FunctionId, plan: &mut Plan) -> Result<Vec<usize>> {
    // What a driver made below itself goes with it (VMD), and is stopped first.
    if topology.below(id).is_empty() {
        return stop(topology, id, plan);
    }
    refuse_bridge_at_work(topology, id, plan)?;
    let function = topology.function(id);
    let Some(driver) = &function.driver else { return Ok(Vec::new()) };
    let below: Vec<PciAddress> =
        topology.subtree(id).into_iter().skip(1).map(|id| topology.function(id).address).collect();
    let is_below = |(_, step): &(usize, &Step)| step.action.address().is_some_and(|address| below.contains(&address));
    let after = plan.steps.iter().enumerate().filter(is_below).map(|(index, _)| index).collect();
    let unbind = Action::Unbind { address: function.address, driver: driver.to_string(), driver_override: None };
    Ok(vec![plan.push(unbind, "", after)])
}

/// Stops a function's driver for the next one, each step after `before`. Whoever puts it back finds the new override there.
fn stop_for(
    topology: &Topology,
    id: FunctionId,
    driver: &str,
    before: &[usize],
    plan: &mut Plan,
) -> Result<Vec<usize>> {
    let first = plan.steps.len();
    let stopped = stop_one(topology, id, plan)?;
    let own = topology.function(id).address;
    for step in &mut plan.steps[first..] {
        step.after.extend(before);
        if let Action::Unbind { address, driver_override, .. } = &mut step.action {
            if *address == own {
                *driver_override = Some(driver.to_owned());
            }
        }
    }
    Ok(stopped)
}

/// These functions, each once, in the order in which they are stopped: what is below a bridge before it.
pub(crate) fn from_below(topology: &Topology, targets: &[FunctionId]) -> Vec<FunctionId> {
    let mut ids = in_stop_order(topology, targets.to_vec());
    ids.dedup();
    ids.sort_by_key(|id| std::cmp::Reverse(topology.place(*id).chain().matches('/').count()));
    ids
}

/// The driver of a port ends in pci_disable_device (pcie_portdrv_remove, drivers/pci/pcie/portdrv.c), which stops the DMA of
/// all below it. `plan` has what is stopped before it.
fn refuse_bridge_at_work(topology: &Topology, id: FunctionId, plan: &Plan) -> Result<()> {
    let function = topology.function(id);
    let stops = |address: PciAddress| plan.steps.iter().any(|step| is_unbind_of(&step.action, address));
    let below = topology.subtree(id).into_iter().skip(1).map(|id| topology.function(id));
    let at_work: Vec<PciAddress> =
        below.filter(|other| other.driver.is_some() && !stops(other.address)).map(|other| other.address).collect();
    let Some(first) = at_work.first() else { return Ok(()) };
    let others = if at_work.len() > 1 { format!(" and {} more", at_work.len() - 1) } else { String::new() };
    let message = format!(
        "{}: is a bridge, and {first}{others} below it are at work; without its driver they could reach no memory",
        function.address
    );
    let error = Error::new(ErrorKind::Refused, message).about(function.address);
    Err(error
        .hint("unbind what is below it first, or remove it with all that")
        .fact("at_work", serde_json::json!(at_work)))
}

fn is_unbind_of(action: &Action, address: PciAddress) -> bool {
    matches!(action, Action::Unbind { address: other, .. } if *other == address)
}

/// The plan with what must be held for it, its steps in turn where they must not meet.
pub(crate) fn claimed(topology: &Topology, mut plan: Plan) -> Plan {
    one_after_the_other(topology, &mut plan);
    let touched: Vec<Touched> =
        plan.steps.iter().filter_map(|step| Touched::by_action(topology, &step.action)).collect();
    plan.claims = claims_for(&touched);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Parent, VirtualOf};

    fn at(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    /// A port with two functions of a device below it, the second without a driver, and a PF with a VF beside it.
    fn machine() -> (Topology, Vec<FunctionId>) {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let port = topology.add_function(Parent::HostBridge(host), at("0000:00:01.0"), None, Some("pcieport".into()));
        let first = topology.add_function(Parent::Function(port), at("0000:01:00.0"), None, Some("nvme".into()));
        let second = topology.add_function(Parent::Function(port), at("0000:01:00.1"), None, None);
        let physical = topology.add_function(Parent::HostBridge(host), at("0000:00:02.0"), None, Some("igb".into()));
        let virt = topology.add_function(Parent::HostBridge(host), at("0000:00:10.0"), None, Some("igbvf".into()));
        topology.set_virtual(virt, VirtualOf { physical, index: Some(0) });
        (topology, vec![port, first, second, physical])
    }

    fn writes(plan: &Plan) -> Vec<String> {
        let name =
            |file: &str| file.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
        plan.steps
            .iter()
            .map(|step| format!("{} > {} after {:?}", step.value.trim(), name(&step.file), step.after))
            .collect()
    }

    #[test]
    fn a_bridge_is_unbound_only_when_all_below_it_is() {
        let (topology, ids) = machine();
        let error = plan_unbind(&topology, &ids[..1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("0000:01:00.0"), "{error}");
        let both = plan_unbind(&topology, &ids[..2]).unwrap();
        assert_eq!(writes(&both), ["0000:01:00.0 > nvme/unbind after []", "0000:00:01.0 > pcieport/unbind after [0]"]);
    }

    #[test]
    fn the_virtual_functions_go_before_the_physical_one() {
        let (topology, ids) = machine();
        let plan = plan_unbind(&topology, &ids[3..]).unwrap();
        assert_eq!(
            writes(&plan),
            [
                "0000:00:10.0 > igbvf/unbind after []",
                "0 > 0000:00:02.0/sriov_numvfs after [0]",
                "0000:00:02.0 > igb/unbind after [1]"
            ]
        );
    }

    #[test]
    fn what_has_another_driver_is_not_bound() {
        let (topology, ids) = machine();
        assert_eq!(
            writes(&plan_bind(&topology, &ids[2..3], Some("vfio-pci")).unwrap()),
            ["0000:01:00.1 > vfio-pci/bind after []"]
        );
        assert_eq!(plan_bind(&topology, &ids[1..2], Some("vfio-pci")).unwrap_err().kind(), ErrorKind::Refused);
        assert!(plan_bind(&topology, &ids[1..2], Some("nvme")).unwrap().steps.is_empty());
        assert!(plan_bind(&topology, &ids[1..2], None).unwrap().steps.is_empty());
    }

    #[test]
    fn an_override_is_set_before_the_old_driver_goes() {
        let (topology, ids) = machine();
        let none = |_| None;
        let plan = plan_override(&topology, &ids[1..2], "vfio-pci", none).unwrap();
        assert_eq!(
            writes(&plan),
            [
                "vfio-pci > 0000:01:00.0/driver_override after []",
                "0000:01:00.0 > nvme/unbind after [0]",
                "0000:01:00.0 > pci/drivers_probe after [0, 1]"
            ]
        );
        let back: Vec<Action> = plan.steps.iter().rev().flat_map(|step| step.action.undo()).collect();
        let address = at("0000:01:00.0");
        let overriding = |driver: &str| Action::overriding(address, driver.to_owned());
        let bind = Action::Bind { address, driver: "nvme".into() };
        assert_eq!(back, [overriding("nvme"), bind, overriding("vfio-pci"), overriding("")]);
    }

    #[test]
    fn what_is_so_already_is_not_written() {
        let (topology, ids) = machine();
        let steps = |driver: &str, was: Option<&str>| {
            let was = was.map(str::to_owned);
            writes(&plan_override(&topology, &ids[1..2], driver, |_| was.clone()).unwrap())
        };
        assert!(steps("nvme", Some("nvme")).is_empty());
        assert!(steps("", None).is_empty());
        assert_eq!(steps("nvme", None), ["nvme > 0000:01:00.0/driver_override after []"]);
        assert_eq!(steps("", Some("nvme")).len(), 3);
        assert_eq!(
            steps("vfio-pci", Some("vfio-pci")),
            ["0000:01:00.0 > nvme/unbind after []", "0000:01:00.0 > pci/drivers_probe after [0]"]
        );
    }
}
