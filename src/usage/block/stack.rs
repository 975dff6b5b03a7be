//! What is built on the disks of the functions: up through partitions, dm, md, bcache, loop and the like, to the top.
//!
//! A device is lost if what it stands on is lost, unless it has other paths or copies that go on without: then it and all
//! that stands on it is [`Danger::Redundant`], whatever it is used for.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::block::layers::{Layer, Layers, kind_of};
use crate::usage::block::redundancy::{Remainder, remainder};
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
    /// What is left of it, or of the one below it that has several paths or copies.
    remainder: Option<Remainder>,
}

impl StackedDevice {
    /// What a use of it stands for that would be of this kind if there were one path to it.
    pub(crate) fn danger(&self, kind: Danger) -> Danger {
        let survives = self.remainder.as_ref().is_some_and(|remainder| remainder.survives);
        if survives { Danger::Redundant } else { kind }
    }

    /// `, on nvme0n1p2`, for what stands on another device.
    pub(crate) fn place(&self) -> String {
        self.origin.as_ref().map_or_else(String::new, |origin| format!(", on {origin}"))
    }

    /// `: the last path`, for what has or had several paths or copies.
    pub(crate) fn left(&self) -> String {
        self.remainder.as_ref().map_or_else(String::new, |remainder| format!(": {}", remainder.text))
    }

    /// The end of a sentence: where it is, and how many paths or copies there are.
    pub(crate) fn end(&self) -> String {
        format!("{}{}", self.place(), self.left())
    }
}

/// Every block device that stands on the functions.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    reached: HashMap<usize, StackedDevice>,
    /// Names below /dev, by which mounts and swap lists may call them.
    names: HashMap<String, usize>,
    /// What holds them, and is neither a mount nor a process.
    pub(crate) holders: Vec<User>,
    /// What could not be looked at.
    pub(crate) unchecked: Vec<String>,
    /// Paths of what goes on without them.
    spare_paths: HashSet<String>,
    /// The functions that lead to a device besides the one that it is told at, by what users call it.
    others: HashMap<(PciAddress, String), Vec<PciAddress>>,
}

/// What stands on what, from the functions' own disks to the top.
struct Stack<'a> {
    sysfs: &'a Sysfs,
    inventory: &'a Inventory,
    above: HashMap<usize, Vec<Layer>>,
    /// The device below and the one on it, in the order in which they were found.
    steps: Vec<(usize, Layer)>,
}

impl<'a> Stack<'a> {
    fn climb(layers: &Layers<'_>, sysfs: &'a Sysfs, inventory: &'a Inventory) -> Self {
        let mut stack = Self { sysfs, inventory, above: HashMap::new(), steps: Vec::new() };
        let mut queue: Vec<usize> = inventory.own_blocks.iter().map(|(_, index)| *index).collect();
        while let Some(index) = queue.pop() {
            if stack.above.contains_key(&index) {
                continue;
            }
            let above = layers.of(index);
            stack.steps.extend(above.iter().map(|layer| (index, *layer)));
            queue.extend(above.iter().map(|layer| layer.index));
            stack.above.insert(index, above);
        }
        stack
    }

    /// The functions that lead to each device.
    fn functions(&self) -> HashMap<usize, BTreeSet<PciAddress>> {
        let mut found: HashMap<usize, BTreeSet<PciAddress>> = HashMap::new();
        for (address, own) in &self.inventory.own_blocks {
            let mut queue = vec![*own];
            while let Some(index) = queue.pop() {
                if found.entry(index).or_default().insert(*address) {
                    queue.extend(self.above(index).iter().map(|layer| layer.index));
                }
            }
        }
        found
    }

    fn above(&self, index: usize) -> &[Layer] {
        self.above.get(&index).map_or(&[], Vec::as_slice)
    }

    /// What is left of each device that has several paths or copies, and of what stands on it.
    fn remainders(&self) -> HashMap<usize, Remainder> {
        let mut lost: HashSet<usize> = HashSet::new();
        let mut found: HashMap<usize, Remainder> = HashMap::new();
        let mut queue: Vec<usize> = self.inventory.own_blocks.iter().map(|(_, index)| *index).collect();
        while let Some(index) = queue.pop() {
            if lost.contains(&index) {
                continue;
            }
            let gone = self.inventory.own_blocks.iter().filter(|(_, own)| *own == index);
            let gone: Vec<PciAddress> = gone.map(|(address, _)| *address).collect();
            let device = &self.inventory.blocks[index];
            let left = remainder(self.sysfs, self.inventory, device, &|index| lost.contains(&index), &gone);
            let survives = left.as_ref().is_some_and(|left| left.survives);
            found.extend(left.map(|left| (index, left)));
            if !survives {
                lost.insert(index);
                queue.extend(self.above(index).iter().map(|layer| layer.index));
            }
        }
        let mut queue: Vec<usize> = found.keys().copied().collect();
        queue.sort_unstable();
        while let Some(index) = queue.pop() {
            let Some(left) = found.get(&index).cloned() else { continue };
            for layer in self.above(index) {
                let is_alike = lost.contains(&layer.index) == lost.contains(&index);
                if is_alike && !found.contains_key(&layer.index) {
                    found.insert(layer.index, left.clone());
                    queue.push(layer.index);
                }
            }
        }
        found
    }
}

impl Storage {
    /// Climbs from the functions' own disks to all that stands on them.
    pub(crate) fn read(sysfs: &Sysfs, inventory: &Inventory) -> Self {
        let mut storage = Self::default();
        if inventory.own_blocks.is_empty() {
            return storage;
        }
        let mut layers = Layers::read(sysfs, inventory);
        storage.unchecked.append(&mut layers.unchecked);
        let stack = Stack::climb(&layers, sysfs, inventory);
        let remainders = stack.remainders();
        for (address, index) in &inventory.own_blocks {
            let device = &inventory.blocks[*index];
            let remainder = remainders.get(index).cloned();
            let reached = StackedDevice { address: *address, label: device.name.clone(), origin: None, remainder };
            storage.reach(*index, device, reached, None);
        }
        for (lower, upper) in &stack.steps {
            storage.add_layer(&stack, *lower, *upper, remainders.get(&upper.index).cloned());
        }
        storage.note_others(&stack);
        storage
    }

    fn note_others(&mut self, stack: &Stack<'_>) {
        for (index, functions) in stack.functions() {
            let Some(reached) = self.reached.get(&index) else { continue };
            let others: Vec<PciAddress> =
                functions.into_iter().filter(|function| *function != reached.address).collect();
            if others.is_empty() {
                continue;
            }
            let node = format!("/dev/{}", stack.inventory.blocks[index].node());
            for name in [reached.label.clone(), node] {
                self.others.insert((reached.address, name), others.clone());
            }
        }
    }

    /// The same uses at the other functions that lead to their disks.
    pub(crate) fn elsewhere(&self, users: &[User]) -> Vec<User> {
        let others = |user: &User| self.others.get(&(user.address, user.device.clone())).cloned().unwrap_or_default();
        let at = |user: &User, address| User { address, ..user.clone() };
        users.iter().flat_map(|user| others(user).into_iter().map(|address| at(user, address))).collect()
    }

    fn reach(&mut self, index: usize, device: &Device, reached: StackedDevice, alias: Option<String>) {
        self.names.insert(device.name.replace('!', "/"), index);
        if let Some(alias) = alias {
            self.names.insert(format!("mapper/{alias}"), index);
        }
        self.reached.insert(index, reached);
    }

    /// One device stands on another that is reached already.
    fn add_layer(&mut self, stack: &Stack<'_>, lower: usize, upper: Layer, remainder: Option<Remainder>) {
        let device = &stack.inventory.blocks[upper.index];
        let Some(below) = self.reached.get(&lower).cloned() else { return };
        let (kind, alias) = kind_of(stack.sysfs, device);
        let label = match &alias {
            _ if upper.is_partition => device.name.clone(),
            Some(name) => format!("{} ({kind} {name})", device.name),
            None => format!("{} ({kind})", device.name),
        };
        let origin = Some(below.origin.clone().unwrap_or_else(|| below.label.clone()));
        let reached = StackedDevice { address: below.address, label, origin, remainder };
        if !upper.is_partition {
            let description =
                format!("{} is built on {}{}{}", reached.label, below.label, below.place(), reached.left());
            let kind = reached.danger(Danger::Holders);
            if kind == Danger::Redundant && below.danger(Danger::Holders) != kind {
                self.spare_paths.insert(format!("/dev/{}", stack.inventory.blocks[lower].node()));
            }
            let user = User::new(kind, below.address, below.label.clone(), device.name.clone(), description);
            self.holders.push(user);
        }
        if !self.reached.contains_key(&upper.index) {
            self.reach(upper.index, device, reached, alias);
        }
    }

    /// Whether a node is a path of something that goes on without it.
    pub(crate) fn is_spare_path(&self, node: &str) -> bool {
        self.spare_paths.contains(node)
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
    let description = format!("{what} {does} {}{}", reached.label, reached.end());
    User::new(reached.danger(Danger::Holders), reached.address, reached.label.clone(), what, description)
}
