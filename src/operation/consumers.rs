//! Functions whose drivers the kernel would stop along with those that are to be stopped, wherever they sit.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::topology::device_links::{DeviceLink, active_links};
use crate::topology::model::{FunctionId, Topology};

/// Refuses to stop a driver whose end would end others elsewhere, without anybody having looked at what is below those.
pub(crate) fn refuse_consumers(sysfs: &Sysfs, topology: &Topology, stopped: &[PciAddress]) -> Result<()> {
    for DeviceLink { supplier, consumer, path } in active_links(sysfs, &directories_of(topology, stopped)) {
        let Some(id) = topology.find(supplier).filter(|_| stopped.contains(&supplier)) else { continue };
        let above = format!("{}/", topology.path(id));
        let address = PciAddress::from_sysfs_name(&consumer);
        let path = address.and_then(|address| topology.find(address)).map(|id| topology.path(id)).or(path);
        if path.is_some_and(|path| path.starts_with(&above)) || topology.function(id).driver.is_none() {
            continue;
        }
        let message = format!(
            "{supplier}: the kernel would stop {consumer} with it, which depends on it (device link) and sits elsewhere"
        );
        let error = Error::new(ErrorKind::Refused, message).about(supplier).fact("consumer", consumer.clone());
        let next =
            if address.is_some() { format!("remove {consumer} first") } else { format!("unbind {consumer} first") };
        return Err(error.hint(next));
    }
    Ok(())
}

/// Those functions that may be suppliers: ports, drives and virtual functions, of which there may be hundreds, are none.
fn directories_of(topology: &Topology, stopped: &[PciAddress]) -> Vec<String> {
    let ids = stopped.iter().filter_map(|address| topology.find(*address));
    let may_supply = |id: &FunctionId| {
        let function = topology.function(*id);
        let driver = function.driver.as_deref();
        function.virtual_of.is_none() && driver.is_some_and(|driver| !matches!(driver, "pcieport" | "nvme"))
    };
    ids.filter(may_supply).map(|id| topology.path(id)).collect()
}
