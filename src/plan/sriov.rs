//! The plans that change the number of a physical function's VFs and give them drivers.
//!
//! In two halves, as nobody knows where VFs will be before they are there: their offset and stride may change with their
//! number. The first half stops those that are there and creates the new ones while drivers are kept from them, so that
//! the kernel holds `pci_rescan_remove_lock` for the numbering alone; the second gives them to drivers, side by side.

use crate::error::{Error, ErrorKind, Result};
use crate::pci::address::PciAddress;
use crate::pci::mac::MacAddress;
use crate::plan::action::{Action, Plan, Step, VfDrivers, in_sequence};
use crate::plan::drivers::{claimed, is_driver_name, plan_override};
use crate::plan::stop::stop_virtual;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_setting::{VfSetting, VfValue, of_vf, to_change};
use crate::verify::overrides::Overrides;
use crate::verify::record::VirtualRecord;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VfRequest {
    /// How many VFs there shall be; none to leave them as they are.
    pub(crate) count: Option<usize>,
    /// Whether drivers take VFs that appear; none to leave it as it is.
    pub(crate) autoprobe: Option<bool>,
    /// The driver that each VF is to have.
    pub(crate) driver: Option<String>,
    /// MACs by the index of the VF, each index once.
    pub(crate) macs: Vec<(u32, MacAddress)>,
    /// The new VFs are to be what those with the same index were.
    pub(crate) restore: bool,
}

impl VfRequest {
    /// Whether it cannot be done where drivers have VFs as soon as these are there.
    pub(crate) fn needs_switch(&self) -> bool {
        self.autoprobe.is_some()
            || self.driver.is_some()
            || self.restore
            || self.count.is_some() && !self.macs.is_empty()
    }
}

/// What is known of a physical function and its VFs besides the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownVfs {
    /// Whether drivers take VFs that appear, none if this kernel has no such switch.
    pub(crate) autoprobe: Option<bool>,
    /// What the overrides of VFs say.
    pub(crate) overrides: Overrides,
    /// What the physical function keeps for them.
    pub(crate) settings: Vec<VfSetting>,
    /// What the VFs were that are to be restored.
    pub(crate) was: Vec<VirtualRecord>,
}

/// The first half.
///
/// # Errors
/// The physical function has no driver, which alone can change the number.
pub(crate) fn plan_vfs(
    topology: &Topology,
    physical: FunctionId,
    known: &KnownVfs,
    request: &VfRequest,
) -> Result<Plan> {
    let autoprobe = known.autoprobe;
    let address = topology.function(physical).address;
    let directory = topology.path(physical);
    let vfs = topology.virtual_functions(physical);
    let switches_to = request.autoprobe.filter(|wanted| autoprobe != Some(*wanted));
    let mut plan = Plan::default();
    match request.count.filter(|count| *count != vfs.len()) {
        None => {
            let macs = set_macs(address, &directory, request, &known.settings);
            let drivers = match &request.driver {
                Some(driver) => {
                    let others = vfs.into_iter().filter(|id| topology.function(*id).driver.as_deref() != Some(driver));
                    let overrides = |address: PciAddress| known.overrides.get(&address).cloned();
                    plan_override(topology, &others.collect::<Vec<_>>(), driver, overrides)?
                }
                None => Plan::default(),
            };
            plan.steps = in_sequence([macs.as_slice(), &drivers.steps]);
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
            let drivers = drivers_of(known, request, count);
            plan.push_after_all(Action::CreateVfs { address, count, drivers }, &directory);
            plan.steps = in_sequence([plan.steps.as_slice(), &set_macs(address, &directory, request, &[])]);
        }
    }
    Ok(claimed(topology, plan))
}

/// The MACs that are asked for and that are not so: one after the other, as the kernel has one lock for all interfaces.
fn set_macs(physical: PciAddress, directory: &str, request: &VfRequest, now: &[VfSetting]) -> Vec<Step> {
    let mut plan = Plan::default();
    for (vf, mac) in &request.macs {
        let setting = VfSetting { vf: *vf, value: VfValue::Mac(*mac) };
        let was = now.iter().find(|was| was.vf == *vf && was.value.is_of_kind(&setting.value)).copied();
        if was != Some(setting) {
            plan.push_last(Action::SetVf { address: physical, setting, was }, directory);
        }
    }
    plan.steps
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

/// What is left to be done once the VFs are there; nothing if no driver is to have them and nothing was set. A kernel
/// without the switch (before 4.13) has asked the drivers by itself.
fn drivers_of(known: &KnownVfs, request: &VfRequest, count: usize) -> Option<VfDrivers> {
    let autoprobe = request.autoprobe.or(known.autoprobe).filter(|_| known.autoprobe.is_some())?;
    let driver = request.driver.clone();
    let was: Vec<VirtualRecord> = known.was.iter().take(count).cloned().collect();
    (autoprobe || driver.is_some() || !was.is_empty()).then_some(VfDrivers { driver, autoprobe, was, sleeps: false })
}

/// The second half: phases, each of which waits for the one before it. In a phase no step waits for another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VfPlan {
    /// What the physical function keeps for VFs: drivers ask for that when they are bound.
    pub(crate) settings: Vec<Step>,
    /// Each VF's override.
    pub(crate) overrides: Vec<Step>,
    /// The drivers that these name are asked, side by side; while drivers are kept from VFs no other may come in between.
    pub(crate) overridden: Vec<Step>,
    /// The switch, which lets drivers have VFs that have no override.
    pub(crate) switch: Vec<Step>,
    /// The drivers of those are asked.
    pub(crate) probes: Vec<Step>,
    /// What was set only for that is set back: overrides, and that the physical function is kept awake.
    pub(crate) after: Vec<Step>,
}

impl VfPlan {
    /// The phases in their order.
    pub(crate) fn phases(&self) -> [&[Step]; 6] {
        [&self.settings, &self.overrides, &self.overridden, &self.switch, &self.probes, &self.after]
    }

    /// Has a VF be what another one was.
    fn restore(&mut self, address: PciAddress, directory: &str, was: &VirtualRecord, autoprobe: bool) {
        let overriding = |driver: &str| step(Action::overriding(address, driver.to_owned()), directory);
        let is_usable = |name: &&String| is_driver_name(name);
        let wanted = was.driver_override.as_ref().filter(is_usable);
        let Some(driver) = was.driver.as_ref().filter(is_usable) else {
            self.overrides.extend(wanted.map(|wanted| overriding(wanted)));
            return;
        };
        let probe = step(Action::Probe { address, driver: Some(driver.clone()) }, "");
        // Where VFs are kept from drivers, only an override lets the one in that fits (pci_device_can_probe).
        if wanted.is_none() && autoprobe {
            self.probes.push(probe);
            return;
        }
        self.overrides.push(overriding(driver));
        self.overridden.push(probe);
        if wanted != Some(driver) {
            self.after.push(overriding(wanted.map_or("", String::as_str)));
        }
    }
}

fn step(action: Action, directory: &str) -> Step {
    Step::new(action, directory, Vec::new())
}

/// Gives the VFs that are there and have no driver to one, and makes them what others were. `now` is what the physical
/// function keeps for them.
pub(crate) fn plan_vf_drivers(
    topology: &Topology,
    physical: FunctionId,
    drivers: &VfDrivers,
    now: &[VfSetting],
) -> VfPlan {
    let mut plan = VfPlan::default();
    let (address, directory) = (topology.function(physical).address, topology.path(physical));
    let vfs = topology.virtual_functions(physical);
    for id in &vfs {
        let Some((vf, was)) = was_of(topology, *id, drivers) else { continue };
        for (value, now) in to_change(&was.settings, &of_vf(now, vf)) {
            let (setting, was) = (VfSetting { vf, value }, now.map(|value| VfSetting { vf, value }));
            plan.settings.push(step(Action::SetVf { address, setting, was }, &directory));
        }
    }
    for id in vfs.into_iter().filter(|id| topology.function(*id).driver.is_none()) {
        let address = topology.function(id).address;
        match (&drivers.driver, was_of(topology, id, drivers)) {
            (_, Some((_, was))) => plan.restore(address, &topology.path(id), was, drivers.autoprobe),
            // It is one more than there were.
            (None, None) if !drivers.autoprobe => {}
            (driver, None) => {
                let overriding = |driver: &String| Action::overriding(address, driver.clone());
                plan.overrides.extend(driver.as_ref().map(|driver| step(overriding(driver), &topology.path(id))));
                let probes = if driver.is_some() { &mut plan.overridden } else { &mut plan.probes };
                probes.push(step(Action::Probe { address, driver: driver.clone() }, ""));
            }
        }
    }
    if drivers.autoprobe {
        plan.switch.push(step(Action::autoprobe(address, true), &directory));
    }
    if drivers.sleeps {
        plan.after.push(step(Action::may_sleep(address), &directory));
    }
    plan
}

/// The index of a VF, and what the one with it was.
fn was_of<'a>(topology: &Topology, id: FunctionId, drivers: &'a VfDrivers) -> Option<(u32, &'a VirtualRecord)> {
    let index = topology.function(id).virtual_of.and_then(|of| of.index)?;
    Some((index, drivers.was.get(index as usize)?))
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
        VfRequest { count: Some(count), autoprobe, driver: driver.map(str::to_owned), ..VfRequest::default() }
    }

    fn first(vfs: u8, autoprobe: bool, request: &VfRequest) -> Vec<String> {
        let (topology, physical) = machine(vfs, Some("igb"));
        writes(&plan_vfs(&topology, physical, &known(autoprobe), request).unwrap().steps)
    }

    fn known(autoprobe: bool) -> KnownVfs {
        KnownVfs { autoprobe: Some(autoprobe), ..KnownVfs::default() }
    }

    #[test]
    fn drivers_are_kept_from_vfs_while_these_are_created() {
        assert_eq!(
            first(0, true, &request(4, None, None)),
            ["0 > sriov_drivers_autoprobe after []", "4 > sriov_numvfs after [0]"]
        );
        assert_eq!(first(0, false, &request(4, None, None)), ["4 > sriov_numvfs after []"]);
    }

    /// Of VFs that are there already only the physical function is told their MACs.
    #[test]
    fn the_switch_is_needed_for_whatever_new_vfs_are_to_have() {
        let macs = vec![(0, "02:00:00:00:00:0a".parse().unwrap())];
        let with_macs = |count| VfRequest { count, macs: macs.clone(), ..VfRequest::default() };
        assert!(with_macs(Some(2)).needs_switch() && !with_macs(None).needs_switch());
        assert!(!request(2, None, None).needs_switch() && request(2, None, Some("igbvf")).needs_switch());
        assert!(request(2, Some(true), None).needs_switch() && request(2, Some(false), None).needs_switch());
        assert!(VfRequest { restore: true, ..request(2, None, None) }.needs_switch());
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
        let after = |autoprobe: bool, request: &VfRequest| drivers_of(&known(autoprobe), request, 4);
        let drivers = |driver: Option<&str>, autoprobe: bool| {
            Some(VfDrivers { driver: driver.map(str::to_owned), autoprobe, was: Vec::new(), sleeps: false })
        };
        assert_eq!(after(true, &request(4, None, None)), drivers(None, true));
        assert_eq!(after(true, &request(4, Some(false), None)), None);
        assert_eq!(after(false, &request(4, None, None)), None);
        assert_eq!(after(false, &request(4, Some(true), None)), drivers(None, true));
        assert_eq!(after(false, &request(4, None, Some("x"))), drivers(Some("x"), false));
        assert_eq!(drivers_of(&KnownVfs::default(), &request(4, None, None), 4), None);
    }

    #[test]
    fn an_override_is_there_before_other_drivers_may_come() {
        let (topology, physical) = machine(2, Some("igb"));
        let plan = |driver: Option<&str>, autoprobe: bool| {
            let drivers = VfDrivers { driver: driver.map(str::to_owned), autoprobe, was: Vec::new(), sleeps: false };
            plan_vf_drivers(&topology, physical, &drivers, &[]).phases().map(writes).concat()
        };
        let (on, probe) = ("1 > sriov_drivers_autoprobe after []", "0000:01:11.0 > drivers_probe after []");
        let set = "x > driver_override after []";
        assert_eq!(plan(None, true), [on, probe]);
        assert_eq!(plan(Some("x"), true), [set, probe, on]);
        assert_eq!(plan(Some("x"), false), [set, probe]);
    }

    fn vf_setting(text: &str) -> VfSetting {
        text.parse().unwrap()
    }

    #[test]
    fn macs_are_set_before_drivers_may_come() {
        let (topology, physical) = machine(2, Some("igb"));
        let (one, other) = ("02:00:00:00:00:01".parse().unwrap(), "02:00:00:00:00:02".parse().unwrap());
        let request = |count: usize| VfRequest { macs: vec![(0, one), (1, other)], ..request(count, None, None) };
        let steps = |count: usize, settings: &[VfSetting]| {
            let known = KnownVfs { settings: settings.to_vec(), ..known(true) };
            writes(&plan_vfs(&topology, physical, &known, &request(count)).unwrap().steps)
        };
        assert_eq!(
            steps(3, &[])[2..],
            [
                "0 > sriov_drivers_autoprobe after [0, 1]",
                "3 > sriov_numvfs after [0, 1, 2]",
                "vf 0 mac 02:00:00:00:00:01 > net after [0, 1, 2, 3]",
                "vf 1 mac 02:00:00:00:00:02 > net after [0, 1, 2, 3, 4]",
            ]
        );
        let now = ["vf 0 mac 02:00:00:00:00:01", "vf 0 trust on", "vf 1 mac 00:00:00:00:00:00"].map(vf_setting);
        assert_eq!(steps(2, &now), ["vf 1 mac 02:00:00:00:00:02 > net after []"], "the other one is so already");
    }

    #[test]
    fn vfs_become_what_those_before_them_were() {
        let (mut topology, physical) = machine(0, Some("igb"));
        let port = topology.function(physical).parent;
        for index in 0..5 {
            let address = PciAddress { domain: 0, bus: 1, device: 16 + index, function: 0 };
            let vf = topology.add_function(port, address, None, None);
            topology.set_virtual(vf, VirtualOf { physical, index: Some(index.into()) });
        }
        let was = |driver: Option<&str>, driver_override: Option<&str>, settings: &[&str]| VirtualRecord {
            address: "0000:01:10.0".parse().unwrap(),
            driver: driver.map(str::to_owned),
            driver_override: driver_override.map(str::to_owned),
            settings: settings.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let was = vec![
            was(Some("igbvf"), None, &["mac 02:00:00:00:00:01", "trust on", "spoofchk on"]),
            was(Some("vfio-pci"), Some("vfio-pci"), &["mac 00:00:00:00:00:00"]),
            was(None, Some("pci-stub"), &[]),
            was(None, None, &[]),
        ];
        let plan = |autoprobe: bool| {
            let drivers = VfDrivers { driver: None, autoprobe, was: was.clone(), sleeps: false };
            let now = ["vf 0 mac 00:00:00:00:00:00", "vf 0 trust off", "vf 0 spoofchk on"].map(vf_setting);
            plan_vf_drivers(&topology, physical, &drivers, &now).phases().map(writes)
        };
        let settings = ["vf 0 mac 02:00:00:00:00:01 > net after []", "vf 0 trust on > net after []"];
        let overrides = ["vfio-pci > driver_override after []", "pci-stub > driver_override after []"];
        let probe = |device: &str| format!("0000:01:{device}.0 > drivers_probe after []");
        let on = "1 > sriov_drivers_autoprobe after []";
        assert_eq!(
            plan(true).map(|phase| phase.join(", ")),
            [
                settings.join(", "),
                overrides.join(", "),
                probe("11"),
                on.to_owned(),
                // The last one is one more than there were, and the fourth had no driver.
                [probe("10"), probe("14")].join(", "),
                String::new()
            ]
        );
        // Kept from drivers, the first one needs an override for its own, and no other is asked for.
        assert_eq!(
            plan(false)[1..].concat(),
            [
                "igbvf > driver_override after []".to_owned(),
                overrides[0].to_owned(),
                overrides[1].to_owned(),
                probe("10"),
                probe("11"),
                "\n > driver_override after []".to_owned(),
            ]
        );
    }

    #[test]
    fn without_its_driver_a_physical_function_keeps_what_it_has() {
        let (topology, physical) = machine(2, None);
        let error = plan_vfs(&topology, physical, &known(true), &request(0, None, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(plan_vfs(&topology, physical, &known(true), &request(2, None, None)).is_ok());
    }

    #[test]
    fn a_physical_function_without_a_driver_has_nobody_to_ask() {
        let (topology, physical) = machine(0, None);
        let refused = refuse_undriven(&topology, physical).unwrap_err();
        assert!(refused.to_string().contains("only its driver can change the number of its VFs"));
        let (topology, physical) = machine(0, Some("igb"));
        assert!(refuse_undriven(&topology, physical).is_ok());
    }
}
