//! What was left behind on a machine whose kernel is well: settings and devices that somebody forgot.

use serde::Serialize;

use crate::host::modalias::Modules;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::topology::model::{FunctionId, Topology};

/// Something that was left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Leftover {
    /// The function that it is about, if it is about one.
    pub(crate) address: Option<PciAddress>,
    /// What was found.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) helps: String,
}

/// What the tree of devices shows. Functions that somebody is at work on are not looked at: a driver that is being stopped
/// is gone from its device already, and one that is being started is not there yet.
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
    let module = loaded_module(sysfs, modules, &modalias)?;
    Some(Leftover {
        address: Some(address),
        what: format!("{address}: has no driver, and module {module} is loaded and has one for it"),
        helps: format!("echo {address} > /sys/bus/pci/drivers_probe, if nobody keeps it unbound on purpose"),
    })
}

/// A module that is loaded, has a PCI driver and says that it serves such a device. Which of its drivers, only the kernel
/// knows.
fn loaded_module(sysfs: &Sysfs, modules: &mut Modules, modalias: &str) -> Option<String> {
    let has_driver = |module: &String| {
        let names = sysfs.names(&format!("module/{module}/drivers")).ok().flatten();
        names.is_some_and(|names| names.iter().any(|name| name.starts_with("pci:")))
    };
    modules.for_alias(modalias).into_iter().find(has_driver)
}
