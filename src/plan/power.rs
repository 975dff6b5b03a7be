//! The plan that changes power settings of functions.
//!
//! None of these writes takes the kernel's PCI mutex: control_store and wakeup_store (drivers/base/power/sysfs.c) take the
//! device's lock and resume what is above it, d3cold_allowed_store (drivers/pci/pci-sysfs.c) resumes it.

use crate::error::{Error, ErrorKind, Result};
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan};
use crate::plan::drivers::{claimed, from_below};
use crate::topology::model::{FunctionId, Topology};

/// Whether the kernel may put the function to sleep: `auto` or `on`.
pub(crate) const CONTROL: &str = "power/control";

/// Whether it may be put to sleep without power: 1 or 0.
pub(crate) const D3COLD: &str = "d3cold_allowed";

/// Whether it may wake the machine: `enabled` or `disabled`.
pub(crate) const WAKEUP: &str = "power/wakeup";

/// What is to be set, as the files take it; none where it is to stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PowerSettings {
    /// `auto` or `on`.
    pub(crate) control: Option<&'static str>,
    /// 1 or 0.
    pub(crate) d3cold: Option<&'static str>,
    /// `enabled` or `disabled`.
    pub(crate) wakeup: Option<&'static str>,
}

impl PowerSettings {
    /// What is to be set, in the order in which it is written: a function is woken before all else is set, and may sleep
    /// only when it is.
    pub(crate) fn in_order(&self) -> Vec<(&'static str, &'static str)> {
        let control = self.control.map(|value| (CONTROL, value));
        let first = control.filter(|(_, value)| *value == "on");
        let last = control.filter(|(_, value)| *value != "on");
        let others = [self.d3cold.map(|value| (D3COLD, value)), self.wakeup.map(|value| (WAKEUP, value))];
        first.into_iter().chain(others.into_iter().flatten()).chain(last).collect()
    }
}

/// Sets these of each function; what is so already needs no step. `now` is what a file says, by the function's directory
/// and the file's name.
///
/// # Errors
/// A function has no such setting.
pub(crate) fn plan_power(
    topology: &Topology,
    targets: &[FunctionId],
    wanted: &PowerSettings,
    now: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<Plan> {
    let mut plan = Plan::default();
    for id in from_below(topology, targets) {
        let (address, path) = (topology.function(id).address, topology.path(id));
        let mut before: Vec<usize> = Vec::new();
        for (file, value) in wanted.in_order() {
            // wakeup_show prints nothing for what cannot wake the machine.
            let was = now(&path, file).filter(|was| !was.is_empty()).ok_or_else(|| lacks(address, file))?;
            if was != value {
                let set = Action::Set { address, file: file.to_owned(), value: value.to_owned(), was };
                before.push(plan.push(set, &path, before.clone()));
            }
        }
    }
    Ok(claimed(topology, plan))
}

fn lacks(address: PciAddress, file: &str) -> Error {
    let why = match file {
        CONTROL => "this kernel cannot put functions to sleep (it has no power/control)",
        D3COLD => "this kernel does not let anybody say whether it may lose its power (it has no d3cold_allowed)",
        _ => "it cannot wake the machine",
    };
    Error::new(ErrorKind::Unsupported, format!("{address}: {why}")).about(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::Parent;

    fn writes(wanted: &PowerSettings, now: &dyn Fn(&str, &str) -> Option<String>) -> Result<Vec<String>> {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let id = topology.add_function(Parent::HostBridge(host), "0000:00:02.0".parse().unwrap(), None, None);
        let plan = plan_power(&topology, &[id], wanted, now)?;
        Ok(plan.steps.iter().map(|step| format!("{} after {:?}", step.value, step.after)).collect())
    }

    #[test]
    fn a_function_is_awake_while_it_is_set() {
        let now = |_: &str, _: &str| Some("other".to_owned());
        let all = |control| PowerSettings { control: Some(control), d3cold: Some("1"), wakeup: Some("enabled") };
        assert_eq!(writes(&all("auto"), &now).unwrap(), ["1 after []", "enabled after [0]", "auto after [0, 1]"]);
        assert_eq!(writes(&all("on"), &now).unwrap(), ["on after []", "1 after [0]", "enabled after [0, 1]"]);
    }

    #[test]
    fn what_is_so_needs_nothing_and_what_it_lacks_is_unsupported() {
        let wanted = PowerSettings { control: Some("on"), wakeup: Some("enabled"), ..PowerSettings::default() };
        let so = |_: &str, file: &str| Some(if file == CONTROL { "on" } else { "enabled" }.to_owned());
        assert!(writes(&wanted, &so).unwrap().is_empty());
        let cannot = |_: &str, file: &str| Some(if file == CONTROL { "on" } else { "" }.to_owned());
        assert_eq!(writes(&wanted, &cannot).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
