//! What is built on the disks of the functions: up through partitions, dm, md, bcache, loop and exports, to the top.
//!
//! The kernel names most of it in `holders/`. What claims a disk without a link there is asked for by name: loop
//! devices, bcache's cache disks, btrfs and bcachefs members, exports by LIO and nvmet. ZFS shows none of its members
//! in /sys or /proc; what its own cache file says is believed.

use std::collections::HashMap;

use crate::host::sysfs::{Sysfs, follow};
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Device, Inventory};

/// A block device that stands on one of the functions, however high.
#[derive(Clone, Debug)]
pub(crate) struct StackedDevice {
    /// The function at the bottom.
    pub(crate) address: PciAddress,
    /// The device as people know it: `nvme0n1p2`, `dm-0 (vg-root)`.
    pub(crate) label: String,
    /// The disk at the bottom, where it is another device: `, on nvme0n1p2`.
    pub(crate) origin: Option<String>,
}

/// Every block device that stands on the functions.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    reached: HashMap<usize, StackedDevice>,
    /// Names below /dev, by which mounts and swap lists may call them.
    names: HashMap<String, usize>,
    /// What holds them, and is neither a mount nor a process.
    pub(crate) holders: Vec<User>,
}

impl Storage {
    /// Climbs from the functions' own disks to all that stands on them.
    pub(crate) fn read(sysfs: &Sysfs, inventory: &Inventory) -> Self {
        let mut storage = Self::default();
        if inventory.own_blocks.is_empty() {
            return storage;
        }
        let above = StackIndex::read(sysfs, inventory);
        let mut queue: Vec<usize> = Vec::new();
        for (address, index) in &inventory.own_blocks {
            let device = &inventory.blocks[*index];
            storage.reach(
                *index,
                device,
                StackedDevice { address: *address, label: device.name.clone(), origin: None },
                None,
            );
            queue.push(*index);
        }
        while let Some(index) = queue.pop() {
            for upper in above.of(index) {
                if storage.reached.contains_key(&upper.index) {
                    continue;
                }
                storage.add_layer(sysfs, inventory, index, upper);
                queue.push(upper.index);
            }
        }
        storage.claimed_otherwise(sysfs, inventory);
        storage
    }

    fn reach(&mut self, index: usize, device: &Device, reached: StackedDevice, alias: Option<String>) {
        self.names.insert(device.name.replace('!', "/"), index);
        if let Some(alias) = alias {
            self.names.insert(format!("mapper/{alias}"), index);
        }
        self.reached.insert(index, reached);
    }

    /// One device stands on another that is reached already.
    fn add_layer(&mut self, sysfs: &Sysfs, inventory: &Inventory, lower: usize, upper: &StackEntry) {
        let device = &inventory.blocks[upper.index];
        let Some(below) = self.reached.get(&lower).cloned() else { return };
        let (kind, alias) = kind_of(sysfs, device);
        let label = match &alias {
            _ if upper.partition => device.name.clone(),
            Some(name) => format!("{} ({kind} {name})", device.name),
            None => format!("{} ({kind})", device.name),
        };
        if !upper.partition {
            let description = format!("{label} is built on {}{}", below.label, on_origin(&below.origin));
            self.holders.push(User::new(
                Danger::Holders,
                below.address,
                below.label.clone(),
                device.name.clone(),
                description,
            ));
        }
        let origin = Some(below.origin.unwrap_or(below.label));
        self.reach(upper.index, device, StackedDevice { address: below.address, label, origin }, alias);
    }

    /// What claims a disk and leaves no link in `holders`.
    fn claimed_otherwise(&mut self, sysfs: &Sysfs, inventory: &Inventory) {
        let mut found = Vec::new();
        for (index, reached) in &self.reached {
            let set = format!("{}/bcache/set", inventory.blocks[*index].path);
            if let Some(set) = sysfs.link_name(&set).ok().flatten() {
                found.push(holder(reached, &format!("bcache set {set}"), "caches on"));
            }
        }
        for (what, path) in exports(sysfs) {
            if let Some((_, reached)) = self.named(&path) {
                found.push(holder(reached, &what, "gives out"));
            }
        }
        self.holders.extend(found);
    }

    /// A block device by a path below /dev.
    pub(crate) fn named(&self, path: &str) -> Option<(usize, &StackedDevice)> {
        let index = self.names.get(path.strip_prefix("/dev/")?)?;
        Some((*index, self.reached.get(index)?))
    }

    /// A block device by its number.
    pub(crate) fn numbered(&self, inventory: &Inventory, number: (u32, u32)) -> Option<(usize, &StackedDevice)> {
        let index = inventory.block_numbered(number)?;
        Some((index, self.reached.get(&index)?))
    }

    /// A block device by its kernel name.
    pub(crate) fn kernel_name(&self, name: &str) -> Option<(usize, &StackedDevice)> {
        let index = self.names.get(&name.replace('!', "/"))?;
        Some((*index, self.reached.get(index)?))
    }

    /// Every device that is reached, by its index in the inventory.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &StackedDevice)> {
        self.reached.iter().map(|(index, reached)| (*index, reached))
    }

    /// Whether there is any disk at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.reached.is_empty()
    }
}

/// A holder without a block device of its own.
pub(crate) fn holder(reached: &StackedDevice, what: &str, does: &str) -> User {
    let description = format!("{what} {does} {}{}", reached.label, on_origin(&reached.origin));
    User::new(Danger::Holders, reached.address, reached.label.clone(), what, description)
}

/// `, on nvme0n1p2`, for what stands on another device.
pub(crate) fn on_origin(origin: &Option<String>) -> String {
    origin.as_ref().map_or_else(String::new, |origin| format!(", on {origin}"))
}

/// A device that stands on another.
struct StackEntry {
    index: usize,
    partition: bool,
}

/// For each block device those that stand right on it.
struct StackIndex(HashMap<usize, Vec<StackEntry>>);

impl StackIndex {
    fn read(sysfs: &Sysfs, inventory: &Inventory) -> Self {
        let mut above = Self(HashMap::new());
        let by_path: HashMap<&str, usize> =
            inventory.blocks.iter().enumerate().map(|(index, device)| (device.path.as_str(), index)).collect();
        for (index, device) in inventory.blocks.iter().enumerate() {
            if let Some(disk) = device.path.rsplit_once('/').and_then(|(parent, _)| by_path.get(parent)) {
                above.add(*disk, StackEntry { index, partition: true });
            }
            for name in sysfs.names(&format!("{}/holders", device.path)).ok().flatten().unwrap_or_default() {
                if let Some(upper) = inventory.block_named(&name) {
                    above.add(index, StackEntry { index: upper, partition: false });
                }
            }
            if let Some(lower) = loop_backing(sysfs, device).and_then(|name| inventory.block_named(&name)) {
                above.add(lower, StackEntry { index, partition: false });
            }
        }
        above
    }

    fn add(&mut self, lower: usize, upper: StackEntry) {
        self.0.entry(lower).or_default().push(upper);
    }

    fn of(&self, index: usize) -> &[StackEntry] {
        self.0.get(&index).map_or(&[], Vec::as_slice)
    }
}

/// The block device behind a loop device, if it is not a file.
fn loop_backing(sysfs: &Sysfs, device: &Device) -> Option<String> {
    device.name.starts_with("loop").then_some(())?;
    let file = sysfs.read(&format!("{}/loop/backing_file", device.path)).ok().flatten()?;
    file.strip_prefix("/dev/").map(str::to_owned)
}

/// What kind of thing a holder is, and the name that dm gives it.
fn kind_of(sysfs: &Sysfs, device: &Device) -> (&'static str, Option<String>) {
    let read = |name: &str| sysfs.read(&format!("{}/{name}", device.path)).ok().flatten();
    if let Some(name) = read("dm/name") {
        let kind = match read("dm/uuid").unwrap_or_default().split('-').next().unwrap_or_default() {
            "LVM" => "LVM",
            "CRYPT" => "LUKS",
            "mpath" => "multipath",
            _ => "device mapper",
        };
        return (kind, Some(name));
    }
    let kinds = [("md", "RAID"), ("bcache", "bcache"), ("loop", "loop"), ("drbd", "DRBD")];
    let kind = kinds.iter().find(|(prefix, _)| device.name.starts_with(prefix));
    (kind.map_or("block device", |(_, kind)| kind), None)
}

/// The block devices that this machine serves to others, with what serves them (configfs).
fn exports(sysfs: &Sysfs) -> Vec<(String, String)> {
    let names = |path: &str| sysfs.names(path).ok().flatten().unwrap_or_default();
    let mut found = Vec::new();
    let targets = "kernel/config/target/core";
    for hba in names(targets).iter().filter(|name| name.starts_with("iblock_")) {
        for name in names(&format!("{targets}/{hba}")) {
            if let Ok(Some(path)) = sysfs.read(&format!("{targets}/{hba}/{name}/udev_path")) {
                found.push((format!("SCSI target {name}"), path.trim().to_owned()));
            }
        }
    }
    let subsystems = "kernel/config/nvmet/subsystems";
    for name in names(subsystems) {
        for namespace in names(&format!("{subsystems}/{name}/namespaces")) {
            let file = format!("{subsystems}/{name}/namespaces/{namespace}/device_path");
            if let Ok(Some(path)) = sysfs.read(&file) {
                found.push((format!("NVMe target {name}"), path.trim().to_owned()));
            }
        }
    }
    found
}

/// The members of each btrfs or bcachefs that is mounted: its UUID and the kernel names of its disks.
pub(crate) fn members(sysfs: &Sysfs) -> Vec<(String, Vec<String>)> {
    let names = |path: &str| sysfs.names(path).ok().flatten().unwrap_or_default();
    let mut found = Vec::new();
    for uuid in names("fs/btrfs") {
        let devices = names(&format!("fs/btrfs/{uuid}/devices"));
        if !devices.is_empty() {
            found.push((format!("btrfs {uuid}"), devices));
        }
    }
    for uuid in names("fs/bcachefs") {
        let directory = format!("fs/bcachefs/{uuid}");
        let block = |name: &String| {
            let from = format!("{directory}/{name}");
            let target = sysfs.link(&format!("{from}/block")).ok().flatten()?;
            follow(&from, &target)?.rsplit('/').next().map(str::to_owned)
        };
        let devices: Vec<String> = names(&directory).iter().filter_map(block).collect();
        if !devices.is_empty() {
            found.push((format!("bcachefs {uuid}"), devices));
        }
    }
    found
}
