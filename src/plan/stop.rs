//! The steps that stop drivers: from the bottom up, VFs before their PF, side by side where that is safe.

use crate::error::{Error, ErrorKind, Result};
use crate::pci::address::{BusNumber, PciAddress};
use crate::plan::action::{Action, Plan};
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_setting::VfSetting;
use crate::verify::overrides::Overrides;

/// Adds the steps that stop a function and all below it; gives those that whatever lies above must wait for.
pub(crate) fn stop(topology: &Topology, id: FunctionId, plan: &mut Plan) -> Result<Vec<usize>> {
    let mut pending = stop_virtual(topology, id, plan)?;
    for child in in_stop_order(topology, topology.below(id)) {
        pending.extend(stop(topology, child, plan)?);
    }
    for bridge in topology.bridges_below(id) {
        for child in in_stop_order(topology, topology.on_root_bus(*bridge)) {
            pending.extend(stop(topology, child, plan)?);
        }
    }
    let function = topology.function(id);
    let Some(driver) = &function.driver else { return Ok(pending) };
    let unbind = Action::Unbind { address: function.address, driver: driver.to_string(), driver_override: None };
    Ok(vec![plan.push(unbind, "", pending)])
}

/// VFs are stopped, then disabled, all before their PF is stopped.
pub(crate) fn stop_virtual(topology: &Topology, physical: FunctionId, plan: &mut Plan) -> Result<Vec<usize>> {
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
    Ok(vec![plan.push(Action::set_vfs(address, 0, was, false), &topology.path(physical), pending)])
}

/// Fills in what it takes to put VFs and drivers back: the driver overrides, which physical functions give VFs that appear to
/// drivers, and what they keep for their VFs.
pub(crate) fn remember(
    plan: &mut Plan,
    topology: &Topology,
    overrides: &Overrides,
    autoprobe: impl Fn(PciAddress) -> bool,
    settings: impl Fn(PciAddress) -> Vec<VfSetting>,
) {
    for step in &mut plan.steps {
        match &mut step.action {
            Action::Unbind { address, driver_override, .. } if driver_override.is_none() => {
                let physical = topology.find(*address).and_then(|id| topology.function(id).virtual_of);
                let is_kept_out = || physical.is_some_and(|of| !autoprobe(topology.function(of.physical).address));
                // Where VFs are kept from drivers, only one that its override names may have it again
                // (pci_device_can_probe, drivers/pci/pci-driver.c). There was none, and there will be none.
                let none = || is_kept_out().then(String::new);
                *driver_override = overrides.get(address).cloned().or_else(none);
            }
            Action::SetVfs { address, autoprobe: is_on, idle_overrides, settings: kept, .. } => {
                *is_on = autoprobe(*address);
                *kept = settings(*address);
                kept.retain(|setting| !setting.value.is_initial());
                let vfs = topology.find(*address).map(|id| topology.virtual_functions(id)).unwrap_or_default();
                let idle = vfs.into_iter().map(|id| topology.function(id)).filter(|vf| vf.driver.is_none());
                *idle_overrides =
                    idle.filter_map(|vf| Some((vf.address, overrides.get(&vf.address)?.clone()))).collect();
            }
            _ => {}
        }
    }
}

/// Makes the steps wait for each other that must not meet, though nothing of one lies above the other.
pub(crate) fn one_after_the_other(topology: &Topology, plan: &mut Plan) {
    virtual_buses_in_turn(topology, plan);
    drivers_in_turn(topology, plan);
}

/// Drivers that do not bear being stopped twice at the same time, whatever the device: unbinding several channels of ioatdma
/// side by side ended in a BUG of the kernel (bugzilla.kernel.org 209041, the reason why SPDK's setup.sh unbinds nothing but
/// nvme in parallel).
const ONE_AT_A_TIME: [&str; 1] = ["ioatdma"];

/// Functions of one device are stopped one after the other, as their drivers share what is in it; VFs are made to be apart.
fn drivers_in_turn(topology: &Topology, plan: &mut Plan) {
    let of_device = |address: PciAddress| {
        let id = topology.find(address)?;
        topology.function(id).virtual_of.is_none().then_some((address.domain, address.bus, address.device))
    };
    let mut before: Vec<(usize, PciAddress, String)> = Vec::new();
    for index in 0..plan.steps.len() {
        let Action::Unbind { address, driver, .. } = &plan.steps[index].action else { continue };
        let (address, driver) = (*address, driver.clone());
        let is_twin = |(_, other, by): &&(usize, PciAddress, String)| {
            of_device(address).is_some_and(|device| of_device(*other) == Some(device))
                || driver == *by && ONE_AT_A_TIME.contains(&by.as_str())
        };
        if let Some((earlier, ..)) = before.iter().rfind(is_twin) {
            if !plan.steps[index].after.contains(earlier) {
                plan.steps[index].after.push(*earlier);
            }
        }
        before.push((index, address, driver));
    }
}

/// Siblings from device to device, of each device the functions from the last to the first: function 0 is what the others
/// are part of.
pub(crate) fn in_stop_order(topology: &Topology, mut siblings: Vec<FunctionId>) -> Vec<FunctionId> {
    let rank = |id: &FunctionId| {
        let PciAddress { domain, bus, device, function } = topology.function(*id).address;
        (domain, bus, device, std::cmp::Reverse(function))
    };
    siblings.sort_unstable_by_key(rank);
    siblings
}

/// Changes of the number of VFs whose VFs share a virtual bus: the kernel adds and
/// removes that bus without a lock of its own (virtfn_remove_bus in drivers/pci/iov.c; a lock came in February 2026).
fn virtual_buses_in_turn(topology: &Topology, plan: &mut Plan) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Parent, VirtualOf};
    use crate::topology::vf_setting::VfValue;

    fn stopping(functions: &[(&str, &str)]) -> Vec<String> {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let add = |(address, driver): &(&str, &str)| {
            topology.add_function(Parent::HostBridge(host), address.parse().unwrap(), None, Some((*driver).into()))
        };
        let ids: Vec<FunctionId> = functions.iter().map(add).collect();
        let mut plan = Plan::default();
        for id in in_stop_order(&topology, ids) {
            stop(&topology, id, &mut plan).unwrap();
        }
        one_after_the_other(&topology, &mut plan);
        plan.steps.iter().map(|step| format!("{} after {:?}", step.value, step.after)).collect()
    }

    #[test]
    fn functions_of_a_device_stop_in_turn_and_others_side_by_side() {
        let functions = [
            ("0000:00:03.0", "nvidia"),
            ("0000:00:03.1", "snd_hda_intel"),
            ("0000:00:04.0", "nvme"),
            ("0000:00:05.0", "nvme"),
        ];
        assert_eq!(
            stopping(&functions),
            ["0000:00:03.1 after []", "0000:00:03.0 after [0]", "0000:00:04.0 after []", "0000:00:05.0 after []"]
        );
    }

    #[test]
    fn drivers_that_do_not_bear_it_stop_one_at_a_time() {
        let functions = [("0000:00:04.0", "ioatdma"), ("0000:00:05.0", "nvme"), ("0000:01:04.0", "ioatdma")];
        assert_eq!(stopping(&functions), ["0000:00:04.0 after []", "0000:00:05.0 after []", "0000:01:04.0 after [0]"]);
    }

    /// Two cards with VFs on bus 1, the second of each without a driver, and another one whose VFs are on bus 2.
    fn cards() -> Topology {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        for (card, vf_bus) in [("0000:00:01.0", 1), ("0000:00:02.0", 1), ("0000:00:03.0", 2)] {
            let parent = Parent::HostBridge(host);
            let physical = topology.add_function(parent, card.parse().unwrap(), None, Some("igb".into()));
            for index in 0..2u8 {
                let device = topology.function(physical).address.device * 4 + index;
                let address = PciAddress { domain: 0, bus: vf_bus, device, function: 0 };
                let driver = (index == 0).then(|| "igbvf".into());
                let vf = topology.add_function(parent, address, None, driver);
                topology.set_virtual(vf, VirtualOf { physical, index: Some(index.into()) });
            }
        }
        topology
    }

    fn numbers(cards: &[&str]) -> Plan {
        let mut plan = Plan::default();
        for card in cards {
            plan.push(Action::set_vfs(card.parse().unwrap(), 0, 2, false), "d", vec![]);
        }
        plan
    }

    #[test]
    fn vfs_of_one_bus_go_one_after_the_other() {
        let mut plan = numbers(&["0000:00:01.0", "0000:00:03.0", "0000:00:02.0"]);
        one_after_the_other(&cards(), &mut plan);
        let after: Vec<_> = plan.steps.iter().map(|step| step.after.as_slice()).collect();
        assert_eq!(after, [&[][..], &[], &[0]]);
    }

    #[test]
    fn what_it_takes_to_put_vfs_back_is_remembered() {
        let vf = |device| PciAddress { domain: 0, bus: 1, device, function: 0 };
        let overrides: Overrides =
            [(vf(4), "igbvf".to_owned()), (vf(5), "vfio-pci".to_owned()), (vf(9), "other".to_owned())].into();
        let kept = [VfValue::Trust(true), VfValue::Trust(false)].map(|value| VfSetting { vf: 0, value });
        let remembered = |autoprobe: bool| {
            let mut plan = numbers(&["0000:00:01.0"]);
            remember(&mut plan, &cards(), &overrides, |_| autoprobe, |_| kept.to_vec());
            plan.steps.remove(0).action
        };
        for is_on in [true, false] {
            let Action::SetVfs { autoprobe, idle_overrides, settings, .. } = remembered(is_on) else { panic!() };
            assert_eq!(autoprobe, is_on);
            assert_eq!(idle_overrides, [(vf(5), "vfio-pci".to_owned())].into(), "of its own VFs that have no driver");
            assert_eq!(settings, kept[..1], "what is so from the start is not kept");
        }
    }

    #[test]
    fn the_override_of_a_driver_that_is_stopped_is_remembered_once() {
        let vf = |device| PciAddress { domain: 0, bus: 1, device, function: 0 };
        let overrides: Overrides = [(vf(4), "igbvf".to_owned())].into();
        let remembered = |address: PciAddress, before: Option<&str>, autoprobe: bool| {
            let mut plan = Plan::default();
            let driver_override = before.map(str::to_owned);
            plan.push(Action::Unbind { address, driver: "x".to_owned(), driver_override }, "d", vec![]);
            remember(&mut plan, &cards(), &overrides, |_| autoprobe, |_| Vec::new());
            let Action::Unbind { driver_override, .. } = plan.steps.remove(0).action else { panic!() };
            driver_override
        };
        assert_eq!(remembered(vf(4), None, true).as_deref(), Some("igbvf"));
        assert_eq!(remembered(vf(4), Some("vfio-pci"), true).as_deref(), Some("vfio-pci"));
        assert_eq!(remembered(vf(8), None, true), None);
        assert_eq!(remembered(vf(8), None, false).as_deref(), Some(""), "drivers are kept from it");
        assert_eq!(remembered("0000:00:01.0".parse().unwrap(), None, false), None, "not from a physical function");
    }
}
