//! Leftovers on a machine whose kernel is healthy: settings and devices that somebody forgot.

use serde::Serialize;

use crate::host::modalias::Modules;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::topology::model::{FunctionId, Topology};

/// A forgotten setting or device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Leftover {
    /// The function concerned, if it is a single one.
    pub(crate) address: Option<PciAddress>,
    /// The finding.
    pub(crate) what: String,
    /// The fix.
    pub(crate) helps: String,
}

/// The class in a host bridge's modalias.
const HOST_BRIDGE: &str = "bc06sc00";

/// Leftovers in the device tree. Functions that somebody works on are skipped: a driver that is stopping is gone from
/// its device already, and one that is starting is not bound yet.
pub(crate) fn in_tree(sysfs: &Sysfs, topology: &Topology, is_at_work: &dyn Fn(FunctionId) -> bool) -> Vec<Leftover> {
    let mut found = Vec::new();
    if sysfs.read("bus/pci/drivers_autoprobe").ok().flatten().as_deref() == Some("0") {
        found.push(Leftover {
            address: None,
            what: "drivers_autoprobe is off: devices that come get no driver".to_owned(),
            helps: "echo 1 > /sys/bus/pci/drivers_autoprobe".to_owned(),
        });
    }
    let mut modules = Modules::new(sysfs.files());
    for id in topology.by_address() {
        if topology.function(id).driver.is_none() && !is_at_work(id) {
            found.extend(without_driver(sysfs, topology, id, &mut modules));
        }
    }
    found
}

fn without_driver(sysfs: &Sysfs, topology: &Topology, id: FunctionId, modules: &mut Modules) -> Option<Leftover> {
    let address = topology.function(id).address;
    let vfs = topology.virtual_functions(id).len();
    if vfs > 0 {
        return Some(Leftover {
            address: Some(address),
            what: format!("{address}: has no driver, but {vfs} virtual functions are on"),
            helps: format!("bind its driver, and set its number of VFs to 0 before {address} is removed"),
        });
    }
    let modalias = sysfs.modalias(address)?;
    // What names a host bridge looks whether it is wanted and declines (agp_intel_probe(), drivers of EDAC), and nobody
    // takes its driver away.
    if modalias.contains(HOST_BRIDGE) {
        return None;
    }
    let module = loaded_module(sysfs, modules, &modalias)?;
    Some(Leftover {
        address: Some(address),
        what: format!("{address}: has no driver, and module {module} is loaded and has one for it"),
        helps: format!("echo {address} > /sys/bus/pci/drivers_probe, if nobody keeps it unbound on purpose"),
    })
}

/// A loaded module with a PCI driver whose aliases match the device. Only the kernel knows which of its drivers would
/// bind.
fn loaded_module(sysfs: &Sysfs, modules: &mut Modules, modalias: &str) -> Option<String> {
    let has_driver = |module: &String| {
        let names = sysfs.names(&format!("module/{module}/drivers")).ok().flatten();
        names.is_some_and(|names| names.iter().any(|name| name.starts_with("pci:")))
    };
    modules.for_alias(modalias).into_iter().find(has_driver)
}
