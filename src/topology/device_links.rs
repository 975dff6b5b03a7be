//! Device links: functions whose drivers the kernel stops together with the driver of another one.
//!
//! A managed link makes a consumer depend on a supplier wherever the two sit, for example PCIe ports on the Thunderbolt host
//! controller that tunnels to them. When the supplier's driver is stopped, the kernel first stops those of its consumers,
//! whatever is at work below them (device_links_unbind_consumers in drivers/base/core.c).

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;

/// The functions whose drivers end with that of the function at `path`, for a directory below `sys`. Links that the kernel
/// does not manage, and those of consumers without a driver, are left out (ABI/testing/sysfs-class-devlink).
///
/// A look never waits: the state of a link is answered from memory. What cannot be read counts as a consumer.
pub(crate) fn active_consumers(sysfs: &Sysfs, path: &str) -> Vec<PciAddress> {
    let names = sysfs.names(path).ok().flatten().unwrap_or_default();
    let consumers =
        names.iter().filter_map(|name| Some((name, PciAddress::from_sysfs_name(name.strip_prefix("consumer:pci:")?)?)));
    let is_active = |name: &str| match sysfs.read(&format!("{path}/{name}/status")) {
        Ok(Some(status)) => matches!(status.trim(), "active" | "consumer probing"),
        Ok(None) => false,
        Err(_) => true,
    };
    consumers.filter(|(name, _)| is_active(name)).map(|(_, address)| address).collect()
}
