//! What few columns of a listing show of a function, and `show` all of: read only where it is asked for.
//!
//! All of it is told from memory: nothing here asks hardware or waits for a driver. Overrides, locks and users, which take
//! a look at many at once, are filled in by whoever has made that look.

use serde::{Serialize, Serializer};

use crate::host::sysfs::{Sysfs, last_step};
use crate::lock::holders::Holder;
use crate::order;
use crate::pci::address::PciAddress;
use crate::report::columns::Column;
use crate::resolve::below::iommu_members;
use crate::topology::aer::AerCounters;
use crate::topology::attributes::Attributes;
use crate::topology::reset_methods::ResetMethods;
use crate::usage::model::User;

/// What a class device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DeviceValue {
    /// `net/eth0`.
    pub(crate) device: String,
    /// What it says.
    pub(crate) value: String,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Details {
    /// Two hexadecimal digits.
    pub(crate) revision: Option<String>,
    /// Serial numbers of its NVMe controllers.
    pub(crate) serial_numbers: Option<Vec<DeviceValue>>,
    /// MAC addresses of its interfaces.
    pub(crate) mac_addresses: Option<Vec<DeviceValue>>,
    /// `D0`, `D3hot`...
    pub(crate) power_state: Option<String>,
    /// In the order in which the kernel tries them, empty where it cannot be reset; none where the kernel does not tell.
    pub(crate) reset_methods: Option<Vec<String>>,
    /// Errors that were counted.
    pub(crate) aer: Option<AerCounters>,
    /// What its `driver_override` says; none where that cannot be read without waiting for a driver.
    pub(crate) driver_override: Option<Option<String>>,
    /// Its VFs.
    pub(crate) virtual_functions: Option<Vec<PciAddress>>,
    /// How many VFs it supports.
    pub(crate) total_vfs: Option<u32>,
    /// Every function of its IOMMU group, itself included; none if it is in no group, or they cannot be read.
    pub(crate) iommu_group_members: Option<Vec<PciAddress>>,
    /// Who holds or waits for its lock; none if unknown.
    pub(crate) holders: Option<Vec<Holder>>,
    /// Its users; none if unknown.
    pub(crate) in_use_by: Option<Vec<User>>,
    /// The users of what is below it, its own VFs left out, as far as they are known.
    pub(crate) in_use_below: Option<Vec<User>>,
}

/// The columns that are about these fields.
const COLUMNS: [Column; 10] = [
    Column::Revision,
    Column::Serial,
    Column::Mac,
    Column::PowerState,
    Column::Reset,
    Column::Aer,
    Column::Override,
    Column::Vfs,
    Column::IommuMembers,
    Column::Lock,
];

impl Details {
    /// Those of the function with this directory and these names; none if no column asks for any.
    pub(crate) fn read(
        sysfs: &Sysfs,
        attributes: &Attributes<'_>,
        path: &str,
        names: &[String],
        columns: &[Column],
    ) -> Option<Box<Self>> {
        if !COLUMNS.iter().any(|column| columns.contains(column)) {
            return None;
        }
        let mut details = Self::default();
        for column in columns {
            details.fill(*column, sysfs, attributes, path, names);
        }
        Some(Box::new(details))
    }

    fn fill(&mut self, column: Column, sysfs: &Sysfs, attributes: &Attributes<'_>, path: &str, names: &[String]) {
        let value = |file: &str| sysfs.value(&format!("{path}/{file}")).filter(|text| !text.is_empty());
        match column {
            Column::Revision => self.revision = value("revision").map(|text| text.trim_start_matches("0x").to_owned()),
            Column::Serial => self.serial_numbers = Some(values(sysfs, names, "nvme", "serial")),
            Column::Mac => self.mac_addresses = Some(values(sysfs, names, "net", "address")),
            Column::PowerState => self.power_state = value("power_state"),
            Column::Reset => {
                self.reset_methods = match ResetMethods::read(sysfs, path) {
                    ResetMethods::Missing => Some(Vec::new()),
                    ResetMethods::Unknown => None,
                    ResetMethods::Listed(methods) => Some(methods),
                }
            }
            Column::Aer => self.aer = AerCounters::read(sysfs, path),
            Column::Vfs => {
                self.total_vfs = attributes.total_vfs(path);
                self.virtual_functions = self.total_vfs.map(|_| virtual_functions(sysfs, path));
            }
            Column::IommuMembers => {
                let group = attributes.iommu_group(path);
                self.iommu_group_members = group.and_then(|group| iommu_members(sysfs, &group.to_string()).ok());
            }
            _ => {}
        }
    }
}

/// An override that says nothing is told from one that cannot be read.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn none_is_empty<S: Serializer>(value: &Option<Option<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(|text| text.as_deref().unwrap_or_default()).serialize(serializer)
}

/// What a file says of each of these devices that is of that class.
fn values(sysfs: &Sysfs, names: &[String], class: &str, file: &str) -> Vec<DeviceValue> {
    let is_told = |text: &String| !matches!(text.as_str(), "" | "(efault)" | "(null)" | "00:00:00:00:00:00");
    let of_class = names.iter().filter(|name| name.split('/').next() == Some(class));
    let value = |device: &String| {
        let value = sysfs.value(&format!("class/{device}/{file}")).filter(is_told)?;
        Some(DeviceValue { device: device.clone(), value })
    };
    of_class.filter_map(value).collect()
}

/// The VFs that the links of a physical function lead to, in their order.
fn virtual_functions(sysfs: &Sysfs, path: &str) -> Vec<PciAddress> {
    let number = |name: &String| name.strip_prefix("virtfn")?.parse::<u32>().ok();
    let mut numbers: Vec<u32> =
        sysfs.names(path).ok().flatten().unwrap_or_default().iter().filter_map(number).collect();
    order::sort(&mut numbers);
    let address = |number: &u32| {
        let link = sysfs.link(&format!("{path}/virtfn{number}")).ok().flatten()?;
        PciAddress::from_sysfs_name(last_step(&link))
    };
    numbers.iter().filter_map(address).collect()
}
