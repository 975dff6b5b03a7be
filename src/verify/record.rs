//! What is kept of one function: everything by which one can tell later whether it came back as it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::topology::attributes::LinkStatus;
use crate::topology::vf_setting::VfValue;

/// One removed function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemovedDevice {
    pub(crate) schema: u32,
    /// Seconds since 1970.
    pub(crate) removed_at: u64,
    /// The top of what was removed with it.
    pub(crate) top: Place,
    /// What it was.
    #[serde(flatten)]
    pub(crate) record: DeviceRecord,
}

impl RemovedDevice {
    /// A function that is removed now, with the subtree of this top.
    pub fn new(record: DeviceRecord, top: Place, removed_at: u64) -> Self {
        Self { schema: SCHEMA, removed_at, top, record }
    }

    /// The same, removed at another time.
    pub(crate) fn removed_at(self, removed_at: u64) -> Self {
        Self { removed_at, ..self }
    }
}

/// The schema of stored records; a reader that does not know the number leaves the file alone.
pub(crate) const SCHEMA: u32 = 1;

/// One function as it was at one moment.
///
/// Values are kept as sysfs or lspci would show them, so that a record can be read without pcictl. What was not there
/// is left out; a field that a later version adds must be optional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The node: where it sat, whatever the bus numbers were.
    pub place: Place,
    /// Where it answered.
    pub address: PciAddress,
    /// The slot it sat in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// `8086:10d3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Subsystem ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<String>,
    /// Class code, six hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What tells this device from another of its kind.
    #[serde(default, skip_serializing_if = "Serials::is_empty")]
    pub serials: Serials,
    /// The driver that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What `driver_override` said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_override: Option<String>,
    /// The link, read at the upstream port where there is one: a device may sleep or be gone, its port tells all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
    /// The BARs that it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bars: Vec<Bar>,
    /// NUMA node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<i32>,
    /// IOMMU group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iommu_group: Option<u32>,
    /// Its virtual functions, in the order of the kernel's `virtfnN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vfs: Vec<VirtualRecord>,
    /// Names that users know, by class: `block` → `nvme0n1`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Vec<String>>,
    /// What below /dev/disk/by-id led to its disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_id: Vec<String>,
    /// Power settings, by their file below the function's directory: `power/control` → `on`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub power: BTreeMap<String, String>,
}

/// What tells two devices of the same kind apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serials {
    /// Device Serial Number capability, as lspci writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dsn: Option<String>,
    /// The serial number an NVMe controller reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nvme: Option<String>,
    /// MAC addresses of its interfaces, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mac: Vec<String>,
}

/// A BAR that a function asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// 0 to 5.
    pub(crate) index: u8,
    /// Bytes.
    pub(crate) size: u64,
    /// Whether it has an address.
    pub(crate) assigned: bool,
}

/// A virtual function, as its physical one remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualRecord {
    /// Where it answered.
    pub(crate) address: PciAddress,
    /// The driver that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<String>,
    /// What `driver_override` said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver_override: Option<String>,
    /// What its physical function's driver was told to keep for it, as far as that tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) settings: Vec<VfValue>,
}

impl DeviceRecord {
    /// Nothing is known but where.
    pub(crate) fn at(place: Place, address: PciAddress) -> Self {
        Self {
            place,
            address,
            slot: None,
            ids: None,
            subsystem: None,
            class: None,
            serials: Serials::default(),
            driver: None,
            driver_override: None,
            link: None,
            bars: Vec::new(),
            numa_node: None,
            iommu_group: None,
            vfs: Vec::new(),
            names: BTreeMap::new(),
            by_id: Vec::new(),
            power: BTreeMap::new(),
        }
    }
}

impl DeviceRecord {
    /// By its place, with what is known of its virtual functions by theirs.
    pub(crate) fn with_virtual(&self) -> Vec<(Place, Self)> {
        let virtual_function = |(index, vf): (usize, &VirtualRecord)| {
            let place = self.place.virtual_function(Some(index as u32), vf.address);
            let driver = vf.driver.clone();
            (place.clone(), Self { driver, ..Self::at(place, vf.address) })
        };
        let mut all = vec![(self.place.clone(), self.clone())];
        all.extend(self.vfs.iter().enumerate().map(virtual_function));
        all
    }
}

impl Serials {
    /// Whether nothing tells this device from another.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether some number is known of both and the same. Several MACs may have become fewer.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.dsn, &other.dsn)
            || same(&self.nvme, &other.nvme)
            || self.mac.iter().any(|mac| other.mac.contains(mac))
    }
}
