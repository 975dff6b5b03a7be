//! The plan of `--restore`: what a function had been set to, and is not any more since it came back.
//!
//! In this order: VFs with their MACs and drivers; then driver overrides, of VFs, too, that were there already; then power
//! settings. One case turns it around: a physical function that needs its override to have the driver that makes VFs.

use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan, VfDrivers};
use crate::plan::awake::MAY_SLEEP;
use crate::plan::drivers::is_driver_name;
use crate::plan::power::{CONTROL, D3COLD, WAKEUP};
use crate::topology::vf_setting::{VfSetting, to_change};
use crate::verify::record::{DeviceRecord, VirtualRecord};

/// What may be written to power settings again: nothing that a damaged ledger could make harmful.
const POWER_VALUES: [(&str, &[&str]); 3] =
    [(CONTROL, &["on", "auto"]), (D3COLD, &["0", "1"]), (WAKEUP, &["enabled", "disabled"])];

/// The first half: VFs, and what it takes to have them. They are created while drivers are kept from them, so that each finds
/// its MAC and gets the driver that it had and no other. `autoprobe` says whether drivers take VFs that appear, none if this
/// kernel has no such switch (before 4.13).
pub(crate) fn plan_virtual(was: &DeviceRecord, now: &DeviceRecord, autoprobe: Option<bool>, directory: &str) -> Plan {
    let mut plan = Plan::default();
    if now.vfs.len() >= was.vfs.len() {
        return plan;
    }
    if now.driver != was.driver {
        override_driver(&mut plan, now.address, was.driver_override.as_deref(), now.driver.as_deref());
    }
    // The kernel changes the number only from zero: those that are there would have to go first, and may be in use.
    if !now.vfs.is_empty() {
        return plan;
    }
    let (address, count) = (now.address, was.vfs.len());
    match autoprobe {
        None => plan.push_last(Action::set_vfs(address, count, 0, false), directory),
        Some(autoprobe) => {
            if autoprobe {
                plan.push_last(Action::autoprobe(address, false), directory);
            }
            let drivers = Some(VfDrivers { driver: None, autoprobe, was: was.vfs.clone(), sleeps: false });
            plan.push_last(Action::CreateVfs { address, count, drivers }, directory);
        }
    }
    // By a rule of udev, for instance, as soon as it was there.
    let may_sleep = now.power.get(CONTROL).is_some_and(|control| control == MAY_SLEEP);
    plan.keep_awake(true, &|_| may_sleep.then(|| directory.to_owned()));
    plan
}

/// The second half, to be planned when the VFs are there.
pub(crate) fn plan_settings(was: &DeviceRecord, now: &DeviceRecord, directory: &str) -> Plan {
    let (mut plan, physical) = (Plan::default(), now.address);
    if now.driver != was.driver {
        override_driver(&mut plan, physical, was.driver_override.as_deref(), now.driver.as_deref());
    }
    for (vf, (old, new)) in (0..).zip(was.vfs.iter().zip(&now.vfs)) {
        for (value, now) in to_change(&old.settings, &new.settings) {
            let (setting, was) = (VfSetting { vf, value }, now.map(|value| VfSetting { vf, value }));
            plan.push_last(Action::SetVf { address: physical, setting, was }, directory);
        }
        if new.driver != old.driver {
            virtual_driver(&mut plan, old, new);
        }
    }
    for (file, allowed) in POWER_VALUES {
        let (old, new) = (was.power.get(file), now.power.get(file));
        let Some(value) = old.filter(|value| new.is_some() && new != Some(value) && allowed.contains(&value.as_str()))
        else {
            continue;
        };
        let (file, value) = (file.to_owned(), value.clone());
        let was = new.cloned().unwrap_or_default();
        plan.push_last(Action::Set { address: now.address, file, value, was }, directory);
    }
    plan
}

fn virtual_driver(plan: &mut Plan, old: &VirtualRecord, new: &VirtualRecord) {
    let address = new.address;
    match (&old.driver_override, &old.driver) {
        // Drivers were kept from it when it was restored before, and something came between.
        (None, Some(driver)) if new.driver.is_none() && is_driver_name(driver) => {
            plan.push_last(Action::Probe { address, driver: Some(driver.clone()) }, &address.sysfs_link());
        }
        (wanted, _) => override_driver(plan, address, wanted.as_deref(), new.driver.as_deref()),
    }
}

/// Sets the override, lets the wrong driver go, and has the right one asked.
fn override_driver(plan: &mut Plan, address: PciAddress, wanted: Option<&str>, driver: Option<&str>) {
    let Some(wanted) = wanted.filter(|name| is_driver_name(name)).filter(|wanted| driver != Some(wanted)) else {
        return;
    };
    let directory = address.sysfs_link();
    plan.push_last(Action::overriding(address, wanted.to_owned()), &directory);
    if let Some(driver) = driver {
        plan.push_last(Action::Unbind { address, driver: driver.to_owned(), driver_override: None }, &directory);
    }
    plan.push_last(Action::Probe { address, driver: Some(wanted.to_owned()) }, &directory);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::address::PciAddress;
    use crate::pci::place::Place;
    use crate::plan::action::Plan;
    use crate::verify::record::{DeviceRecord, VirtualRecord};

    fn at(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    fn vf(address: &str, driver: &str, driver_override: Option<&str>) -> VirtualRecord {
        let driver_override = driver_override.map(str::to_owned);
        VirtualRecord { address: at(address), driver: Some(driver.to_owned()), driver_override, settings: Vec::new() }
    }

    fn record() -> DeviceRecord {
        DeviceRecord {
            driver: Some("mlx5_core".into()),
            power: [("power/control".to_owned(), "auto".to_owned()), ("d3cold_allowed".to_owned(), "1".to_owned())]
                .into(),
            ..DeviceRecord::at(Place::root(), at("0000:01:00.0"))
        }
    }

    fn writes(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|step| format!("{} > {}", step.value, step.file)).collect()
    }

    #[test]
    fn vfs_come_first_then_their_drivers_then_power() {
        let mut was = record();
        was.vfs = vec![vf("0000:01:00.1", "vfio-pci", Some("vfio-pci")), vf("0000:01:00.2", "mlx5_core", None)];
        was.power.insert("power/control".into(), "on".into());
        let mut now = record();
        now.power.insert("power/control".into(), "off".into());
        was.vfs[1].settings = vec!["mac 02:00:00:00:00:01".parse().unwrap(), "trust off".parse().unwrap()];
        assert_eq!(writes(&plan_virtual(&was, &now, None, "d")), ["2 > d/sriov_numvfs"]);
        assert_eq!(writes(&plan_virtual(&was, &now, Some(false), "d")), ["2 > d/sriov_numvfs"]);
        let plan = plan_virtual(&was, &now, Some(true), "d");
        assert_eq!(writes(&plan), ["0 > d/sriov_drivers_autoprobe", "2 > d/sriov_numvfs"]);
        let drivers = VfDrivers { driver: None, autoprobe: true, was: was.vfs.clone(), sleeps: false };
        assert!(matches!(&plan.steps[1].action, Action::CreateVfs { drivers: Some(found), .. } if *found == drivers));
        now.power.insert("power/control".into(), "auto".into());
        let awake = writes(&plan_virtual(&was, &now, Some(true), "d"));
        assert_eq!(awake, [["on > d/power/control".to_owned()].as_slice(), &writes(&plan)].concat(), "it sleeps later");
        let awake = writes(&plan_virtual(&was, &now, None, "d"));
        assert_eq!(awake, ["on > d/power/control", "2 > d/sriov_numvfs", "auto > d/power/control"]);
        now.vfs = vec![vf("0000:01:00.1", "mlx5_core", None), vf("0000:01:00.2", "mlx5_core", None)];
        assert!(plan_virtual(&was, &now, Some(true), "d").steps.is_empty());
        assert_eq!(
            writes(&plan_settings(&was, &now, "d")),
            [
                "vfio-pci > bus/pci/devices/0000:01:00.1/driver_override",
                "0000:01:00.1 > bus/pci/drivers/mlx5_core/unbind",
                "0000:01:00.1 > bus/pci/drivers_probe",
                "vf 1 mac 02:00:00:00:00:01 > d/net",
                "vf 1 trust off > d/net",
                "on > d/power/control",
            ]
        );
    }

    #[test]
    fn vfs_that_are_there_are_not_taken_away_to_have_more() {
        let (mut was, mut now) = (record(), record());
        was.vfs = vec![vf("0000:01:00.1", "x", None), vf("0000:01:00.2", "x", None)];
        now.vfs = vec![vf("0000:01:00.1", "x", None)];
        assert!(plan_virtual(&was, &now, Some(true), "d").steps.is_empty());
    }

    #[test]
    fn what_is_as_it_was_and_what_makes_no_sense_is_not_written() {
        assert!(plan_settings(&record(), &record(), "d").steps.is_empty());
        let mut was = record();
        was.driver = Some("evil".into());
        was.driver_override = Some("../evil\n".into());
        was.power.insert("power/control".into(), "off".into());
        was.power.insert("remove".into(), "1".into());
        assert!(plan_settings(&was, &record(), "d").steps.is_empty());
    }
}
