//! What a function is, beyond its place: link, NUMA node, slot, names; read when it is shown.

use std::collections::HashMap;
use std::sync::Arc;

use crate::host::pci_ids::PciIds;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::ids::{Ids, ids_text};
use crate::report::change::FunctionSummary;
use crate::report::columns::{Column, ColumnSet};
use crate::report::details::Details;
use crate::report::rows::FunctionRow;
use crate::resolve::class_names::{all_names, known_names, names_of, things};
use crate::topology::attributes::Attributes;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};
use crate::topology::paths::DEVICES;

/// Reads what rows show, and keeps what many rows share.
pub(crate) struct Inspector<'a> {
    sysfs: &'a Sysfs,
    /// The rest of what sysfs tells.
    pub(crate) attributes: Attributes<'a>,
    names: Option<PciIds>,
    /// What people call the things on every function, if that was read.
    things: Option<HashMap<PciAddress, Vec<String>>>,
}

/// What a topology must have read to show these columns.
pub(crate) fn fields_for(columns: &[Column]) -> Fields {
    let any = |wanted: &[Column]| columns.iter().any(|column| wanted.contains(column));
    let ids = any(&Column::OF_IDS);
    Fields {
        ids: if ids { IdsOf::Devices } else { IdsOf::Nobody },
        driver: any(&[Column::Driver, Column::InUse]),
        virtual_of: any(&[Column::Place, Column::Link, Column::InUse, Column::Lock]),
        index: any(&[Column::Place, Column::Lock]),
        buses: false,
    }
}

/// What the topology itself knows, and what is filled in by others: for these no function's directory is needed.
const IN_TOPOLOGY: [Column; 12] = [
    Column::Address,
    Column::Class,
    Column::ClassCode,
    Column::Name,
    Column::Ids,
    Column::Subsystem,
    Column::Driver,
    Column::Slot,
    Column::Place,
    Column::InUse,
    Column::Override,
    Column::Lock,
];

fn needs_things(columns: &[Column]) -> bool {
    columns.iter().any(|column| matches!(column, Column::Names | Column::Serial | Column::Mac))
}

impl<'a> Inspector<'a> {
    /// An inspector of this tree; reads nothing yet.
    pub(crate) fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, attributes: Attributes::new(sysfs), names: None, things: None }
    }

    /// Reads at once what people call the things on all functions, for whoever asks for most of them.
    pub(crate) fn with_all_things(mut self, columns: &[Column]) -> Self {
        if needs_things(columns) {
            self.things = Some(all_names(self.sysfs));
        }
        self
    }

    /// Knows the class devices of a function already.
    pub(crate) fn know_devices(&mut self, address: PciAddress, devices: &[String]) {
        self.things.get_or_insert_default().insert(address, known_names(devices.to_vec()));
    }

    /// The name of a function's subsystem.
    pub(crate) fn subsystem_name(&mut self, ids: Ids) -> Option<String> {
        self.names().subsystem(ids)
    }

    /// What people call the things on a function, as `net/eth0`.
    fn things(&self, address: PciAddress, path: &str) -> Vec<String> {
        match &self.things {
            Some(things) => things.get(&address).cloned().unwrap_or_default(),
            None => names_of(&self.attributes, path),
        }
    }

    /// What somebody would miss who lost a function: its disks, interfaces and the like, by their plain names.
    pub(crate) fn things_on(&self, address: PciAddress) -> Vec<String> {
        things(&self.things(address, &format!("{DEVICES}/{address}")))
    }

    /// The first serial number that a function's devices tell.
    pub(crate) fn serial_number(&self, address: PciAddress) -> Option<String> {
        let path = format!("{DEVICES}/{address}");
        let details =
            Details::read(self.sysfs, &self.attributes, &path, &self.things(address, &path), &[Column::Serial])?;
        Some(details.serial_numbers?.into_iter().next()?.value)
    }

    /// Names from pci.ids, which is opened when the first one is asked for.
    fn names(&mut self) -> &mut PciIds {
        self.names.get_or_insert_with(|| PciIds::load(self.sysfs.files()))
    }

    /// One function with these columns filled in.
    pub(crate) fn row(&mut self, topology: &Topology, id: FunctionId, columns: &[Column]) -> FunctionRow {
        let function = topology.function(id);
        let ids = function.ids;
        let wants = |column: Column| columns.contains(&column);
        let is_virtual = function.virtual_of.is_some();
        let path =
            if columns.iter().any(|column| !IN_TOPOLOGY.contains(column)) { topology.path(id) } else { String::new() };
        let things = if needs_things(columns) { self.things(function.address, &path) } else { Vec::new() };
        let details = Details::read(self.sysfs, &self.attributes, &path, &things, columns);
        FunctionRow {
            columns: ColumnSet::of(columns),
            address: function.address,
            class: ids.filter(|_| wants(Column::Class)).map(|ids| self.class(ids)),
            name: ids.filter(|_| wants(Column::Name)).map(|ids| self.names().function(ids)),
            ids,
            driver: function.driver.clone().filter(|_| wants(Column::Driver)),
            // A virtual function's is its PF's; its own registers read zero.
            link: if wants(Column::Link) && !is_virtual { self.attributes.link(&path).map(Box::new) } else { None },
            numa_node: if wants(Column::Numa) { self.attributes.numa_node(&path) } else { None },
            slot: if wants(Column::Slot) { self.attributes.slot(function.address) } else { None },
            iommu_group: if wants(Column::Iommu) { self.attributes.iommu_group(&path) } else { None },
            names: wants(Column::Names).then_some(things),
            place: (wants(Column::Place) || wants(Column::Lock)).then(|| topology.place(id)),
            details,
        }
    }

    /// A function as the report of a change names it.
    pub(crate) fn seen(&mut self, address: PciAddress, ids: Option<Ids>, driver: Option<&str>) -> FunctionSummary {
        FunctionSummary {
            address,
            ids: ids.map(ids_text),
            name: ids.map(|ids| self.names().function(ids).to_string()),
            driver: driver.map(str::to_owned),
        }
    }

    /// "Class, vendor and device", for messages.
    pub(crate) fn description(&mut self, ids: Ids) -> String {
        format!("{}, {}", self.class(ids), self.names().function(ids))
    }

    fn class(&mut self, ids: Ids) -> Arc<str> {
        self.names().class(ids.class).unwrap_or_else(|| format!("Class {:04x}", ids.class >> 8).into())
    }
}
