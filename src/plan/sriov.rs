//! The plans that change the number of a physical function's VFs and give them drivers.
//!
//! In two halves, as nobody knows where VFs will be before they are there: their offset and stride may change with their
//! number. The first half stops those that are there and creates the new ones while drivers are kept from them, so that
//! the kernel holds `pci_rescan_remove_lock` for the numbering alone; the second gives them to drivers, side by side.

use crate::error::{Error, ErrorKind, Result};
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan, Step, VfDrivers};
use crate::plan::drivers::{claimed, plan_override};
use crate::plan::stop::stop_virtual;
use crate::topology::model::{FunctionId, Topology};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VfRequest {
    /// How many VFs there shall be; none to leave them as they are.
    pub(crate) count: Option<usize>,
    /// Whether drivers take VFs that appear; none to leave it as it is.
    pub(crate) autoprobe: Option<bool>,
    /// The driver that each VF is to have.
    pub(crate) driver: Option<String>,
}

/// The first half. `autoprobe` says whether drivers take VFs that appear, none if this kernel has no such switch;
/// `overrides` what the overrides of VFs say.
///
/// # Errors
/// The physical function has no driver, which alone can change the number.
pub(crate) fn plan_vfs(
    topology: &Topology,
    physical: FunctionId,
    autoprobe: Option<bool>,
    request: &VfRequest,
    overrides: impl Fn(PciAddress) -> Option<String>,
) -> Result<Plan> {
    let address = topology.function(physical).address;
    let directory = topology.path(physical);
    let vfs = topology.virtual_functions(physical);
    let switches_to = request.autoprobe.filter(|wanted| autoprobe != Some(*wanted));
    let mut plan = Plan::default();
    match request.count.filter(|count| *count != vfs.len()) {
        None => {
            if let Some(driver) = &request.driver {
                let others = vfs.into_iter().filter(|id| topology.function(*id).driver.as_deref() != Some(driver));
                plan = plan_override(topology, &others.collect::<Vec<_>>(), driver, overrides)?;
            }
            if let Some(on) = switches_to {
                plan.push(Action::autoprobe(address, on), &directory, Vec::new());
            }
        }
        Some(0) => {
            refuse_undriven(topology, physical)?;
            let pending = stop_virtual(topology, physical, &mut plan)?;
            if let Some(on) = switches_to {
                plan.push(Action::autoprobe(address, on), &directory, pending);
            }
        }
        Some(count) => {
            refuse_undriven(topology, physical)?;
            stop_virtual(topology, physical, &mut plan)?;
            if autoprobe == Some(true) {
                plan.push_after_all(Action::autoprobe(address, false), &directory);
            }
            let drivers = drivers_of(autoprobe, request);
            plan.push_after_all(Action::CreateVfs { address, count, drivers }, &directory);
        }
    }
    Ok(claimed(topology, plan))
}

/// sriov_numvfs_store (drivers/pci/iov.c) asks the physical function's driver to do it.
fn refuse_undriven(topology: &Topology, physical: FunctionId) -> Result<()> {
    let function = topology.function(physical);
    if function.driver.is_some() {
        return Ok(());
    }
    let address = function.address;
    let message = format!("{address}: has no driver, and only its driver can change the number of its VFs");
    let error = Error::new(ErrorKind::Refused, message).about(address);
    Err(error.hint(format!("pcictl bind {address} gives it to one")))
}

/// What is left to be done once the VFs are there; nothing if no driver is to have them. A kernel without the switch
/// (before 4.13) has asked the drivers by itself.
fn drivers_of(autoprobe: Option<bool>, request: &VfRequest) -> Option<VfDrivers> {
    let autoprobe = request.autoprobe.or(autoprobe).filter(|_| autoprobe.is_some())?;
    let driver = request.driver.clone();
    (autoprobe || driver.is_some()).then_some(VfDrivers { driver, autoprobe })
}

/// The second half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VfPlan {
    /// What comes before the drivers: each VF's override, or the switch that lets drivers have them.
    pub(crate) before: Vec<Step>,
    /// The drivers are asked, side by side.
    pub(crate) probes: Vec<Step>,
    /// The switch, where an override names the only driver: others must not come in between.
    pub(crate) after: Vec<Step>,
}

/// Gives the VFs that are there and have no driver to one.
pub(crate) fn plan_vf_drivers(topology: &Topology, physical: FunctionId, drivers: &VfDrivers) -> VfPlan {
    let mut plan = VfPlan::default();
    let step = |action: Action, directory: &str| {
        let (file, value) = action.write(directory);
        Step { action, file, value, after: Vec::new() }
    };
    let switch = step(Action::autoprobe(topology.function(physical).address, true), &topology.path(physical));
    let idle = topology.virtual_functions(physical).into_iter().filter(|id| topology.function(*id).driver.is_none());
    for id in idle {
        let address = topology.function(id).address;
        if let Some(driver) = &drivers.driver {
            plan.before.push(step(Action::overriding(address, driver.clone()), &topology.path(id)));
        }
        plan.probes.push(step(Action::Probe { address, driver: drivers.driver.clone() }, ""));
    }
    match (&drivers.driver, drivers.autoprobe) {
        (None, true) => plan.before.push(switch),
        (Some(_), true) => plan.after.push(switch),
        (_, false) => {}
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{Parent, VirtualOf};

    /// A PF below a port with so many VFs, of which the second has no driver.
    fn machine(vfs: u8, driver: Option<&str>) -> (Topology, FunctionId) {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let at = |device: u8| PciAddress { domain: 0, bus: 1, device, function: 0 };
        let port = topology.add_function(Parent::HostBridge(host), "0000:00:03.0".parse().unwrap(), None, None);
        let physical = topology.add_function(Parent::Function(port), at(0), None, driver.map(Into::into));
        for index in 0..vfs {
            let driver = (index != 1).then(|| "igbvf".into());
            let vf = topology.add_function(Parent::Function(port), at(16 + index), None, driver);
            topology.set_virtual(vf, VirtualOf { physical, index: Some(index.into()) });
        }
        (topology, physical)
    }

    fn writes(steps: &[Step]) -> Vec<String> {
        let name = |file: &str| file.rsplit('/').next().unwrap().to_owned();
        steps.iter().map(|step| format!("{} > {} after {:?}", step.value, name(&step.file), step.after)).collect()
    }

    fn request(count: usize, autoprobe: Option<bool>, driver: Option<&str>) -> VfRequest {
        VfRequest { count: Some(count), autoprobe, driver: driver.map(str::to_owned) }
    }

    fn first(vfs: u8, autoprobe: bool, request: &VfRequest) -> Vec<String> {
        let (topology, physical) = machine(vfs, Some("igb"));
        writes(&plan_vfs(&topology, physical, Some(autoprobe), request, |_| None).unwrap().steps)
    }

    #[test]
    fn drivers_are_kept_from_vfs_while_these_are_created() {
        assert_eq!(
            first(0, true, &request(4, None, None)),
            ["0 > sriov_drivers_autoprobe after []", "4 > sriov_numvfs after [0]"]
        );
        assert_eq!(first(0, false, &request(4, None, None)), ["4 > sriov_numvfs after []"]);
    }

    #[test]
    fn another_number_goes_through_zero() {
        assert_eq!(
            first(2, true, &request(4, None, None)),
            [
                "0000:01:10.0 > unbind after []",
                "0 > sriov_numvfs after [0]",
                "0 > sriov_drivers_autoprobe after [0, 1]",
                "4 > sriov_numvfs after [0, 1, 2]",
            ]
        );
        assert_eq!(first(1, true, &request(0, None, None)).len(), 2);
        assert!(first(2, true, &request(2, None, None)).is_empty());
    }

    #[test]
    fn the_switch_is_set_alone_and_last() {
        let switch = |on: bool| VfRequest { autoprobe: Some(on), ..VfRequest::default() };
        assert_eq!(first(2, true, &switch(false)), ["0 > sriov_drivers_autoprobe after []"]);
        assert!(first(2, true, &switch(true)).is_empty());
        assert_eq!(first(1, true, &request(0, Some(false), None))[2], "0 > sriov_drivers_autoprobe after [1]");
    }

    #[test]
    fn vfs_that_are_there_change_only_their_driver() {
        assert_eq!(
            first(2, true, &request(2, None, Some("vfio-pci"))),
            [
                "vfio-pci > driver_override after []",
                "0000:01:10.0 > unbind after [0]",
                "0000:01:10.0 > drivers_probe after [0, 1]",
                "vfio-pci > driver_override after []",
                "0000:01:11.0 > drivers_probe after [3]",
            ]
        );
        assert_eq!(first(1, true, &request(1, None, Some("igbvf"))), [""; 0]);
    }

    #[test]
    fn what_is_to_be_done_for_drivers_follows_from_the_switch() {
        let after = |autoprobe: bool, request: &VfRequest| drivers_of(Some(autoprobe), request);
        let drivers =
            |driver: Option<&str>, autoprobe: bool| Some(VfDrivers { driver: driver.map(str::to_owned), autoprobe });
        assert_eq!(after(true, &request(4, None, None)), drivers(None, true));
        assert_eq!(after(true, &request(4, Some(false), None)), None);
        assert_eq!(after(false, &request(4, None, None)), None);
        assert_eq!(after(false, &request(4, Some(true), None)), drivers(None, true));
        assert_eq!(after(false, &request(4, None, Some("x"))), drivers(Some("x"), false));
        assert_eq!(drivers_of(None, &request(4, None, None)), None);
    }

    #[test]
    fn an_override_is_there_before_other_drivers_may_come() {
        let (topology, physical) = machine(2, Some("igb"));
        let plan = |driver: Option<&str>, autoprobe: bool| {
            let VfPlan { before, probes, after } =
                plan_vf_drivers(&topology, physical, &VfDrivers { driver: driver.map(str::to_owned), autoprobe });
            [writes(&before), writes(&probes), writes(&after)].concat()
        };
        let (on, probe) = ("1 > sriov_drivers_autoprobe after []", "0000:01:11.0 > drivers_probe after []");
        let set = "x > driver_override after []";
        assert_eq!(plan(None, true), [on, probe]);
        assert_eq!(plan(Some("x"), true), [set, probe, on]);
        assert_eq!(plan(Some("x"), false), [set, probe]);
    }

    #[test]
    fn without_its_driver_a_physical_function_keeps_what_it_has() {
        let (topology, physical) = machine(2, None);
        let error = plan_vfs(&topology, physical, Some(true), &request(0, None, None), |_| None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(plan_vfs(&topology, physical, Some(true), &request(2, None, None), |_| None).is_ok());
    }
}
