//! What keeps a driver from a function.

use crate::error::{Error, ErrorKind, Result};
use crate::host::modalias::Modules;
use crate::operation::context::Context;
use crate::operation::removal_record;
use crate::pci::address::PciAddress;
use crate::plan::drivers::{NO_DRIVER, is_driver_name};
use crate::topology::attributes::Attributes;

/// A driver must be there before anything is changed for it.
///
/// # Errors
/// It is not loaded.
pub(crate) fn refuse_absent_driver(context: &Context, driver: &str) -> Result<()> {
    if !is_driver_name(driver) {
        return Err(Error::usage(format!("'{driver}' is not the name of a driver")));
    }
    if driver == NO_DRIVER || context.machine.sysfs.exists(&format!("bus/pci/drivers/{driver}")) {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Failed, format!("driver {driver} is not loaded; nothing was changed"));
    Err(error.hint(format!("modprobe {driver}, then run this again")).fact("driver", driver))
}

/// Why no driver takes a function, as far as sysfs tells.
pub(crate) fn obstacle(context: &Context, address: PciAddress) -> Option<String> {
    let sysfs = &context.machine.sysfs;
    let link = address.sysfs_link();
    if let Some(name) = removal_record::overrides(context, &[address]).remove(&address) {
        return Some(format!("its driver override says {name}; pcictl override {address} --clear clears it"));
    }
    // pci_device_can_probe in drivers/pci/pci-driver.c.
    if Attributes::new(sysfs).autoprobe(&format!("{link}/physfn")) == Some(false) {
        let why = "drivers are kept from the VFs of this physical function (sriov_drivers_autoprobe is 0)";
        return Some(format!("{why}; pcictl override {address} DRIVER gives it to one all the same"));
    }
    let modules = Modules::new(sysfs.files()).for_alias(&sysfs.modalias(address)?);
    let missing: Vec<String> =
        modules.into_iter().filter(|module| !sysfs.exists(&format!("module/{module}"))).collect();
    if missing.is_empty() {
        return Some(format!("a driver that does not know the device takes it by pcictl override {address} DRIVER"));
    }
    Some(format!("a module that fits is not loaded: modprobe {}", missing.join(" or ")))
}
