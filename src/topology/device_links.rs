//! Device links: functions whose drivers the kernel stops together with the driver of another one.
//!
//! A managed link makes a consumer depend on a supplier wherever the two sit, for example PCIe ports on the Thunderbolt host
//! controller that tunnels to them. When the supplier's driver is stopped, the kernel first stops those of its consumers,
//! whatever is at work below them (device_links_unbind_consumers in drivers/base/core.c).

use crate::host::sysfs::{Sysfs, follow};
use crate::pci::address::PciAddress;

/// One directory a link (ABI/testing/sysfs-class-devlink).
const LINKS: &str = "class/devlink";

/// A function and what ends with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceLink {
    /// The function whose driver ends first.
    pub(crate) supplier: PciAddress,
    /// The name of the device whose driver ends with it: an address, or that of a device of another bus.
    pub(crate) consumer: String,
    /// The consumer's directory below `sys`, as far as it is told.
    pub(crate) path: Option<String>,
    /// The consumer has its driver, or is about to. (One without may get it at any time.)
    pub(crate) is_active: bool,
}

/// Each supplier with a device whose driver ends with its own. Links that the kernel does not manage are left out. The
/// functions in `directories` are asked themselves where the class of links is not there.
///
/// A look never waits: the state of a link is answered from memory (status_show in drivers/base/core.c). What cannot be
/// read counts as at work.
pub(crate) fn managed_links(sysfs: &Sysfs, directories: &[String]) -> Vec<DeviceLink> {
    let is_active = |link: &str| match sysfs.read(&format!("{link}/status")) {
        Ok(Some(status)) if status.trim() == "not tracked" => None,
        Ok(Some(status)) => Some(matches!(status.trim(), "active" | "consumer probing")),
        Ok(None) => None,
        Err(_) => Some(true),
    };
    let Some(names) = sysfs.names(LINKS).ok().flatten() else {
        let own = |directory: &String| {
            let supplier = directory.rsplit('/').next().and_then(PciAddress::from_sysfs_name);
            let names = sysfs.names(directory).ok().flatten().unwrap_or_default();
            let link = |name: &String| {
                let consumer = end(name.strip_prefix("consumer:")?);
                let is_active = is_active(&format!("{directory}/{name}"))?;
                Some(DeviceLink { supplier: supplier?, consumer, path: None, is_active })
            };
            names.iter().filter_map(link).collect::<Vec<_>>()
        };
        return directories.iter().flat_map(own).collect();
    };
    let link = |name: &String| {
        let (supplier, consumer) = ends(name)?;
        let directory = format!("{LINKS}/{name}");
        let is_active = is_active(&directory)?;
        // The class has links, and the directory behind one holds a link to the consumer.
        let real = sysfs.link(&directory).ok().flatten().and_then(|to| follow(LINKS, &to)).unwrap_or(directory);
        let path = sysfs.link(&format!("{real}/consumer")).ok().flatten().and_then(|to| follow(&real, &to));
        Some(DeviceLink { supplier, consumer, path, is_active })
    };
    names.iter().filter_map(link).collect()
}

/// `pci:0000:00:0d.2--pci:0000:00:07.0`, the supplier first; before 5.11 without the buses.
fn ends(name: &str) -> Option<(PciAddress, String)> {
    let (supplier, consumer) = name.split_once("--")?;
    Some((PciAddress::from_sysfs_name(&end(supplier))?, end(consumer)))
}

fn end(end: &str) -> String {
    end.strip_prefix("pci:").unwrap_or(end).to_owned()
}
