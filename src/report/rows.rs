//! Functions as rows of a listing, nodes of a tree and in full: rendered as text, and as they are for `--json`.

use std::sync::Arc;

use serde::Serialize;

use crate::lock::holders::Holder;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::report::change::PlannedRemoval;
use crate::report::details::Details;
use crate::report::power::FunctionPower;
use crate::topology::attributes::LinkStatus;
use crate::topology::regions::Region;
use crate::topology::slots::SlotFile;
use crate::usage::model::{UsageReport, User};
use crate::usage::protected::ProtectedEntry;

/// One function with the columns that were asked for. Strings are shared: there may be 65,536 rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FunctionRow {
    /// Its address.
    pub(crate) address: PciAddress,
    /// The class code; `None` if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class_code: Option<String>,
    /// The class by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<Arc<str>>,
    /// Vendor and device by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Arc<str>>,
    /// Vendor and device id, `8086:10d3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<String>,
    /// Subsystem vendor and device id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subsystem: Option<String>,
    /// The driver that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<Arc<str>>,
    /// The link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<Box<LinkStatus>>,
    /// Interfaces, disks and the like, as `net/eth0`. `None` if not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) names: Option<Vec<String>>,
    /// NUMA node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) numa_node: Option<i32>,
    /// Slot name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slot: Option<String>,
    /// IOMMU group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iommu_group: Option<u32>,
    /// Its users; `None` if not asked for or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_use_by: Option<Vec<User>>,
    /// The users of what is below it, its own VFs left out, as far as they are known; `None` if not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_use_below: Option<Vec<User>>,
    /// Place in the device tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
    /// What few people ask for.
    #[serde(flatten)]
    pub(crate) details: Option<Box<Details>>,
}

/// A node of `tree`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TreeNode {
    /// `pci0000:00` for a host bridge, else the address.
    pub(crate) name: String,
    /// The bus it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bus: Option<BusNumber>,
    /// The function; `None` for a host bridge.
    #[serde(flatten)]
    pub(crate) function: Option<FunctionRow>,
    /// Set on a virtual function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) physical_function: Option<PciAddress>,
    /// What is below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) children: Vec<TreeNode>,
}

/// One function in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FullFunction {
    /// Its row of a listing.
    #[serde(flatten)]
    pub(crate) row: FunctionRow,
    /// Its directory in sysfs.
    pub(crate) path: String,
    /// What its `driver_override` says, null if nothing; left out where that cannot be read without waiting for a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// The bus that a rescan would scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PlannedScan {
    /// The bus.
    pub(crate) bus: BusNumber,
    /// The reason for that one.
    pub(crate) why: String,
}

/// What the site protects.
#[derive(Debug, Serialize)]
pub(crate) struct ProtectedReport {
    /// Each entry of its lists, in the order of files and lines.
    pub(crate) protected: Vec<ProtectedEntry>,
}
