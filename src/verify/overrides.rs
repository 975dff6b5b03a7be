//! Driver overrides by address. `driver_override` blocks for as long as a driver's probe or remove does, so it is read by a
//! child that can be left behind, see [`child`](crate::host::child).

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::time::Instant;

use crate::host::child::{PATIENCE, Sender, look_at_each};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;

/// What `driver_override` says, by address; functions without an override are left out.
pub type Overrides = HashMap<PciAddress, String>;

/// The overrides of these functions; `None` if that cannot be found out without hanging. A driver that is not stuck
/// releases its device's lock long before a child is given up.
pub(crate) fn read_overrides(sysfs: &Sysfs, addresses: &[PciAddress]) -> Option<Overrides> {
    let may_say = |address: &&PciAddress| sysfs.exists(&format!("{}/driver_override", address.sysfs_link()));
    let asked: Vec<PciAddress> = addresses.iter().filter(may_say).copied().collect();
    // The plain files of a dumped tree never block.
    if sysfs.is_dump() {
        return Some(asked.iter().filter_map(|address| Some((*address, read(sysfs, *address)?))).collect());
    }
    let look = |address: &PciAddress, sender: &mut Sender| {
        if let Some(driver) = read(sysfs, *address) {
            sender.send(&driver);
        }
    };
    let (mut overrides, left) = (Overrides::new(), [sysfs.top().as_fd()]);
    let unseen = look_at_each(&asked, 1, &left, Instant::now() + PATIENCE, &look, |number, driver: String| {
        overrides.insert(asked[number], driver);
    });
    unseen.is_empty().then_some(overrides)
}

fn read(sysfs: &Sysfs, address: PciAddress) -> Option<String> {
    let text = sysfs.read(&format!("{}/driver_override", address.sysfs_link())).ok().flatten()?;
    // drivers/pci/pci-sysfs.c prints a null pointer when there is none.
    (!text.is_empty() && text != "(null)").then_some(text)
}
