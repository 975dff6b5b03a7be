//! What of a function must be as before once it was reset where it is: that it answers, its driver, link, addresses and VFs.
//! And how many errors were counted meanwhile, which may be no harm: a link that trains anew counts some.

use serde::Serialize;

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::verify::capture::Observer;
use crate::verify::compare::{Difference, DifferenceKind, compare, missing};
use crate::verify::overrides::Overrides;
use crate::verify::record::DeviceRecord;

/// Counters of one function itself (drivers/pci/pcie/aer.c, read from memory), by the line that adds up each kind.
const OWN_COUNTERS: [(&str, &str, &str); 3] = [
    ("correctable", "aer_dev_correctable", "TOTAL_ERR_COR"),
    ("nonfatal", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"),
    ("fatal", "aer_dev_fatal", "TOTAL_ERR_FATAL"),
];

/// What a root port has seen of all that is below it.
const PORT_COUNTERS: [(&str, &str); 3] = [
    ("correctable", "aer_rootport_total_err_cor"),
    ("nonfatal", "aer_rootport_total_err_nonfatal"),
    ("fatal", "aer_rootport_total_err_fatal"),
];

/// A function at one moment.
#[derive(Clone, Debug)]
pub(crate) struct FunctionState {
    record: DeviceRecord,
    /// The lines of `resource`: addresses and flags.
    resources: Vec<String>,
    counters: Vec<ErrorCount>,
}

/// How many errors of a kind a function or its root port has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ErrorCount {
    /// Who has counted.
    pub(crate) address: PciAddress,
    /// `correctable`, `nonfatal` or `fatal`.
    pub(crate) severity: &'static str,
    /// How many.
    pub(crate) count: u64,
}

impl FunctionState {
    /// Those of these functions that are there.
    pub(crate) fn of_all(sysfs: &Sysfs, topology: &Topology, addresses: &[PciAddress]) -> Vec<Self> {
        let mut observer = Observer::new(sysfs);
        let found = addresses.iter().filter_map(|address| topology.find(*address));
        found.map(|id| Self::of(sysfs, &mut observer, topology, id)).collect()
    }

    fn of(sysfs: &Sysfs, observer: &mut Observer, topology: &Topology, id: FunctionId) -> Self {
        let resource = sysfs.read(&format!("{}/resource", topology.path(id))).ok().flatten().unwrap_or_default();
        Self {
            record: observer.record(topology, id, &Overrides::new()),
            resources: resource.lines().map(str::to_owned).collect(),
            counters: counters(sysfs, topology, id),
        }
    }

    /// The function.
    pub(crate) fn address(&self) -> PciAddress {
        self.record.address
    }

    /// The driver that it had.
    pub(crate) fn driver(&self) -> Option<&str> {
        self.record.driver.as_deref()
    }

    /// How many VFs it had.
    pub(crate) fn vfs(&self) -> usize {
        self.record.vfs.len()
    }

    /// What differs now, and which counters rose by how much.
    pub(crate) fn compare_with_now(&self, sysfs: &Sysfs) -> (Vec<Difference>, Vec<ErrorCount>) {
        let address = self.address();
        let topology = Topology::load_around(sysfs, &[address], Fields::ALL).unwrap_or_default();
        let Some(id) = topology.find(address) else {
            return (vec![missing(&self.record, "gone since the reset")], Vec::new());
        };
        let now = Self::of(sysfs, &mut Observer::new(sysfs), &topology, id);
        let mut differences = self.differences(&now);
        let is_virtual = topology.function(id).virtual_of.is_some();
        if answers(sysfs, &topology.path(id), is_virtual) == Some(false) {
            let (old, new) = (self.record.ids.clone(), Some("does not answer".to_owned()));
            differences.insert(0, self.difference(DifferenceKind::Device, "configuration space", old, new));
        }
        (differences, self.risen(&now))
    }

    /// Names are left out, as they come back when the driver is ready, which may be later.
    fn differences(&self, now: &Self) -> Vec<Difference> {
        let counts = |finding: &Difference| {
            let kinds = [DifferenceKind::Device, DifferenceKind::Driver, DifferenceKind::Link, DifferenceKind::Vfs];
            kinds.contains(&finding.kind)
        };
        let mut found: Vec<Difference> = compare(&self.record, &now.record).into_iter().filter(counts).collect();
        for (index, (old, new)) in self.resources.iter().zip(&now.resources).enumerate() {
            if old != new {
                let (old, new) = (Some(old.clone()), Some(new.clone()));
                found.push(self.difference(DifferenceKind::Bars, &format!("resource {index}"), old, new));
            }
        }
        found
    }

    fn difference(&self, kind: DifferenceKind, what: &str, old: Option<String>, new: Option<String>) -> Difference {
        let (address, what, place) = (Some(self.address()), what.to_owned(), Some(self.record.place.clone()));
        Difference { kind, address, what, old, new, matters: true, why: None, place }
    }

    fn risen(&self, now: &Self) -> Vec<ErrorCount> {
        let rise = |new: &ErrorCount| {
            let is_same = |old: &&ErrorCount| old.address == new.address && old.severity == new.severity;
            let before = self.counters.iter().find(is_same)?.count;
            let count = new.count.checked_sub(before).filter(|count| *count > 0)?;
            Some(ErrorCount { count, ..new.clone() })
        };
        now.counters.iter().filter_map(rise).collect()
    }
}

fn counters(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Vec<ErrorCount> {
    let mut counters = Vec::new();
    let (address, path) = (topology.function(id).address, topology.path(id));
    for (severity, file, total) in OWN_COUNTERS {
        let text = sysfs.read(&format!("{path}/{file}")).ok().flatten().unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix(total)?.trim().parse().ok());
        counters.extend(count.map(|count| ErrorCount { address, severity, count }));
    }
    let mut above = topology.function_above(id);
    while let Some(port) = above {
        let (address, path) = (topology.function(port).address, topology.path(port));
        for (severity, file) in PORT_COUNTERS {
            let count = sysfs.value(&format!("{path}/{file}")).and_then(|text| text.parse().ok());
            counters.extend(count.map(|count| ErrorCount { address, severity, count }));
        }
        above = topology.function_above(port);
    }
    counters
}

/// Whether a function answers; none if nobody can tell. All ones come from a device that does not. The ids of a VF read as
/// ones all the same (PCI Express Base 9.3.4.1), its revision and class do not.
fn answers(sysfs: &Sysfs, path: &str, is_virtual: bool) -> Option<bool> {
    /// What may be read of any device without harm.
    const HEADER: usize = 64;
    let header = sysfs.read_bytes(&format!("{path}/config"), HEADER).ok()??;
    let word = if is_virtual { header.get(8..12) } else { header.get(0..2) }?;
    Some(word.iter().any(|byte| *byte != 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::place::Place;

    fn state(resources: &[&str], driver: Option<&str>, correctable: u64) -> FunctionState {
        let address = "0000:01:00.0".parse().unwrap();
        let record = DeviceRecord {
            driver: driver.map(str::to_owned),
            ..DeviceRecord::at(Place::from_chain("pci0000:00/01.0/00.0").unwrap(), address)
        };
        let resources = resources.iter().map(|line| (*line).to_owned()).collect();
        let counters = vec![ErrorCount { address, severity: "correctable", count: correctable }];
        FunctionState { record, resources, counters }
    }

    #[test]
    fn what_is_not_as_before_is_told() {
        let was = state(&["0x1 0x2 0x200", "0x0 0x0 0x0"], Some("nvme"), 1);
        let now = state(&["0x0 0x1 0x20000200", "0x0 0x0 0x0"], None, 4);
        let found: Vec<String> = was.differences(&now).into_iter().map(|finding| finding.what).collect();
        assert_eq!(found, ["driver", "resource 0"]);
        assert_eq!(was.risen(&now)[0].count, 3);
        assert!(was.differences(&was).is_empty() && was.risen(&was).is_empty());
    }
}
