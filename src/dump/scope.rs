//! Which functions a dump holds: all, or some with their ancestors, what is below them, and their physical functions.

use std::collections::BTreeSet;

use crate::host::sysfs::{Sysfs, follow, last_step};
use crate::order;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::selector::is_host_bridge_name;
use crate::topology::model::Topology;
use crate::topology::paths::{BUSES, DEVICES};

/// Which functions are copied, and below which host bridges they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct DumpScope {
    /// None means all.
    functions: Option<BTreeSet<PciAddress>>,
    /// The directories below `sys` of the host bridges that sit below no function, sorted.
    pub(crate) host_bridges: Vec<String>,
}

impl DumpScope {
    /// The whole machine.
    pub(crate) fn everything(sysfs: &Sysfs) -> Self {
        Self { functions: None, host_bridges: host_bridges(sysfs, |_| true) }
    }

    /// These functions with all below them, of a topology that was read around them, and these host bridges.
    pub(crate) fn of(sysfs: &Sysfs, topology: &Topology, targets: &[PciAddress], bridges: &[String]) -> Self {
        let mut wanted = BTreeSet::new();
        for id in targets.iter().filter_map(|address| topology.find(*address)) {
            let below = topology.subtree(id);
            let physical = topology.function(id).virtual_of.map(|of| of.physical);
            for id in below.into_iter().chain(physical) {
                let above = std::iter::once(id).chain(topology.functions_above(id));
                wanted.extend(above.map(|id| topology.function(id).address));
            }
        }
        let is_near = |path: &str| {
            bridges.iter().any(|bridge| bridge == path)
                || path
                    .split('/')
                    .filter_map(PciAddress::from_sysfs_name)
                    .next_back()
                    .is_some_and(|a| wanted.contains(&a))
        };
        let host_bridges = host_bridges(sysfs, is_near);
        Self { functions: Some(wanted), host_bridges }
    }

    /// Whether a function is copied.
    pub(crate) fn has(&self, address: PciAddress) -> bool {
        self.functions.as_ref().is_none_or(|functions| functions.contains(&address))
    }

    /// Whether what stands at a path, or what a link leads to, is copied: it belongs to a function that is, or to none.
    pub(crate) fn keeps(&self, path: &str) -> bool {
        if self.functions.is_none() {
            return true;
        }
        match path.split('/').filter_map(PciAddress::from_sysfs_name).next_back() {
            Some(address) => self.has(address),
            None => match path.split('/').rfind(|step| is_host_bridge_name(step)) {
                Some(bridge) => self.host_bridges.iter().any(|path| last_step(path) == bridge),
                None => true,
            },
        }
    }
}

/// The topmost host bridges above the functions and buses whose directories are wanted, by the text of their links.
fn host_bridges(sysfs: &Sysfs, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = BTreeSet::new();
    for directory in [DEVICES, BUSES] {
        for name in sysfs.names(directory).ok().flatten().unwrap_or_default() {
            if PciAddress::from_sysfs_name(&name).is_none() && name.parse::<BusNumber>().is_err() {
                continue;
            }
            let target = sysfs.link(&format!("{directory}/{name}")).ok().flatten();
            let Some(path) = target.and_then(|target| follow(directory, &target)) else { continue };
            let path = path.split("/pci_bus/").next().unwrap_or_default();
            if is_wanted(path) {
                found.extend(topmost(path));
            }
        }
    }
    let mut found: Vec<String> = found.into_iter().collect();
    order::sort(&mut found);
    found
}

/// The path up to its first host bridge, which must be below `devices`.
fn topmost(path: &str) -> Option<String> {
    let mut end = 0;
    for step in path.split('/') {
        end += step.len();
        if is_host_bridge_name(step) {
            return path.starts_with("devices/").then(|| path[..end].to_owned());
        }
        end += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_bridge_below_a_function_is_not_the_topmost() {
        let vmd = "devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:02.0";
        assert_eq!(topmost(vmd).as_deref(), Some("devices/pci0000:00"));
        let hyperv = "devices/LNXSYSTM:00/VMBUS:01/47505500/pci1234:00/1234:00:00.0";
        assert_eq!(topmost(hyperv).as_deref(), Some("devices/LNXSYSTM:00/VMBUS:01/47505500/pci1234:00"));
        assert_eq!(topmost("etc/pci0000:00"), None);
    }
}
