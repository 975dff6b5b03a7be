//! Functions whose drivers the kernel would stop along with those that are to be stopped, wherever they sit.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::claims_for::Touched;
use crate::topology::device_links::{DeviceLink, managed_links};
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};

/// What must be held besides the functions whose drivers are stopped: those that may come to depend on them until then. The
/// kernel stops a consumer that got its driver meanwhile (device_links_unbind_consumers), so nobody may give it one.
///
/// # Errors
/// A consumer has its driver: that would end without anybody having looked at what is below it.
pub(crate) fn touched_consumers(sysfs: &Sysfs, topology: &Topology, stopped: &[PciAddress]) -> Result<Vec<Touched>> {
    let consumers = idle_consumers(sysfs, topology, stopped)?;
    if consumers.is_empty() {
        return Ok(Vec::new());
    }
    let topology = Topology::load_only(sysfs, &consumers, Fields { ids: IdsOf::Nobody, buses: false, ..Fields::ALL })?;
    let places = consumers.iter().filter_map(|address| topology.find(*address)).map(|id| topology.place(id));
    Ok(places.map(Touched::Function).collect())
}

/// The consumers elsewhere that have no driver now; refuses where one has.
fn idle_consumers(sysfs: &Sysfs, topology: &Topology, stopped: &[PciAddress]) -> Result<Vec<PciAddress>> {
    let mut idle = Vec::new();
    for link in managed_links(sysfs, &directories_of(topology, stopped)) {
        let DeviceLink { supplier, consumer, path, is_active } = link;
        let Some(id) = topology.find(supplier).filter(|_| stopped.contains(&supplier)) else { continue };
        let above = format!("{}/", topology.path(id));
        let address = PciAddress::from_sysfs_name(&consumer);
        let path = address.and_then(|address| topology.find(address)).map(|id| topology.path(id)).or(path);
        if path.is_some_and(|path| path.starts_with(&above)) || topology.function(id).driver.is_none() {
            continue;
        }
        if !is_active {
            idle.extend(address);
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
    Ok(idle)
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
