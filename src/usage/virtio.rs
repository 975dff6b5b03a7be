//! Virtio devices: what hangs below a function of the driver virtio-pci, and by which driver it is driven.

use crate::host::sysfs::Sysfs;
use crate::host::text::is_number;
use crate::pci::address::PciAddress;
use crate::usage::scope::{Scope, linked};

/// One device of the bus virtio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtioDevice {
    /// The function that is asked about and above it; none for those of others.
    pub(crate) address: Option<PciAddress>,
    /// `virtio5`.
    pub(crate) name: String,
    /// Its directory below `sys`.
    pub(crate) path: String,
    /// `9pnet_virtio`; none once the kernel has begun to take it away (driver_sysfs_remove in drivers/base/dd.c).
    pub(crate) driver: Option<String>,
}

/// Every virtio device of the machine, if one of them belongs to these functions; else none.
pub(crate) fn devices(sysfs: &Sysfs, scope: &Scope) -> Vec<VirtioDevice> {
    let may_be_virtio = |driver: Option<&str>| driver.is_none_or(|driver| driver == "virtio-pci");
    if !scope.iter().any(|(_, function)| may_be_virtio(function.driver.as_deref())) {
        return Vec::new();
    }
    let mut found = linked(sysfs, "bus/virtio/devices");
    if found.is_empty() {
        // A tree that was written by hand may have the drivers alone.
        let drivers = sysfs.names("bus/virtio/drivers").ok().flatten().unwrap_or_default();
        found = drivers.iter().flat_map(|driver| linked(sysfs, &format!("bus/virtio/drivers/{driver}"))).collect();
    }
    found.extend(leaving(sysfs, scope, &found));
    if !found.iter().any(|(_, path)| scope.owner(path).is_some()) {
        return Vec::new();
    }
    let device = |(name, path): (String, String)| {
        let driver = sysfs.driver(&path);
        VirtioDevice { address: scope.owner(&path), name, driver, path }
    };
    found.into_iter().map(device).collect()
}

/// Devices whose driver is being stopped with their function's: the bus does not list them any more (bus_remove_device in
/// drivers/base/bus.c), but their directory is there until it has let go.
fn leaving(sysfs: &Sysfs, scope: &Scope, listed: &[(String, String)]) -> Vec<(String, String)> {
    let is_device = |name: &String| name.strip_prefix("virtio").is_some_and(is_number);
    let mut found = Vec::new();
    for (_, function) in scope.iter().filter(|(_, function)| function.driver.is_none()) {
        let names = sysfs.names(&function.path).ok().flatten().unwrap_or_default();
        let devices =
            names.into_iter().filter(is_device).map(|name| (name.clone(), format!("{}/{name}", function.path)));
        found.extend(devices.filter(|device| !listed.contains(device)));
    }
    found
}
