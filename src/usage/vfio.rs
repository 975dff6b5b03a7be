//! Functions given to virtual machines and other user-space drivers by whatever door: VFIO, mediated devices, Xen's
//! pciback; and VFs in use.

use std::collections::BTreeSet;

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::process::descriptors::{Node, Wanted};
use crate::usage::scope::{Scope, linked, number};

/// What is given away of the functions.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Functions that a variant of vfio has, whatever its driver is called.
    functions: BTreeSet<PciAddress>,
    /// Mediated devices below them.
    pub(crate) mediated: Vec<Mediated>,
}

/// A mediated device: a part of a function that a guest can have as if it were one.
#[derive(Debug)]
pub(crate) struct Mediated {
    /// The function it is a part of.
    pub(crate) address: PciAddress,
    /// Its UUID.
    pub(crate) name: String,
    /// Its own IOMMU group.
    group: Option<String>,
}

impl Given {
    /// Looks for them.
    pub(crate) fn read(sysfs: &Sysfs, scope: &Scope) -> Self {
        let is_named = |driver: Option<&str>| driver.is_some_and(|driver| driver.contains("vfio"));
        let mut functions: BTreeSet<PciAddress> = BTreeSet::new();
        functions.extend(scope.iter().filter(|(_, f)| is_named(f.driver.as_deref())).map(|(address, _)| address));
        // Every device that vfio has, since 6.1 (vfio_register_group_dev in drivers/vfio/vfio_main.c).
        for (_, path) in linked(sysfs, "class/vfio-dev") {
            let device = path.split_once("/vfio-dev/").map(|(device, _)| device.rsplit('/').next().unwrap_or_default());
            let address = device.and_then(PciAddress::from_sysfs_name);
            functions.extend(address.filter(|address| scope.get(*address).is_some()));
        }
        let mediated = linked(sysfs, "bus/mdev/devices").into_iter().filter_map(|(name, path)| {
            let group = sysfs.link_name(&format!("{path}/iommu_group")).ok().flatten();
            Some(Mediated { address: scope.owner(&path)?, name, group })
        });
        Self { mediated: mediated.collect(), functions }
    }

    /// Whether vfio has the function.
    pub(crate) fn has(&self, address: PciAddress) -> bool {
        self.functions.contains(&address)
    }

    /// Functions whose users are told by this.
    pub(crate) fn told(&self) -> impl Iterator<Item = PciAddress> {
        self.functions.iter().copied().chain(self.mediated.iter().map(|mediated| mediated.address))
    }

    /// Adds the VFIO group nodes: a group is opened by number and holds all of its devices.
    pub(crate) fn want_groups(&self, sysfs: &Sysfs, scope: &Scope, wanted: &mut Wanted) {
        let own = scope.iter().filter(|(address, _)| self.has(*address)).filter_map(|(address, function)| {
            let group = sysfs.link_name(&format!("{}/iommu_group", function.path)).ok().flatten()?;
            Some((address, group, String::new()))
        });
        let parts = self.mediated.iter().filter_map(|mediated| {
            Some((mediated.address, mediated.group.clone()?, format!(", the mediated device {}", mediated.name)))
        });
        for (address, group, origin) in own.chain(parts) {
            for name in [group.clone(), format!("noiommu-{group}")] {
                let number = sysfs.value(&format!("class/vfio/{name}/dev")).as_deref().and_then(number_of);
                // A machine shows what there is to be opened; a dump may lack it.
                if number.is_none() && !sysfs.is_dump() {
                    continue;
                }
                let path = format!("/dev/vfio/{name}");
                let node = Node { address, path, origin: origin.clone(), danger: Danger::Vfio };
                wanted.add(false, number, node);
            }
        }
    }
}

fn number_of(text: &str) -> Option<(u32, u32)> {
    number(text)
}

/// Whether a driver that gives functions away has the device open: it enables the device then, and only then.
pub(crate) fn is_enabled(sysfs: &Sysfs, path: &str) -> bool {
    sysfs.read(&format!("{path}/enable")).ok().flatten().is_some_and(|count| count.trim() != "0")
}

/// Functions that a Xen domain has through pciback. Which domain has which is told to xenstore alone, so a function that
/// is not enabled may still be one that a domain was given and does not drive.
pub(crate) fn xen(sysfs: &Sysfs, scope: &Scope) -> Vec<User> {
    let is_pciback = |driver: Option<&str>| matches!(driver, Some("pciback" | "xen-pciback"));
    let given = scope.iter().filter(|(_, function)| is_pciback(function.driver.as_deref()));
    // `pci-7-0`: the first device of the domain 7 (drivers/xen/xenbus/xenbus_probe_backend.c).
    let domain = |name: &String| Some(name.strip_prefix("pci-")?.split('-').next()?.to_owned());
    let mut domains: Option<Vec<String>> = None;
    let mut read = || -> Vec<String> {
        let names = sysfs.names("bus/xen-backend/devices").ok().flatten().unwrap_or_default();
        let mut domains: Vec<String> = names.iter().filter_map(domain).collect();
        domains.sort_unstable();
        domains.dedup();
        domains
    };
    let mut users = Vec::new();
    for (address, function) in given {
        let domains = domains.get_or_insert_with(&mut read);
        let (by, who) = match domains.as_slice() {
            [] => ("pciback".to_owned(), "a Xen domain".to_owned()),
            [only] => (format!("domain {only}"), format!("Xen domain {only}")),
            all => (format!("domains {}", all.join(",")), format!("one of the Xen domains {}", all.join(", "))),
        };
        let user = match (is_enabled(sysfs, &function.path), domains.is_empty()) {
            (true, _) => {
                User::new(Danger::Vfio, address, "pciback", by, format!("{who} has {address} through pciback"))
            }
            (false, false) => {
                let text =
                    format!("{who} has devices through pciback; whether {address} is one of them cannot be told");
                User::new(Danger::Unchecked, address, "pciback", by, text)
            }
            (false, true) => continue,
        };
        users.push(user);
    }
    users
}

/// For every physical function one user for all of its virtual functions that are used.
pub(crate) fn virtual_functions(scope: &Scope, users: &[User]) -> Vec<User> {
    let mut found: Vec<User> = Vec::new();
    for user in users.iter().filter(|user| user.kind != Danger::Unchecked) {
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
