//! What people call a place: what sits there now.

use crate::host::sysfs::{Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::pci::place::Place;

/// The address of what sits at a place, or the name of a host bridge; the place itself where nothing does, or that cannot be
/// told. It takes a look at one directory for each step, however many functions there are.
pub(crate) fn device_at(sysfs: &Sysfs, place: &Place) -> String {
    found(sysfs, place).unwrap_or_else(|| place.to_string())
}

fn found(sysfs: &Sysfs, place: &Place) -> Option<String> {
    let mut steps = place.chain().split('/');
    let first = steps.next().filter(|first| !first.is_empty())?;
    let (mut path, mut name) = (format!("devices/{first}"), first.to_owned());
    for step in steps {
        name = match step.strip_prefix("vf") {
            Some(index) => last_step(&sysfs.link(&format!("{path}/virtfn{index}")).ok()??).to_owned(),
            None if step.starts_with("pci") => step.to_owned(),
            None => {
                let is_there = |name: &String| {
                    let address = PciAddress::from_sysfs_name(name);
                    address.is_some_and(|address| Place::root().function(address).chain() == step)
                };
                sysfs.names(&path).ok()??.into_iter().find(is_there)?
            }
        };
        path = format!("{path}/{name}");
    }
    Some(name)
}
