//! From a device, however high it stands, down to those that sit on functions: through dm, md and bcache (`slaves`),
//! bonds, bridges and VLANs (`lower_*`), disks with several paths, and VFIO groups.

use crate::error::{Error, Result};
use crate::host::sysfs::{Sysfs, follow, last_step};
use crate::host::text::is_number;
use crate::pci::address::PciAddress;
use crate::topology::paths::DEVICES;

/// Stacks are built by hand; none is as high, and one without an end must not hold us up.
const HIGHEST: usize = 16;

/// The last function that a device's directory is below, or that it is.
pub(crate) fn last_address(path: &str) -> Option<PciAddress> {
    path.split('/').filter_map(PciAddress::from_sysfs_name).next_back()
}

/// The functions of these directories, in order, each once.
pub(crate) fn functions_of(paths: &[String]) -> Vec<PciAddress> {
    let mut found: Vec<PciAddress> = paths.iter().filter_map(|path| last_address(path)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The directories of the devices at the bottom, each of which sits on a function; none for what stands on none.
///
/// # Errors
/// Something of it may not be read.
pub(crate) fn bottoms(sysfs: &Sysfs, path: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    descend(sysfs, path, &mut found, 0)?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn descend(sysfs: &Sysfs, path: &str, found: &mut Vec<String>, depth: usize) -> Result<()> {
    if last_address(path).is_some() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth > HIGHEST {
        return Ok(());
    }
    for below in one_step(sysfs, path)? {
        descend(sysfs, &below, found, depth + 1)?;
    }
    Ok(())
}

fn one_step(sysfs: &Sysfs, path: &str) -> Result<Vec<String>> {
    let Some((above, name)) = path.rsplit_once('/') else { return Ok(Vec::new()) };
    if last_step(above) == "vfio" {
        return in_group(sysfs, name.trim_start_matches("noiommu-"));
    }
    if above.contains("/nvme-subsystem/") {
        return paths_of_head(sysfs, above, name);
    }
    let lower: Vec<String> = names(sysfs, path)?.into_iter().filter(|name| name.starts_with("lower_")).collect();
    if !lower.is_empty() {
        return targets(sysfs, path, &lower);
    }
    // A partition of dm or md has none of its own.
    for owner in [path, above] {
        let slaves = format!("{owner}/slaves");
        let lower = names(sysfs, &slaves)?;
        if !lower.is_empty() {
            return targets(sysfs, &slaves, &lower);
        }
    }
    Ok(Vec::new())
}

/// The controllers' own views of a disk with several paths: `nvme0c1n1` of `nvme0n1`, or the controller, if it has none.
fn paths_of_head(sysfs: &Sysfs, subsystem: &str, disk: &str) -> Result<Vec<String>> {
    // A partition lies below its disk, which lies below the subsystem.
    let (subsystem, disk) = match subsystem.rsplit_once('/') {
        Some((above, name)) if name.starts_with("nvme") && !name.starts_with("nvme-subsys") => (above, name),
        _ => (subsystem, disk),
    };
    let links: Vec<String> = names(sysfs, subsystem)?.into_iter().filter(|name| name.starts_with("nvme")).collect();
    let mut found = Vec::new();
    for controller in targets(sysfs, subsystem, &links)? {
        let own =
            names(sysfs, &controller)?.into_iter().find(|name| name != disk && namespace(name) == namespace(disk));
        found.push(own.map_or(controller.clone(), |own| format!("{controller}/{own}")));
    }
    Ok(found)
}

/// What an NVMe namespace is called by all who lead to it: `nvme0n1` for `nvme0c1n1` and `ng0n1`.
pub(crate) fn namespace(name: &str) -> Option<String> {
    let rest = name.strip_prefix("nvme").or_else(|| name.strip_prefix("ng"))?;
    let (front, number) = rest.rsplit_once('n')?;
    let subsystem = front.split('c').next()?;
    (is_number(subsystem) && is_number(number)).then(|| format!("nvme{subsystem}n{number}"))
}

/// The directories of the functions of an IOMMU group.
fn in_group(sysfs: &Sysfs, group: &str) -> Result<Vec<String>> {
    let members: Vec<String> = iommu_members(sysfs, group)?.iter().map(PciAddress::to_string).collect();
    targets(sysfs, DEVICES, &members)
}

/// The functions of an IOMMU group, in order. The kernel lists them; a dump may not.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn iommu_members(sysfs: &Sysfs, group: &str) -> Result<Vec<PciAddress>> {
    let mut listed = names(sysfs, &format!("kernel/iommu_groups/{group}/devices"))?;
    if listed.is_empty() {
        listed = names(sysfs, DEVICES)?;
        listed.retain(|name| {
            sysfs.link_name(&format!("{DEVICES}/{name}/iommu_group")).ok().flatten().as_deref() == Some(group)
        });
    }
    // Devices of other buses have groups, too.
    let mut members: Vec<PciAddress> = listed.iter().filter_map(|name| PciAddress::from_sysfs_name(name)).collect();
    members.sort_unstable();
    Ok(members)
}

/// Where these links of a directory lead.
fn targets(sysfs: &Sysfs, directory: &str, links: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in links {
        found.extend(target(sysfs, directory, name)?);
    }
    Ok(found)
}

/// Where a link of a directory leads; none if it is not there, or leads out of sysfs.
pub(crate) fn target(sysfs: &Sysfs, directory: &str, name: &str) -> Result<Option<String>> {
    let path = format!("{directory}/{name}");
    let link = sysfs.link(&path).map_err(|error| Error::io(sysfs.display(&path), &error))?;
    Ok(link.and_then(|link| follow(directory, &link)))
}

/// The names in a directory; none if it is missing.
pub(crate) fn names(sysfs: &Sysfs, path: &str) -> Result<Vec<String>> {
    let names = sysfs.names(path).map_err(|error| Error::io(sysfs.display(path), &error))?;
    let mut names = names.unwrap_or_default();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn one_namespace_has_many_names() {
        for name in ["nvme0n1", "nvme0c1n1", "ng0n1"] {
            assert_eq!(namespace(name).as_deref(), Some("nvme0n1"), "{name}");
        }
        for name in ["nvme0", "nvme0n1p1", "nvme-subsys0", "sda"] {
            assert_eq!(namespace(name), None, "{name}");
        }
    }
}
