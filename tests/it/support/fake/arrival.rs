//! What comes: functions as the kernel makes them when it finds them, and virtual ones when their number is set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use pcictl::pci::address::PciAddress;

use super::vf_settings::KEPT_FOR_VFS;
use super::{Comes, FakeKernel};
use crate::support::dump::{Dump, Node, Order};
use crate::support::trees_dir;

const DEVICES: &str = "sys/bus/pci/devices";
const DRIVERS: &str = "sys/bus/pci/drivers";

fn address_of(path: &Path) -> Option<PciAddress> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Whether this is one of the two links between a function and its driver. (Those of ports' services stay as they are.)
fn binds(path: &Path, node: &Node) -> bool {
    let parent = path.parent().expect("a parent");
    let of_function = path.ends_with("driver") && address_of(parent).is_some();
    let of_driver = parent.starts_with(DRIVERS) && address_of(path).is_some();
    matches!(node, Node::Link(_)) && (of_function || of_driver)
}

/// Whether a path or what it links to is this device (`0000:03:00`), this function, or lies below.
fn is_about(path: &Path, node: &Node, device: &str) -> bool {
    let names = |text: &str| text.split('/').any(|part| part == device || part.starts_with(&format!("{device}.")));
    names(path.to_str().expect("text")) || matches!(node, Node::Link(target) if names(target))
}

/// A file as it is of a device that is new: nobody has set anything yet.
fn new_node(path: &Path, node: &Node, is_another: bool) -> Node {
    let text = |text: &str| Node::File { content: text.into(), mode: 0o644 };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match (name, node) {
        ("driver_override", _) => text("(null)\n"),
        ("control", Node::File { .. }) if path.parent().is_some_and(|parent| parent.ends_with("power")) => text("on\n"),
        ("sriov_numvfs", _) => text("0\n"),
        ("device", Node::File { .. }) if is_another => text("0x4242\n"),
        ("modalias", Node::File { content, .. }) if is_another => {
            Node::File { content: other_modalias(content), mode: 0o644 }
        }
        _ => node.clone(),
    }
}

/// A modalias with another device ID.
fn other_modalias(modalias: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(modalias);
    let (vendor, rest) = text.split_once('d').expect("a device ID");
    format!("{vendor}d00004242{}", &rest[8..]).into()
}

impl FakeKernel {
    /// What is missing comes as the kernel makes it, and the drivers are asked.
    pub(super) fn scan(&self) -> Result<(), Errno> {
        let (comes, scans) = {
            let mut script = self.state.borrow_mut();
            script.scans += 1;
            (script.comes, script.scans)
        };
        if matches!(comes, Comes::Late(before) if scans <= before) {
            return Err(Errno::ENODEV);
        }
        let off = self.slots_that_are_off();
        let is_on = |path: &Path, node: &Node| !off.iter().any(|device| is_about(path, node, device));
        self.bring(comes == Comes::Another, &|path, node| {
            is_on(path, node) && !self.virtual_functions().iter().any(|vf| is_about(path, node, vf))
        });
        Ok(())
    }

    /// Makes what the dump has and the tree lacks, as far as it is wanted; a new function has no override, default settings
    /// and the driver that takes it.
    fn bring(&self, is_another: bool, is_wanted: &dyn Fn(&Path, &Node) -> bool) {
        let is_missing = |path: &Path| {
            let path = self.tree.path().join(path);
            !path.is_symlink() && !path.exists()
        };
        let nodes =
            self.dump.0.iter().filter(|(path, node)| is_missing(path) && is_wanted(path, node) && !binds(path, node));
        let nodes = nodes.filter(|(path, _)| !path.starts_with(KEPT_FOR_VFS));
        let made: BTreeMap<PathBuf, Node> =
            nodes.map(|(path, node)| (path.clone(), new_node(path, node, is_another))).collect();
        let came = made.keys().filter(|path| path.starts_with(DEVICES)).filter_map(|path| address_of(path));
        let came: Vec<PciAddress> = came.collect();
        Dump(made).unpack(self.tree.path(), &trees_dir(), Order::FirstFirst).expect("it comes");
        for address in came.into_iter().filter(|_| !is_another) {
            self.probe(address).expect("a driver");
        }
    }

    /// sriov_numvfs_store in drivers/pci/iov.c.
    pub(super) fn set_vfs(&self, address: PciAddress, count: usize) -> Result<(), Errno> {
        if !self.is_there(address) {
            return Err(Errno::ENOENT);
        }
        let vfs = self.vfs(address);
        if vfs == count {
            return Ok(());
        }
        if !self.device(address).join("driver").is_symlink() {
            return Err(Errno::ENOENT);
        }
        if count != 0 && vfs != 0 {
            return Err(Errno::EBUSY);
        }
        if count == 0 {
            self.take_vfs(address)
        } else {
            self.give_vfs(address, count)
        }
        fs::write(self.device(address).join("sriov_numvfs"), format!("{count}\n")).map_err(|_| Errno::EIO)
    }

    /// The links come back with the functions.
    fn give_vfs(&self, address: PciAddress, count: usize) {
        let directory = self.original_directory(address).expect("a physical function");
        let link = |index: usize| self.dump.0.get(&directory.join(format!("virtfn{index}")));
        let name = |node: Option<&Node>| match node {
            Some(Node::Link(target)) => target.rsplit('/').next().expect("a name").to_owned(),
            _ => panic!("{address} has so many VFs"),
        };
        let vfs: Vec<String> = (0..count).map(|index| name(link(index))).collect();
        self.bring(false, &|path, node| vfs.iter().any(|vf| is_about(path, node, vf)));
        assert_eq!(self.vfs(address), count, "{address} has VFs");
        self.keep_for_vfs(address, count);
    }

    pub(super) fn take_vfs(&self, address: PciAddress) {
        self.forget_vfs(address);
        for index in 0..self.vfs(address) {
            let link = self.device(address).join(format!("virtfn{index}"));
            let target = fs::read_link(&link).expect("a virtual function");
            self.tree.remove(target.file_name().expect("a name").to_str().expect("text"));
            let _ = fs::remove_file(link);
        }
    }

    /// Every function that the dump knows as a virtual one.
    fn virtual_functions(&self) -> Vec<String> {
        let links = self.dump.0.keys().filter(|path| path.ends_with("physfn"));
        links.filter_map(|path| Some(path.parent()?.file_name()?.to_str()?.to_owned())).collect()
    }

    /// The devices, without their functions, whose slots have no power.
    pub(super) fn slots_that_are_off(&self) -> Vec<String> {
        let Ok(slots) = fs::read_dir(self.sys("bus/pci/slots")) else { return Vec::new() };
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let off = slots.flatten().filter(|slot| read(slot.path().join("power")) == "0");
        off.map(|slot| read(slot.path().join("address"))).collect()
    }

    /// Where a function is when all is well.
    pub(super) fn original_directory(&self, address: PciAddress) -> Option<PathBuf> {
        let link = Path::new(DEVICES).join(address.to_string());
        let Some(Node::Link(target)) = self.dump.0.get(&link) else { return None };
        Some(Path::new("sys").join(target.trim_start_matches("../")))
    }

    pub(super) fn original_driver(&self, address: PciAddress) -> Option<String> {
        match self.dump.0.get(&self.original_directory(address)?.join("driver")) {
            Some(Node::Link(target)) => Some(target.rsplit('/').next()?.to_owned()),
            _ => None,
        }
    }

    pub(super) fn original_override(&self, address: PciAddress) -> bool {
        let file = self.original_directory(address).map(|path| path.join("driver_override"));
        let node = file.and_then(|file| self.dump.0.get(&file));
        matches!(node, Some(Node::File { content, .. }) if !content.is_empty() && content != b"(null)\n")
    }
}
