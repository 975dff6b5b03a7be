//! One process: which of the wanted nodes and files it has open or mapped.

use std::collections::HashMap;
use std::io;

use memchr::memmem::Finder;

use crate::host::procfs::{Next, ProcessDirectory, unescape};
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::model::Danger;

/// A node in /dev that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// The function it belongs to.
    pub(crate) address: PciAddress,
    /// Its path in /dev.
    pub(crate) path: String,
    /// What else there is to say: `, on nvme0n1`.
    pub(crate) origin: String,
    /// What it means to hold it.
    pub(crate) danger: Danger,
}

/// What to look for in every process.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    nodes: Vec<Node>,
    by_name: HashMap<String, Vec<usize>>,
    by_number: HashMap<(bool, (u32, u32)), Vec<usize>>,
    addresses: Vec<PciAddress>,
}

impl Wanted {
    /// Looks for register files of these functions, and for the nodes that are added.
    pub(crate) fn new(addresses: Vec<PciAddress>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// Looks for a node by its path, and by its number where that is known. Functions may share one.
    pub(crate) fn add(&mut self, is_block: bool, number: Option<(u32, u32)>, node: Node) {
        let index = self.nodes.len();
        self.by_name.entry(node.path.clone()).or_default().push(index);
        if let Some(number) = number {
            self.by_number.entry((is_block, number)).or_default().push(index);
        }
        self.nodes.push(node);
    }

    fn nodes(&self, indices: Option<&Vec<usize>>) -> impl Iterator<Item = &Node> {
        indices.into_iter().flatten().map(|index| &self.nodes[*index])
    }

    fn address(&self, text: &str) -> Option<PciAddress> {
        let address = PciAddress::from_sysfs_name(text)?;
        self.addresses.binary_search(&address).is_ok().then_some(address)
    }

    /// A register file by its path: `.../0000:03:00.0/resource0`, wherever sysfs is mounted, or /proc/bus/pci.
    fn register_file(&self, path: &str) -> Option<(PciAddress, String)> {
        let path = path.strip_suffix(DELETED).unwrap_or(path);
        let (directory, file) = path.rsplit_once('/')?;
        let (_, parent) = directory.rsplit_once('/')?;
        if path.contains("/bus/pci/") && !path.contains("/sys/") {
            let domain = if parent.contains(':') { String::new() } else { "0000:".to_owned() };
            return Some((self.address(&format!("{domain}{parent}:{file}"))?, path.to_owned()));
        }
        let is_register = file == "config" || file == "rom" || file.starts_with("resource");
        is_register.then(|| self.address(parent)).flatten().map(|address| (address, file.to_owned()))
    }

    /// The function whose claim this file of SPDK is (lib/env_dpdk/pci.c).
    fn claim(&self, path: &str) -> Option<PciAddress> {
        self.address(path.rsplit_once("/spdk_pci_lock_")?.1)
    }

    fn named(&self, path: &str) -> impl Iterator<Item = &Node> {
        self.nodes(self.by_name.get(path.strip_suffix(DELETED).unwrap_or(path)))
    }

    fn numbered(&self, key: (bool, (u32, u32))) -> impl Iterator<Item = &Node> {
        self.nodes(self.by_number.get(&key))
    }
}

/// What the kernel adds to the path of a file without a name. A register file that is mapped stays mapped after its
/// function was removed, so such a one counts when the function is there again.
const DELETED: &str = " (deleted)";

/// How a process has what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HoldMode {
    /// A descriptor.
    Open,
    /// A descriptor with a BSD or POSIX lock.
    Locked,
    /// A mapping without a descriptor.
    Mapped,
}

/// One thing that a process holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileUse {
    /// The function.
    pub(crate) address: PciAddress,
    /// The node or file.
    pub(crate) what: String,
    /// What else there is to say of it.
    pub(crate) origin: String,
    /// The danger.
    pub(crate) danger: Danger,
    /// How it is held.
    pub(crate) how: HoldMode,
}

/// What one process was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileUses {
    /// What of the functions.
    pub(crate) holds: Vec<FileUse>,
    /// It has a VFIO device whose function cannot be told from the descriptor.
    pub(crate) some_vfio: bool,
    /// How many descriptors it has.
    pub(crate) descriptors: usize,
}

/// The file systems on which the kernel answers for a node from memory, so that it may be asked for its number.
pub(crate) trait SafeMounts {
    /// Whether this mount is known to be of that kind.
    fn is_safe(&self, mount: u64) -> bool;
}

/// Searches for text in a map of memory, made once for all processes.
#[derive(Debug)]
pub(crate) struct Finders {
    nodes: Finder<'static>,
    functions: Finder<'static>,
}

impl Default for Finders {
    fn default() -> Self {
        Self { nodes: Finder::new("/dev/"), functions: Finder::new("/resource") }
    }
}

/// Looks at the descriptors and mappings of one process; `table` is a directory with `fd`, `fdinfo` and `maps`.
///
/// # Errors
/// It may not be looked at.
pub(crate) fn look(
    process: &ProcessDirectory,
    table: &str,
    wanted: &Wanted,
    safe: &dyn SafeMounts,
    finders: &Finders,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<FileUses>> {
    let mut holds = FileUses::default();
    let mut candidates: Vec<(String, String)> = Vec::new();
    let is_there = process.links(&format!("{table}fd"), |fd, target| {
        holds.descriptors += 1;
        if target.starts_with('/') {
            if may_matter(target) {
                candidates.push((fd.to_owned(), target.to_owned()));
            }
        } else if target == "anon_inode:[vfio-device]" {
            holds.some_vfio = true;
        }
        Next::Go
    })?;
    if !is_there {
        return Ok(None);
    }
    for (fd, target) in candidates {
        descriptor(process, table, &fd, &target, wanted, safe, buffer, &mut holds.holds);
    }
    if process.read(&format!("{table}maps"), buffer)? {
        mappings(buffer, wanted, finders, &mut holds.holds);
    }
    order::sort(&mut holds.holds);
    holds.holds.dedup();
    Ok(Some(holds))
}

/// A cheap look at a path: the nodes that every process has open, and plain files, are left out.
pub(crate) fn may_matter(path: &str) -> bool {
    if let Some(node) = path.strip_prefix("/dev/") {
        let everybody = matches!(node, "null" | "zero" | "full" | "random" | "urandom" | "kmsg" | "ptmx" | "tty");
        return !everybody && !node.starts_with("pts/") && !node.starts_with("shm/");
    }
    if path.starts_with("/sys/") || path.starts_with("/proc/bus/pci/") {
        return true;
    }
    path.contains("/dev/")
        || path.contains("/spdk_pci_lock_")
        || path.contains("/resource")
        || path.ends_with("/config")
}

#[allow(clippy::too_many_arguments)]
fn descriptor(
    process: &ProcessDirectory,
    table: &str,
    fd: &str,
    target: &str,
    wanted: &Wanted,
    safe: &dyn SafeMounts,
    buffer: &mut Vec<u8>,
    holds: &mut Vec<FileUse>,
) {
    if let Some((address, what)) = wanted.register_file(target) {
        holds.push(FileUse { address, what, origin: String::new(), danger: Danger::Open, how: HoldMode::Open });
        return;
    }
    if let Some(address) = wanted.claim(target) {
        if Info::read(process, table, fd, buffer).locked {
            let origin = ", which claims the function for SPDK".to_owned();
            holds.push(FileUse {
                address,
                what: target.to_owned(),
                origin,
                danger: Danger::Open,
                how: HoldMode::Locked,
            });
        }
        return;
    }
    if !target.contains("/dev/") {
        return;
    }
    let info = Info::read(process, table, fd, buffer);
    let how = if info.locked { HoldMode::Locked } else { HoldMode::Open };
    let mut hold = |node: &Node| {
        let what = if target == node.path { target.to_owned() } else { format!("{} ({target})", node.path) };
        holds.push(FileUse { address: node.address, what, origin: node.origin.clone(), danger: node.danger, how });
    };
    match info.mount.filter(|mount| safe.is_safe(*mount)).and_then(|_| behind(process, table, fd)) {
        Some(Some(number)) => wanted.numbered(number).for_each(&mut hold),
        Some(None) => {}
        None => wanted.named(target).for_each(&mut hold),
    }
}

/// The device number behind a descriptor: none if it cannot be asked for, `Some(None)` if it is no device.
#[allow(clippy::option_option)]
fn behind(process: &ProcessDirectory, table: &str, fd: &str) -> Option<Option<(bool, (u32, u32))>> {
    use nix::sys::stat::{SFlag, major, minor};
    let stat = process.behind(&format!("{table}fd/{fd}"))?;
    let number = (major(stat.st_rdev) as u32, minor(stat.st_rdev) as u32);
    Some(match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFBLK => Some((true, number)),
        SFlag::S_IFCHR => Some((false, number)),
        _ => None,
    })
}

/// What `fdinfo` says of a descriptor (fs/proc/fd.c, seq_show).
#[derive(Debug, Default)]
struct Info {
    mount: Option<u64>,
    locked: bool,
}

impl Info {
    fn read(process: &ProcessDirectory, table: &str, fd: &str, buffer: &mut Vec<u8>) -> Self {
        let mut info = Self::default();
        if matches!(process.read(&format!("{table}fdinfo/{fd}"), buffer), Ok(true)) {
            for line in String::from_utf8_lossy(buffer).lines() {
                match line.split_once(':') {
                    Some(("mnt_id", value)) => info.mount = value.trim().parse().ok(),
                    Some(("lock", value)) => info.locked |= !value.contains("->"),
                    _ => {}
                }
            }
        }
        info
    }
}

/// Mappings of nodes and register files. Their paths are all that is known of them.
fn mappings(maps: &[u8], wanted: &Wanted, finders: &Finders, holds: &mut Vec<FileUse>) {
    let starts = finders.nodes.find_iter(maps).chain(finders.functions.find_iter(maps));
    for at in starts {
        let begin = memchr::memrchr(b'\n', &maps[..at]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &maps[at..]).map_or(maps.len(), |end| at + end);
        let line = String::from_utf8_lossy(&maps[begin..end]);
        // Five columns, then the path, which may hold spaces (fs/proc/task_mmu.c).
        let Some(start) = line.find('/') else { continue };
        let path = unescape(&line[start..]);
        let mut found: Vec<FileUse> = Vec::new();
        match wanted.register_file(&path) {
            Some((address, what)) => {
                found.push(FileUse {
                    address,
                    what,
                    origin: String::new(),
                    danger: Danger::Open,
                    how: HoldMode::Mapped,
                });
            }
            None => found.extend(wanted.named(&path).map(|node| FileUse {
                address: node.address,
                what: node.path.clone(),
                origin: node.origin.clone(),
                danger: node.danger,
                how: HoldMode::Mapped,
            })),
        }
        // Most of what is mapped is open as well, and is told once.
        found.retain(|new| !holds.iter().any(|hold| hold.address == new.address && hold.what == new.what));
        holds.extend(found);
    }
}
