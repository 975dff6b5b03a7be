//! What a function is, beyond its place: link, NUMA node, slot, names; read when it is shown.

use std::sync::Arc;

use crate::host::pci_ids::PciIds;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::ids::{Ids, ids_text, subsystem_text};
use crate::report::change::FunctionSummary;
use crate::report::rows::{Column, FunctionRow};
use crate::topology::attributes::Attributes;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};

/// Reads what rows show, and keeps what many rows share.
pub(crate) struct Inspector<'a> {
    sysfs: &'a Sysfs,
    /// The rest of what sysfs tells.
    pub(crate) attributes: Attributes<'a>,
    names: Option<PciIds>,
}

/// What a topology must have read to show these columns.
pub(crate) fn fields_for(columns: &[Column]) -> Fields {
    let any = |wanted: &[Column]| columns.iter().any(|column| wanted.contains(column));
    let ids = any(&[Column::Class, Column::ClassCode, Column::Name, Column::Ids, Column::Subsystem]);
    Fields {
        ids: if ids { IdsOf::Devices } else { IdsOf::Nobody },
        driver: any(&[Column::Driver, Column::InUse]),
        virtual_of: any(&[Column::Place, Column::Link, Column::InUse]),
        index: any(&[Column::Place]),
        buses: false,
    }
}

impl<'a> Inspector<'a> {
    /// An inspector of this tree; reads nothing yet.
    pub(crate) fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, attributes: Attributes::new(sysfs), names: None }
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
        let in_files = [Column::Link, Column::Numa, Column::Iommu];
        let path = if in_files.into_iter().any(wants) { topology.path(id) } else { String::new() };
        FunctionRow {
            address: function.address,
            class_code: ids.filter(|_| wants(Column::ClassCode)).map(|ids| format!("{:06x}", ids.class)),
            class: ids.filter(|_| wants(Column::Class)).map(|ids| self.class(ids)),
            name: ids.filter(|_| wants(Column::Name)).map(|ids| self.names().function(ids)),
            ids: ids.filter(|_| wants(Column::Ids)).map(ids_text),
            subsystem: ids.filter(|_| wants(Column::Subsystem)).and_then(subsystem_text),
            driver: function.driver.clone().filter(|_| wants(Column::Driver)),
            // A virtual function's is its PF's; its own registers read zero.
            link: if wants(Column::Link) && !is_virtual { self.attributes.link(&path).map(Box::new) } else { None },
            numa_node: if wants(Column::Numa) { self.attributes.numa_node(&path) } else { None },
            slot: if wants(Column::Slot) { self.attributes.slot(function.address) } else { None },
            iommu_group: if wants(Column::Iommu) { self.attributes.iommu_group(&path) } else { None },
            in_use_by: None,
            place: wants(Column::Place).then(|| topology.place(id)),
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
