//! Where things are in sysfs: a function's real directory, and the bridge that leads to a bus.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::{Dir, Sysfs, follow, last_step};
use crate::pci::address::{BusNumber, PciAddress};

/// The functions right below a bridge or host bridge, virtual ones too; none if the bridge has gone.
pub(crate) fn on_bus(sysfs: &Sysfs, path: &str) -> Result<Option<Vec<PciAddress>>> {
    let names = sysfs.names(path).map_err(|e| Error::io(sysfs.display(path), &e))?;
    Ok(names.map(|names| names.iter().filter_map(|name| PciAddress::from_sysfs_name(name)).collect()))
}

pub(crate) const DEVICES: &str = "bus/pci/devices";

pub(crate) const BUSES: &str = "class/pci_bus";

/// Where a function's directory really is; `None` if the function is not there. `dir` is `sys` or the one of all links.
pub(crate) fn real_path(sysfs: &Sysfs, dir: &Dir, address: PciAddress) -> Result<Option<String>> {
    let name = address.to_string();
    let link = || format!("{DEVICES}/{name}");
    let place = |target: &str| {
        let path = follow(DEVICES, target).filter(|path| path.starts_with("devices/") && last_step(path) == name);
        path.ok_or_else(|| {
            let link = sysfs.display(&link());
            let text = format!("{address}: {link} leads to {target}, which is not its place in the device tree");
            Error::new(ErrorKind::NoSuchDevice, text).about(address)
        })
    };
    let read = if dir.path().is_empty() { dir.link(&link(), place) } else { dir.link(&name, place) };
    match read {
        Ok(path) => path.transpose(),
        Err(error) => Err(Error::io(sysfs.display(&link()), &error)),
    }
}

/// The directory below `sys` of the bridge, or host bridge, that leads to a bus; found by name, without a scan.
///
/// # Errors
/// The link cannot be read.
pub(crate) fn locate_bus(sysfs: &Sysfs, bus: BusNumber) -> Result<Option<String>> {
    let link = format!("{BUSES}/{bus}");
    let target = sysfs.link(&link).map_err(|e| Error::io(sysfs.display(&link), &e))?;
    // The link ends in BRIDGE/pci_bus/DDDD:BB.
    Ok(target.and_then(|target| follow(BUSES, &target)).and_then(|path| {
        let (above, _) = path.rsplit_once("/pci_bus/")?;
        Some(above.to_owned())
    }))
}

/// The bus that the bridge, or host bridge, of this directory leads to; none if it is no bridge, or has gone.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn bus_below(sysfs: &Sysfs, path: &str) -> Result<Option<BusNumber>> {
    let directory = format!("{path}/pci_bus");
    let names = sysfs.names(&directory).map_err(|e| Error::io(sysfs.display(&directory), &e))?;
    // A PF's VFs may have a bus of their own below the same bridge, always with a higher number.
    Ok(names.iter().flatten().filter_map(|name| name.parse().ok()).min())
}
