//! What is on the machine, read once for an answer: functions, and what people call the things on them.
//!
//! No more is read than `list` reads by default without its links: nothing here asks hardware or a driver, and nobody looks
//! at processes.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::host::pci_ids::PciIds;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::resolve::class_names::{all_names, things};
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{Function, FunctionId, Topology};

/// The functions of a machine.
pub(crate) struct Devices<'a> {
    /// Where they were read.
    pub(crate) sysfs: &'a Sysfs,
    /// How they hang together.
    pub(crate) topology: Topology,
    /// Interfaces, disks and the like, as `net/eth0`.
    pub(crate) names: HashMap<PciAddress, Vec<String>>,
    /// In the order of their addresses.
    ids: Vec<FunctionId>,
    pci_ids: RefCell<PciIds>,
}

impl<'a> Devices<'a> {
    /// Those of this machine; none where it has no PCI.
    pub(crate) fn read(sysfs: &'a Sysfs) -> Option<Self> {
        let fields = Fields { ids: IdsOf::Devices, driver: true, ..Fields::default() };
        let topology = Topology::load_all(sysfs, fields).ok()?;
        let pci_ids = RefCell::new(PciIds::load(sysfs.files()));
        Some(Self { sysfs, ids: topology.by_address(), topology, names: all_names(sysfs), pci_ids })
    }

    /// All functions, in the order of their addresses.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.ids.iter().map(|id| self.topology.function(*id))
    }

    /// What a function is: the class, what people call the things on it, its driver, and whose device it is.
    pub(crate) fn describe(&self, function: &Function) -> String {
        let things = self.names.get(&function.address).map(|names| things(names)).unwrap_or_default();
        self.description(function.ids, &things, function.driver.as_deref())
    }

    /// The same for what may not be there.
    pub(crate) fn description(&self, ids: Option<Ids>, things: &[String], driver: Option<&str>) -> String {
        let mut parts: Vec<String> = ids.map(|ids| self.class(ids.class)).into_iter().collect();
        parts.extend((!things.is_empty()).then(|| things.join(" ")));
        parts.extend(driver.map(str::to_owned));
        parts.extend(ids.map(|ids| self.device(ids)));
        parts.join(", ")
    }

    /// The name of a class.
    pub(crate) fn class(&self, class: u32) -> String {
        let name = self.pci_ids.borrow_mut().class(class);
        name.map_or_else(|| format!("class {:04x}", class >> 8), |name| name.to_string())
    }

    /// Vendor and device by name.
    pub(crate) fn device(&self, ids: Ids) -> String {
        self.pci_ids.borrow_mut().function(ids).to_string()
    }
}
