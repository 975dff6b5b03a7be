//! What people call the things on functions: interfaces, disks, tapes, RDMA devices, graphics, for a listing.
//!
//! Of a whole machine these are told by the links of a few classes, a call for each device; of a few functions by their
//! own directories, so that looking at one costs the same on any machine. Both give the same names.

use std::collections::HashMap;

use crate::host::sysfs::{Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::resolve::below::{last_address, namespace, target};
use crate::topology::attributes::Attributes;

/// The classes whose devices people know by name, in the order in which they are told.
const CLASSES: [&str; 7] = ["net", "block", "scsi_tape", "infiniband", "drm", "accel", "nvme"];

/// Those that stand for things that somebody would miss; the others show the same things from another side, and are named
/// where there is nothing else.
const THINGS: [&str; 3] = ["net", "block", "scsi_tape"];

/// The names of all functions of a machine, as `net/eth0`.
pub(crate) fn all_names(sysfs: &Sysfs) -> HashMap<PciAddress, Vec<String>> {
    let mut found: HashMap<PciAddress, Vec<String>> = HashMap::new();
    for class in CLASSES {
        let directory = format!("class/{class}");
        for name in sysfs.listed(&directory).iter().filter(|name| class != "block" || !is_virtual_disk(name)) {
            let path = target(sysfs, &directory, name).ok().flatten();
            if let Some(address) = path.and_then(|path| last_address(&path)) {
                found.entry(address).or_default().push(format!("{class}/{name}"));
            }
        }
    }
    found
}

/// The names of one function, by its directory.
pub(crate) fn names_of(attributes: &Attributes<'_>, path: &str) -> Vec<String> {
    known_names(attributes.class_devices(path))
}

/// Those of a function's class devices that people know by name.
pub(crate) fn known_names(mut found: Vec<String>) -> Vec<String> {
    let rank = |device: &str| CLASSES.iter().position(|class| *class == device.split('/').next().unwrap_or_default());
    found.retain(|device| rank(device).is_some());
    found.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
    found
}

/// The things that somebody would miss, by their plain names: disks without their partitions, interfaces; where there are
/// none, what else has a name.
pub(crate) fn things(names: &[String]) -> Vec<String> {
    let disks: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("block/")).collect();
    let is_thing = |name: &&String| {
        let (class, name) = name.split_once('/').unwrap_or_default();
        match class {
            "block" => !disks.iter().any(|disk| is_partition(name, disk)),
            // The other nodes of a tape are of the same tape.
            "scsi_tape" => name.starts_with("st") && !name.ends_with(|last: char| last.is_ascii_alphabetic()),
            class => THINGS.contains(&class),
        }
    };
    let mut things: Vec<&String> = names.iter().filter(is_thing).collect();
    if things.is_empty() {
        // Of a graphics card, `card0-DP-1` and `renderD128` are parts of `card0`.
        let is_part = |name: &str| name.starts_with("drm/") && (name.contains('-') || name.contains("renderD"));
        things = names.iter().filter(|name| !name.starts_with("block/") && !is_part(name)).collect();
    }
    // A disk that several controllers lead to goes by the name that it is used under.
    let plain = |name: &&String| namespace(last_step(name)).unwrap_or_else(|| last_step(name).to_owned());
    let mut plain: Vec<String> = things.iter().map(plain).collect();
    plain.dedup();
    plain
}

/// As disk_name in block/partitions/core.c writes them: `sda1`, `nvme0n1p1`.
fn is_partition(name: &str, disk: &str) -> bool {
    let Some(rest) = name.strip_prefix(disk) else { return false };
    let number = if disk.ends_with(|last: char| last.is_ascii_digit()) { rest.strip_prefix('p') } else { Some(rest) };
    number.is_some_and(crate::host::text::is_number)
}

/// Disks that no function has, of which a machine has many.
fn is_virtual_disk(name: &str) -> bool {
    ["loop", "ram", "zram", "dm-", "md", "nbd"].iter().any(|kind| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::things;

    #[test]
    fn a_thing_is_named_once() {
        let things = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            things(&names).join(" ")
        };
        assert_eq!(things(&["block/sda", "block/sda1", "block/sdb"]), "sda sdb");
        assert_eq!(things(&["block/nvme0n1", "block/nvme0n10", "block/nvme0n1p1", "nvme/nvme0"]), "nvme0n1 nvme0n10");
        assert_eq!(things(&["block/nvme0c1n1", "nvme/nvme1"]), "nvme0n1");
        assert_eq!(things(&["net/eth0", "infiniband/mlx5_0"]), "eth0");
        assert_eq!(things(&["infiniband/mlx5_0"]), "mlx5_0");
        assert_eq!(things(&["drm/card0", "drm/card0-DP-1", "drm/renderD128"]), "card0");
        assert_eq!(things(&["scsi_tape/nst0", "scsi_tape/st0", "scsi_tape/st0a"]), "st0");
        assert_eq!(things(&["nvme/nvme0"]), "nvme0");
    }
}
