//! What was left behind on a machine whose kernel is well: settings and devices that somebody forgot.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::address::PciAddress;
use crate::sysfs::Sysfs;
use crate::topology::{FunctionId, Topology};

/// Something that was left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The function that it is about, if it is about one.
    pub address: Option<PciAddress>,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub helps: String,
}

/// What the tree of devices shows. Functions that somebody is at work on are not looked at: a driver that is being stopped
/// is gone from its device already, and one that is being started is not there yet.
pub fn in_tree(sysfs: &Sysfs, topology: &Topology, is_at_work: &dyn Fn(FunctionId) -> bool) -> Vec<Leftover> {
    let mut found = Vec::new();
    if sysfs.read("bus/pci/drivers_autoprobe").ok().flatten().as_deref() == Some("0") {
        found.push(Leftover {
            address: None,
            what: "drivers_autoprobe is off: devices that come get no driver".to_owned(),
            helps: "echo 1 > /sys/bus/pci/drivers_autoprobe".to_owned(),
        });
    }
    let aliases = aliases(sysfs.root());
    for id in topology.by_address() {
        if topology.function(id).driver.is_none() && !is_at_work(id) {
            found.extend(without_driver(sysfs, topology, id, &aliases));
        }
    }
    found
}

fn without_driver(sysfs: &Sysfs, topology: &Topology, id: FunctionId, aliases: &str) -> Option<Leftover> {
    let address = topology.function(id).address;
    let vfs = topology.virtual_functions(id).len();
    if vfs > 0 {
        return Some(Leftover {
            address: Some(address),
            what: format!("{address}: has no driver, but {vfs} virtual functions are on"),
            helps: format!("bind its driver, and set its number of VFs to 0 before {address} is removed"),
        });
    }
    let modalias = sysfs.read(&format!("bus/pci/devices/{address}/modalias")).ok().flatten()?;
    let module = loaded_module(sysfs, aliases, &modalias)?;
    Some(Leftover {
        address: Some(address),
        what: format!("{address}: has no driver, and module {module} is loaded and has one for it"),
        helps: format!("echo {address} > /sys/bus/pci/drivers_probe, if nobody keeps it unbound on purpose"),
    })
}

/// A module that is loaded, has a PCI driver and says that it serves such a device. Which of its drivers, only the kernel
/// knows.
fn loaded_module(sysfs: &Sysfs, aliases: &str, modalias: &str) -> Option<String> {
    let has_driver = |module: &str| {
        let directory = format!("module/{}/drivers", module.replace('-', "_"));
        let names = sysfs.names(&directory).ok().flatten();
        names.is_some_and(|names| names.iter().any(|name| name.starts_with("pci:")))
    };
    aliases.lines().find_map(|line| {
        let (pattern, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
        (pattern.starts_with("pci:") && fits(pattern, modalias) && has_driver(module)).then(|| module.to_owned())
    })
}

/// The running kernel's list of which module serves what; empty where there is none.
fn aliases(root: &Path) -> String {
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    fs::read_to_string(root.join("lib/modules").join(release.trim()).join("modules.alias")).unwrap_or_default()
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_modprobe_has_it() {
        let edu = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00";
        for (pattern, expected) in [
            ("pci:v00001234d000011E8sv*sd*bc*sc*i*", true),
            ("pci:v*d*sv*sd*bc00scFFi00*", true),
            ("pci:v*d*sv*sd*bc01sc08i02*", false),
            ("pci:v00001234d000011E9sv*sd*bc*sc*i*", false),
            ("pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", true),
            ("pci:v00001234", false),
        ] {
            assert_eq!(fits(pattern, edu), expected, "{pattern}");
        }
    }
}
