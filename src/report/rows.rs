//! Functions as rows of a listing, nodes of a tree and in full: rendered as text, and as they are for `--json`.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::lock::holders::Holder;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::ids::{Ids, ids_text, subsystem_text};
use crate::pci::place::Place;
use crate::report::change::PlannedRemoval;
use crate::report::columns::{Column, ColumnSet};
use crate::report::details::{Details, none_is_empty};
use crate::report::power::FunctionPower;
use crate::terminal::document::Document;
use crate::topology::attributes::LinkStatus;
use crate::topology::regions::Region;
use crate::topology::slots::SlotFile;
use crate::usage::model::{UsageReport, User};
use crate::usage::protected::ProtectedEntry;

/// One function with the columns that were asked for. Strings are shared: there may be 65,536 rows.
///
/// In a document it has the keys of the columns that were asked for, and no others; a key is null where what it stands for is
/// unknown or does not exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FunctionRow {
    /// The columns that were asked for.
    pub(crate) columns: ColumnSet,
    /// Its address.
    pub(crate) address: PciAddress,
    /// The class by name.
    pub(crate) class: Option<Arc<str>>,
    /// Vendor and device by name.
    pub(crate) name: Option<Arc<str>>,
    /// What it says it is: the columns of ids are put together from it when they are shown.
    pub(crate) ids: Option<Ids>,
    /// The driver that has it.
    pub(crate) driver: Option<Arc<str>>,
    /// The link.
    pub(crate) link: Option<Box<LinkStatus>>,
    /// Interfaces, disks and the like, as `net/eth0`.
    pub(crate) names: Option<Vec<String>>,
    /// NUMA node.
    pub(crate) numa_node: Option<i32>,
    /// Slot name.
    pub(crate) slot: Option<String>,
    /// IOMMU group.
    pub(crate) iommu_group: Option<u32>,
    /// Place in the device tree.
    pub(crate) place: Option<Place>,
    /// What few people ask for.
    pub(crate) details: Option<Box<Details>>,
}

impl FunctionRow {
    /// The class code, six hexadecimal digits.
    pub(crate) fn class_code(&self) -> Option<String> {
        self.ids_for(Column::ClassCode).map(|ids| format!("{:06x}", ids.class))
    }

    /// Vendor and device id, `8086:10d3`.
    pub(crate) fn ids_text(&self) -> Option<String> {
        self.ids_for(Column::Ids).map(ids_text)
    }

    /// Subsystem vendor and device id.
    pub(crate) fn subsystem(&self) -> Option<String> {
        self.ids_for(Column::Subsystem).and_then(subsystem_text)
    }

    /// Its users; `None` if unknown.
    pub(crate) fn users(&self) -> Option<&[User]> {
        self.details.as_deref()?.in_use_by.as_deref()
    }

    /// The users of what is below it, its own VFs left out, as far as they are known.
    pub(crate) fn users_below(&self) -> Option<&[User]> {
        self.details.as_deref()?.in_use_below.as_deref()
    }

    fn ids_for(&self, column: Column) -> Option<Ids> {
        self.ids.filter(|_| self.columns.has(column))
    }
}

impl Serialize for FunctionRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = Keys { map: serializer.serialize_map(None)?, columns: self.columns };
        let absent = Details::default();
        let details = self.details.as_deref().unwrap_or(&absent);
        keys.map.serialize_entry("address", &self.address)?;
        keys.of(Column::ClassCode, "class_code", &self.class_code())?;
        keys.of(Column::Class, "class", &self.class)?;
        keys.of(Column::Name, "name", &self.name)?;
        keys.of(Column::Ids, "ids", &self.ids_text())?;
        keys.of(Column::Subsystem, "subsystem", &self.subsystem())?;
        keys.of(Column::Revision, "revision", &details.revision)?;
        keys.of(Column::Driver, "driver", &self.driver)?;
        keys.of(Column::Override, "driver_override", &details.driver_override.as_ref().map(text_or_empty))?;
        keys.of(Column::Link, "link", &self.link)?;
        keys.of(Column::Names, "names", &self.names)?;
        keys.of(Column::Serial, "serial_numbers", &details.serial_numbers)?;
        keys.of(Column::Mac, "mac_addresses", &details.mac_addresses)?;
        keys.of(Column::Numa, "numa_node", &self.numa_node)?;
        keys.of(Column::Slot, "slot", &self.slot)?;
        keys.of(Column::Iommu, "iommu_group", &self.iommu_group)?;
        keys.of(Column::IommuMembers, "iommu_group_members", &details.iommu_group_members)?;
        keys.of(Column::Vfs, "virtual_functions", &details.virtual_functions)?;
        keys.of(Column::Vfs, "total_vfs", &details.total_vfs)?;
        keys.of(Column::PowerState, "power_state", &details.power_state)?;
        keys.of(Column::Reset, "reset_methods", &details.reset_methods)?;
        keys.of(Column::Aer, "aer", &details.aer)?;
        keys.of(Column::InUse, "in_use_by", &details.in_use_by)?;
        keys.of(Column::InUse, "in_use_below", &details.in_use_below)?;
        keys.of(Column::Lock, "holders", &details.holders)?;
        keys.of(Column::Place, "place", &self.place)?;
        keys.map.end()
    }
}

fn text_or_empty(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Writes the keys of those columns that were asked for.
struct Keys<M> {
    map: M,
    columns: ColumnSet,
}

impl<M: SerializeMap> Keys<M> {
    fn of(&mut self, column: Column, key: &'static str, value: &impl Serialize) -> Result<(), M::Error> {
        if self.columns.has(column) { self.map.serialize_entry(key, value) } else { Ok(()) }
    }
}

/// What a node of `tree` is called. An address is put into words when it is shown: there may be 65,536.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum NodeName {
    /// `pci0000:00`
    HostBridge(Box<str>),
    /// By its address.
    Function(PciAddress),
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostBridge(name) => f.write_str(name),
            Self::Function(address) => address.fmt(f),
        }
    }
}

/// A node of `tree`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct TreeNode {
    /// `pci0000:00` for a host bridge, else the address.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(crate) node: NodeName,
    /// The bus it leads to.
    pub(crate) bus: Option<BusNumber>,
    /// The function; `None` for a host bridge.
    #[serde(flatten)]
    pub(crate) function: Option<FunctionRow>,
    /// Set on a virtual function.
    pub(crate) physical_function: Option<PciAddress>,
    /// What is below it.
    pub(crate) children: Vec<TreeNode>,
}

/// One function in full.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct FullFunction {
    /// Its row of a listing.
    #[serde(flatten)]
    pub(crate) row: FunctionRow,
    /// Its directory in sysfs.
    pub(crate) path: String,
    /// What its `driver_override` says, empty if nothing; null where that cannot be read without waiting for a driver.
    #[serde(serialize_with = "none_is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(crate) driver_override: Option<Option<String>>,
    /// The driver that driverctl gives it when it is found.
    pub(crate) persistent_override: Option<String>,
    /// The name of its subsystem.
    pub(crate) subsystem_name: Option<String>,
    /// The modules that may be loaded for it; `None` where nobody tells what modules there are.
    pub(crate) modules: Option<Vec<String>>,
    /// Its BARs, and the windows of a bridge; `None` if they cannot be read.
    pub(crate) regions: Option<Vec<Region>>,
    /// How it may sleep and wake.
    pub(crate) power: FunctionPower,
    /// The processors that are near it.
    pub(crate) local_cpus: Option<String>,
    /// What drives its slot; `None` if it is in none, or the kernel does not tell.
    pub(crate) slot_driver: Option<String>,
    /// What its slot has files for; `None` if it is in none.
    pub(crate) slot_controls: Option<Vec<SlotFile>>,
    /// The bus it leads to.
    pub(crate) bus: Option<BusNumber>,
    /// The other functions of its device; none of a virtual function.
    pub(crate) siblings: Vec<PciAddress>,
    /// Every function of its IOMMU group, itself included; `None` if it is in none, or they cannot be read.
    pub(crate) iommu_group_members: Option<Vec<PciAddress>>,
    /// The functions above it, the topmost first.
    pub(crate) above: Vec<PciAddress>,
    /// Everything below it, VFs included.
    pub(crate) below: Vec<FunctionRow>,
    /// Set on a virtual function.
    pub(crate) physical_function: Option<PciAddress>,
    /// The VFs of a physical function.
    pub(crate) virtual_functions: Vec<PciAddress>,
    /// How many VFs it supports.
    pub(crate) total_vfs: Option<u32>,
    /// Class devices below it: interfaces, disks and the like, as `CLASS/NAME`.
    pub(crate) names: Vec<String>,
    /// Who holds or waits for its lock; `None` if unknown.
    pub(crate) holders: Option<Vec<Holder>>,
    /// The users of it and of what is below it.
    pub(crate) users: UsageReport,
    /// What `remove` would do.
    pub(crate) remove: PlannedRemoval,
    /// What `rescan` would do; `None` if that cannot be told.
    pub(crate) rescan: Option<PlannedScan>,
}

impl Document for FullFunction {
    const KIND: &'static str = "function";
}

/// The bus that a rescan would scan.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PlannedScan {
    /// The bus.
    pub(crate) bus: BusNumber,
    /// The reason for that one.
    pub(crate) why: String,
}

/// What the site protects.
#[derive(Debug, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ProtectedReport {
    /// Each entry of its lists, in the order of files and lines.
    pub(crate) protected: Vec<ProtectedEntry>,
}

impl Document for ProtectedReport {
    const KIND: &'static str = "protected";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::Function;

    /// A listing may take 0.4 KiB a function: its row, what the topology has of it, its place in the index, and strings of its own.
    #[test]
    fn what_there_may_be_65_536_of_is_small() {
        let (row, node, function) = (size_of::<FunctionRow>(), size_of::<TreeNode>(), size_of::<Function>());
        assert!(row <= 192 && node <= 256 && function <= 112, "{row}, {node} and {function} bytes");
    }
}
