//! Functions that share their fate beside the PCI tree: GPUs of one XGMI hive.
//!
//! Members of a hive read each other's memory over links of their own, and amdgpu resets a hive as a whole
//! (drivers/gpu/drm/amd/amdgpu/amdgpu_xgmi.c). NVLink is told nowhere in sysfs.

use crate::host::sysfs::{Sysfs, follow};
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::scope::{Scope, ScopedFunction};

/// A function that is not asked about, and is of the hive of one that is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HiveMember {
    /// It.
    pub(crate) address: PciAddress,
    /// The function that is asked about.
    pub(crate) of: PciAddress,
    /// Its directory below `sys`.
    path: String,
}

/// The members together, to ask at once who uses them: each look goes through all processes.
pub(crate) fn scope_of(sysfs: &Sysfs, members: &[HiveMember]) -> Scope {
    let function = |member: &HiveMember| {
        let driver = sysfs.driver(&member.path);
        (member.address, ScopedFunction { path: member.path.clone(), driver, physical: None, class: None })
    };
    Scope::from_functions(members.iter().map(function))
}

/// The members of the functions' hives that are not asked about themselves, by address.
pub(crate) fn others(sysfs: &Sysfs, scope: &Scope) -> Vec<HiveMember> {
    let mut found = Vec::new();
    for (of, function) in scope.iter() {
        if function.driver.as_deref() != Some("amdgpu") {
            continue;
        }
        let directory = format!("{}/xgmi_hive_info", function.path);
        for name in sysfs.names(&directory).ok().flatten().unwrap_or_default() {
            let target = sysfs.link(&format!("{directory}/{name}")).ok().flatten();
            let path = target.and_then(|target| follow(&directory, &target)).unwrap_or_default();
            let address = path.rsplit('/').next().and_then(PciAddress::from_sysfs_name);
            let is_other = |address: &PciAddress| scope.get(*address).is_none();
            found.extend(address.filter(is_other).map(|address| HiveMember { address, of, path }));
        }
    }
    order::sort(&mut found);
    found.dedup_by_key(|member| member.address);
    found
}
