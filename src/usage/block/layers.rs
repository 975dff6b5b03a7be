//! What stands right on a block device: partitions, what has a link in `holders/`, loop devices, and zram's backing store.

use std::collections::HashMap;

use crate::host::patience::read_all;
use crate::host::sysfs::Sysfs;
use crate::usage::block::nodes::real_node;
use crate::usage::scope::{Device, Inventory};

/// A device that stands on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its index in the inventory.
    pub(crate) index: usize,
    /// Whether it is a part of it.
    pub(crate) is_partition: bool,
}

/// For each block device those that stand right on it; `holders/` is read of those that are asked about.
pub(crate) struct Layers<'a> {
    sysfs: &'a Sysfs,
    inventory: &'a Inventory,
    /// What leaves no link there, by the device below.
    others: HashMap<usize, Vec<Layer>>,
    /// What could not be looked at.
    pub(crate) unchecked: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(crate) fn read(sysfs: &'a Sysfs, inventory: &'a Inventory) -> Self {
        let mut layers = Self { sysfs, inventory, others: HashMap::new(), unchecked: Vec::new() };
        let by_path: HashMap<&str, usize> =
            inventory.blocks.iter().enumerate().map(|(index, device)| (device.path.as_str(), index)).collect();
        for (index, device) in inventory.blocks.iter().enumerate() {
            if let Some(disk) = device.path.rsplit_once('/').and_then(|(parent, _)| by_path.get(parent)) {
                layers.add(*disk, Layer { index, is_partition: true });
            }
            if let Some(lower) = loop_backing(sysfs, device).and_then(|name| inventory.block_named(&name)) {
                layers.add(lower, Layer { index, is_partition: false });
            }
        }
        layers.swap_in_memory();
        layers
    }

    /// zram writes what does not shrink to a disk (drivers/block/zram/zram_drv.c, backing_dev_show, which waits for a
    /// lock of the device).
    fn swap_in_memory(&mut self) {
        let is_zram = |device: &Device| device.name.starts_with("zram");
        let file = |device: &Device| format!("{}/backing_dev", device.path);
        let all = self.inventory.blocks.iter().enumerate();
        let found: Vec<(usize, String)> = all
            .filter(|(_, device)| is_zram(device) && self.sysfs.exists(&file(device)))
            .map(|(index, device)| (index, file(device)))
            .collect();
        let paths: Vec<String> = found.iter().map(|(_, path)| path.clone()).collect();
        let (texts, unchecked) = read_all(self.sysfs, &paths);
        self.unchecked.extend(unchecked);
        for ((index, _), text) in found.iter().zip(texts) {
            let node = text.map(|text| real_node(self.sysfs, None, text.trim()));
            let lower = node.as_deref().and_then(|node| node.strip_prefix("/dev/"));
            if let Some(lower) = lower.and_then(|name| self.inventory.block_named(&name.replace('/', "!"))) {
                self.add(lower, Layer { index: *index, is_partition: false });
            }
        }
    }

    fn add(&mut self, lower: usize, upper: Layer) {
        self.others.entry(lower).or_default().push(upper);
    }

    /// What stands right on this one.
    pub(crate) fn of(&self, index: usize) -> Vec<Layer> {
        let mut found = self.others.get(&index).cloned().unwrap_or_default();
        let holders = format!("{}/holders", self.inventory.blocks[index].path);
        let names = self.sysfs.listed(&holders);
        let named = names.iter().filter_map(|name| self.inventory.block_named(name));
        found.extend(named.map(|index| Layer { index, is_partition: false }));
        found
    }
}

/// The block device behind a loop device, if it is not a file.
fn loop_backing(sysfs: &Sysfs, device: &Device) -> Option<String> {
    device.name.starts_with("loop").then_some(())?;
    let file = sysfs.read(&format!("{}/loop/backing_file", device.path)).ok().flatten()?;
    file.strip_prefix("/dev/").map(|name| name.replace('/', "!"))
}

/// What kind of thing a holder is, and the name that dm gives it.
pub(crate) fn kind_of(sysfs: &Sysfs, device: &Device) -> (&'static str, Option<String>) {
    let read = |name: &str| sysfs.read(&format!("{}/{name}", device.path)).ok().flatten();
    if let Some(name) = read("dm/name") {
        let kind = match dm_uuid(sysfs, device).split('-').next().unwrap_or_default() {
            "LVM" => "LVM",
            "CRYPT" => "LUKS",
            "mpath" => "multipath",
            _ => "device mapper",
        };
        return (kind, Some(name));
    }
    let kinds =
        [("md", "RAID"), ("bcache", "bcache"), ("loop", "loop"), ("drbd", "DRBD"), ("zram", "compressed memory")];
    let kind = kinds.iter().find(|(prefix, _)| device.name.starts_with(prefix));
    (kind.map_or("block device", |(_, kind)| kind), None)
}

/// What dm was told a device is; empty for what is not dm's.
pub(crate) fn dm_uuid(sysfs: &Sysfs, device: &Device) -> String {
    sysfs.read(&format!("{}/dm/uuid", device.path)).ok().flatten().unwrap_or_default()
}
