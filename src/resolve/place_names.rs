//! What people call a place: what sits there now. It takes a look at one directory for each step, however many functions there
//! are.

use crate::host::sysfs::{Sysfs, last_step};
use crate::lock::conflict::NodeName;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::pci::selector::is_host_bridge_name;
use crate::topology::paths::{bus_below, locate_bus};

/// The address of what sits at a place, or the name of a host bridge; the place itself where nothing does, or that cannot be
/// told.
pub(crate) fn device_at(sysfs: &Sysfs, place: &Place) -> String {
    directory(sysfs, place).map_or_else(|| place.to_string(), |path| last_step(&path).to_owned())
}

/// The same with what kind of thing it is.
pub(crate) fn node_name(sysfs: &Sysfs, place: &Place) -> NodeName {
    let Some(path) = directory(sysfs, place) else { return NodeName::of_place(place) };
    let name = last_step(&path).to_owned();
    let kind = match bus_below(sysfs, &path) {
        _ if is_host_bridge_name(&name) => "host bridge",
        Ok(Some(_)) => "bridge",
        _ => "function",
    };
    NodeName { kind, name }
}

/// The function at a place.
pub(crate) fn function_at(sysfs: &Sysfs, place: &Place) -> Option<PciAddress> {
    PciAddress::from_sysfs_name(last_step(&directory(sysfs, place)?))
}

/// The directory of what sits at a place.
fn directory(sysfs: &Sysfs, place: &Place) -> Option<String> {
    let mut steps = place.chain().split('/');
    let first = steps.next()?;
    let bus: BusNumber = first.strip_prefix("pci")?.parse().ok()?;
    let located = locate_bus(sysfs, bus).ok().flatten().filter(|path| last_step(path) == first);
    // A dump may lack the links of buses; most host bridges are here.
    let mut path = located.unwrap_or_else(|| format!("devices/{first}"));
    for step in steps {
        path = match step.strip_prefix("vf") {
            Some(index) => {
                let link = sysfs.link(&format!("{path}/virtfn{index}")).ok()??;
                format!("{}/{}", path.rsplit_once('/')?.0, last_step(&link))
            }
            None if is_host_bridge_name(step) => format!("{path}/{step}"),
            None => {
                let is_there = |name: &String| {
                    let address = PciAddress::from_sysfs_name(name);
                    address.is_some_and(|address| Place::root().function(address).chain() == step)
                };
                format!("{path}/{}", sysfs.names(&path).ok()??.into_iter().find(is_there)?)
            }
        };
    }
    sysfs.exists(&path).then_some(path)
}
