//! Driver overrides by address. `driver_override` blocks for as long as a driver's probe or remove does, so it is read by a
//! child that can be left behind, see [`child`](crate::host::child).

use std::collections::HashMap;
use std::time::Instant;

use crate::host::child::PATIENCE;
use crate::host::patience::read_each;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;

/// What `driver_override` says, by address; functions without an override are left out.
pub type Overrides = HashMap<PciAddress, String>;

/// The overrides of these functions; `None` if that cannot be found out without hanging. A driver that is not stuck
/// releases its device's lock long before a child is given up.
pub(crate) fn read_overrides(sysfs: &Sysfs, addresses: &[PciAddress]) -> Option<Overrides> {
    let file = |address: PciAddress| format!("{}/driver_override", address.sysfs_link());
    let asked: Vec<(PciAddress, String)> =
        addresses.iter().map(|address| (*address, file(*address))).filter(|(_, file)| sysfs.exists(file)).collect();
    let files: Vec<String> = asked.iter().map(|(_, file)| file.clone()).collect();
    let (texts, silent) = read_each(sysfs, &files, Instant::now() + PATIENCE);
    // A dump has no file, an empty one or one without rights of what was not read; the kernel's own always says something.
    let is_left_out = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if sysfs.is_dump() && (asked.len() < addresses.len() || texts.iter().any(is_left_out)) {
        return None;
    }
    // drivers/pci/pci-sysfs.c prints a null pointer when there is none.
    let is_set = |text: &String| !text.is_empty() && text != "(null)";
    let found = asked.iter().zip(texts).filter_map(|((address, _), text)| Some((*address, text.filter(is_set)?)));
    silent.is_empty().then(|| found.collect())
}
