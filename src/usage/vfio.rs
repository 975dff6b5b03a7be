//! Functions given to virtual machines and other user-space drivers, and VFs in use.

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::process::descriptors::{Node, Wanted};
use crate::usage::scope::{Scope, number};

/// Whether a driver hands its device to user space.
pub(crate) fn is_vfio(driver: Option<&str>) -> bool {
    driver.is_some_and(|driver| driver.contains("vfio"))
}

/// Adds the VFIO group nodes of the functions: a group is opened by number and holds all of its functions.
pub(crate) fn want_groups(sysfs: &Sysfs, scope: &Scope, wanted: &mut Wanted) {
    for (address, subject) in scope.iter() {
        if !is_vfio(subject.driver.as_deref()) {
            continue;
        }
        let Some(group) = sysfs.link_name(&format!("{}/iommu_group", subject.path)).ok().flatten() else { continue };
        for name in [group.clone(), format!("noiommu-{group}")] {
            let number = sysfs.read(&format!("class/vfio/{name}/dev")).ok().flatten();
            let node = Node { address, path: format!("/dev/vfio/{name}"), origin: String::new(), danger: Danger::Vfio };
            wanted.add(false, number.as_deref().and_then(number_of), node);
        }
    }
}

fn number_of(text: &str) -> Option<(u32, u32)> {
    number(text)
}

/// Whether vfio-pci has the device open: it enables the device then, and only then.
pub(crate) fn is_enabled(sysfs: &Sysfs, path: &str) -> bool {
    sysfs.read(&format!("{path}/enable")).ok().flatten().is_some_and(|count| count.trim() != "0")
}

/// For every physical function one user for all of its virtual functions that are used.
pub(crate) fn virtual_functions(scope: &Scope, users: &[User]) -> Vec<User> {
    let mut found: Vec<User> = Vec::new();
    for user in users {
        let Some(physical) = scope.get(user.address).and_then(|subject| subject.physical) else { continue };
        // Asked about the virtual function alone, its physical one is not at stake.
        if scope.get(physical).is_some() && !found.iter().any(|known| known.device == user.address.to_string()) {
            found.push(in_use(physical, user.address));
        }
    }
    found
}

fn in_use(physical: PciAddress, virtual_function: PciAddress) -> User {
    let description = format!("{virtual_function}, a virtual function of {physical}, is in use");
    User::new(Danger::Vfs, physical, virtual_function.to_string(), virtual_function.to_string(), description)
}
