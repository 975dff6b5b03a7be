//! Device links: functions whose drivers the kernel stops together with the driver of another one.
//!
//! A managed link makes a consumer depend on a supplier wherever the two sit, for example PCIe ports on the Thunderbolt host
//! controller that tunnels to them. When the supplier's driver is stopped, the kernel first stops those of its consumers,
//! whatever is at work below them (device_links_unbind_consumers in drivers/base/core.c).

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;

/// One directory a link (ABI/testing/sysfs-class-devlink).
const LINKS: &str = "class/devlink";

/// Each supplier with a function whose driver ends with its own. Links that the kernel does not manage, and those of
/// consumers without a driver, are left out.
///
/// A look never waits: the state of a link is answered from memory. What cannot be read counts as at work.
pub(crate) fn active_links(sysfs: &Sysfs) -> Vec<(PciAddress, PciAddress)> {
    let names = sysfs.names(LINKS).ok().flatten().unwrap_or_default();
    let links = names.iter().filter_map(|name| Some((name, ends(name)?)));
    let is_active = |name: &str| match sysfs.read(&format!("{LINKS}/{name}/status")) {
        Ok(Some(status)) => matches!(status.trim(), "active" | "consumer probing"),
        Ok(None) => false,
        Err(_) => true,
    };
    links.filter(|(name, _)| is_active(name)).map(|(_, ends)| ends).collect()
}

/// `pci:0000:00:0d.2--pci:0000:00:07.0`, the supplier first; before 5.11 without the buses.
fn ends(name: &str) -> Option<(PciAddress, PciAddress)> {
    let (supplier, consumer) = name.split_once("--")?;
    let function = |end: &str| PciAddress::from_sysfs_name(end.strip_prefix("pci:").unwrap_or(end));
    Some((function(supplier)?, function(consumer)?))
}
