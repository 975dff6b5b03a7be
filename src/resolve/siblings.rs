//! Which functions go with another: those of the same device, and those of the same IOMMU group.
//!
//! Functions of one device are those with the same domain, bus and device number, as lspci's `-s 03:00` shows them. Virtual
//! functions are left out: they have numbers from the same range, whoever's they are, and go with their physical one.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::resolve::below::iommu_members;
use crate::topology::paths::DEVICES;

/// How many functions a selector may stand for, and which others are included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Selectors that match more than one function are accepted.
    pub(crate) each: bool,
    /// With every function of the same device.
    pub(crate) siblings: bool,
    /// With every function of the same IOMMU group but bridges.
    pub(crate) iommu_group: bool,
}

/// The other functions of a device that are there, in order; none of a virtual function. The function itself need not be
/// there.
pub(crate) fn siblings(sysfs: &Sysfs, address: PciAddress) -> Vec<PciAddress> {
    let is_virtual = |address: PciAddress| sysfs.exists(&format!("{DEVICES}/{address}/physfn"));
    if is_virtual(address) {
        return Vec::new();
    }
    let others = (0..8).map(|function| PciAddress { function, ..address }).filter(|other| *other != address);
    others.filter(|other| sysfs.has_function(*other) && !is_virtual(*other)).collect()
}

/// The other functions of a function's IOMMU group, in order; `None` where it is in none.
///
/// # Errors
/// sysfs cannot be read.
pub(crate) fn iommu_neighbors(sysfs: &Sysfs, address: PciAddress) -> Result<Option<Vec<PciAddress>>> {
    let link = format!("{DEVICES}/{address}/iommu_group");
    let group = sysfs.link_name(&link).map_err(|error| Error::io(sysfs.display(&link), &error))?;
    let Some(group) = group else { return Ok(None) };
    let mut members = iommu_members(sysfs, &group)?;
    members.retain(|member| *member != address);
    Ok(Some(members))
}

impl Selection {
    /// Whether functions are included that were not named.
    pub(crate) fn is_wider(self) -> bool {
        self.siblings || self.iommu_group
    }

    /// These functions and those that are included, in order; what is left out is noted. `absent` is the address of one
    /// that is not there.
    ///
    /// # Errors
    /// A function is in no IOMMU group and its group was asked for.
    pub(crate) fn widen(
        self,
        sysfs: &Sysfs,
        mut functions: Vec<PciAddress>,
        absent: Option<PciAddress>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<PciAddress>> {
        if self.siblings {
            let of: Vec<PciAddress> = functions.iter().copied().chain(absent).collect();
            functions.extend(of.into_iter().flat_map(|address| siblings(sysfs, address)));
        }
        if self.iommu_group {
            let named = functions.clone();
            for address in &named {
                functions.extend(with_group(sysfs, *address, &named, notes)?);
            }
        }
        functions.sort_unstable();
        functions.dedup();
        Ok(functions)
    }
}

/// What goes with a function because of its IOMMU group. Bridges stay: pcieport may keep them while the group is given to a
/// guest (driver_managed_dma, since 5.19), and what is below them may be in other groups.
fn with_group(
    sysfs: &Sysfs,
    address: PciAddress,
    named: &[PciAddress],
    notes: &mut Vec<String>,
) -> Result<Vec<PciAddress>> {
    let Some(neighbors) = iommu_neighbors(sysfs, address)? else {
        let error = Error::new(ErrorKind::Failed, format!("{address}: is in no IOMMU group"));
        return Err(error.hint("leave --iommu-group out to take it alone").about(address));
    };
    let is_bridge = |address: &PciAddress| sysfs.exists(&format!("{DEVICES}/{address}/pci_bus"));
    let (bridges, others): (Vec<_>, Vec<_>) = neighbors.into_iter().partition(is_bridge);
    for bridge in bridges.into_iter().filter(|bridge| !named.contains(bridge)) {
        let note = format!("{bridge}: --iommu-group does not include it, because it is a bridge");
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    Ok(others)
}
