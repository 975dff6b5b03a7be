//! One process: which of the wanted nodes and files it has open or mapped.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::io;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::host::bpf::Record;
use crate::host::procfs::texts::unescape;
use crate::host::procfs::{Next, ProcessDirectory};
use crate::pci::address::PciAddress;
use crate::usage::block::file_systems::{FileSystem, FileSystems};
use crate::usage::model::Danger;
use crate::usage::network::packets::Listener;
use crate::usage::scope::Scope;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    nodes: Vec<Node>,
    by_name: HashMap<String, Vec<usize>>,
    by_number: HashMap<(bool, (u32, u32)), Vec<usize>>,
    addresses: Vec<PciAddress>,
    /// The functions that a program of its own can drive.
    claimable: Vec<PciAddress>,
    /// The packet sockets on interfaces of the functions.
    pub(crate) listeners: Vec<Listener>,
}

impl Wanted {
    /// Looks for register files of these functions, and for the nodes that are added.
    pub(crate) fn new(scope: &Scope) -> Self {
        let addresses = scope.iter().map(|(address, _)| address).collect();
        let claimable = scope.iter().filter(|(_, function)| function.may_be_claimed());
        Self { addresses, claimable: claimable.map(|(address, _)| address).collect(), ..Self::default() }
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

    /// Whether all nodes can be told by their numbers.
    pub(crate) fn has_all_numbers(&self) -> bool {
        let numbered: BTreeSet<&usize> = self.by_number.values().flatten().collect();
        numbered.len() == self.nodes.len()
    }

    /// Whether a file that the kernel told of may be looked for: by its number, if it is a device or a socket.
    pub(crate) fn may_be(&self, file: &Record) -> bool {
        match file.device() {
            Some(number) => self.by_number.contains_key(&number),
            None => !file.is_socket() || self.listeners.iter().any(|listener| listener.inode == file.inode),
        }
    }

    /// Whether any node is looked for.
    pub(crate) fn has_nodes(&self) -> bool {
        !self.nodes.is_empty()
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
        // The plain `resource` is a text about them.
        let is_region = |name: &str| name.starts_with(|first: char| first.is_ascii_digit());
        let is_register = file == "config" || file == "rom" || file.strip_prefix("resource").is_some_and(is_region);
        is_register.then(|| self.address(parent)).flatten().map(|address| (address, file.to_owned()))
    }

    /// The function whose claim this file of SPDK is (lib/env_dpdk/pci.c). Anybody can make and lock such a file, so it
    /// says something only of a function that SPDK can have.
    fn claim(&self, path: &str) -> Option<PciAddress> {
        let address = self.address(path.rsplit_once("/spdk_pci_lock_")?.1)?;
        self.claimable.binary_search(&address).is_ok().then_some(address)
    }

    /// What it means to have the socket that a descriptor's link names.
    fn listening(&self, target: &str) -> impl Iterator<Item = FileUse> {
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok());
        let listeners = self.listeners.iter().filter(move |listener| Some(listener.inode) == inode);
        listeners.map(|Listener { address, interface, of, .. }| FileUse {
            address: *address,
            what: interface.clone(),
            origin: of.clone(),
            danger: Danger::Network,
            how: HoldMode::Listening,
        })
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum HoldMode {
    /// A descriptor.
    Open,
    /// A descriptor with a BSD or POSIX lock.
    Locked,
    /// A mapping without a descriptor.
    Mapped,
    /// A packet socket; what is held is an interface.
    Listening,
}

/// One thing that a process holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileUses {
    /// What of the functions.
    pub(crate) holds: BTreeSet<FileUse>,
    /// It has a VFIO device whose function cannot be told from the descriptor.
    pub(crate) some_vfio: bool,
    /// How many descriptors it has.
    pub(crate) descriptors: usize,
    /// It has something open of which others can make a use while it sleeps: the file of a claim, which whoever shares the
    /// open file can lock.
    pub(crate) may_change: bool,
}

/// Searches for text in a map of memory, made once for all processes.
#[derive(Debug)]
pub(crate) struct Finders {
    nodes: Finder<'static>,
    functions: Finder<'static>,
    shared: Finder<'static>,
}

impl Finders {
    fn all(&self) -> [&Finder<'static>; 3] {
        [&self.nodes, &self.functions, &self.shared]
    }
}

impl Default for Finders {
    fn default() -> Self {
        Self { nodes: Finder::new("/dev/"), functions: Finder::new("/resource"), shared: Finder::new("s ") }
    }
}

/// What is the same for every process that is looked at.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// What to look for.
    pub(crate) wanted: &'a Wanted,
    /// What is known of file systems.
    pub(crate) file_systems: FileSystems,
    /// Whether there are mounts that were not read.
    pub(crate) is_partial: bool,
    /// The user namespace that pcictl is in.
    pub(crate) user_namespace: Option<String>,
    /// Made once.
    pub(crate) finders: Finders,
}

/// One process, and how it is looked at.
pub(crate) struct Look<'a> {
    /// Its directory.
    pub(crate) process: &'a ProcessDirectory,
    /// Where `fd`, `fdinfo` and `maps` are in it: nothing, or the directory of a thread.
    pub(crate) table: &'a str,
    /// What to look for.
    pub(crate) question: &'a Question<'a>,
    /// Whether it is in a user namespace that is not pcictl's.
    pub(crate) is_foreign: OnceCell<bool>,
}

impl Look<'_> {
    /// Looks at descriptors and mappings, however many there are; none if the process is gone. `go_on` is asked now and
    /// then, and what was found so far is of no use if it says no.
    ///
    /// # Errors
    /// It may not be looked at.
    pub(crate) fn all(&self, go_on: &mut dyn FnMut() -> Next, buffer: &mut Vec<u8>) -> io::Result<Option<FileUses>> {
        /// So many descriptors are looked at between two questions.
        const STEP: usize = 64;
        let mut uses = FileUses::default();
        let wanted = self.question.wanted;
        let is_there = self.process.links(&format!("{}fd", self.table), |fd, target| {
            uses.descriptors += 1;
            if target.starts_with('/') {
                self.descriptor(fd, target, buffer, &mut uses);
            } else if target == "anon_inode:[vfio-device]" {
                uses.some_vfio = true;
            } else if !wanted.listeners.is_empty() {
                uses.holds.extend(wanted.listening(target));
            }
            if uses.descriptors % STEP == 0 { go_on() } else { Next::Go }
        })?;
        if !is_there {
            return Ok(None);
        }
        let mut mapped = BTreeSet::new();
        let mut take = |piece: &[u8]| {
            self.mappings(piece, &mut mapped);
            go_on()
        };
        self.process.pieces(&format!("{}maps", self.table), buffer, &mut take)?;
        // Most of what is mapped is open as well, and is told once.
        mapped.retain(|new: &FileUse| {
            !uses.holds.iter().any(|hold| hold.address == new.address && hold.what == new.what)
        });
        uses.holds.append(&mut mapped);
        Ok(Some(uses))
    }

    /// What a process opened itself in a user namespace of its own is no device: the kernel opens none on the file
    /// systems that can be mounted there. Only file systems that pcictl knows can tell otherwise.
    fn is_foreign(&self) -> bool {
        *self.is_foreign.get_or_init(|| {
            let own = self.question.user_namespace.as_deref();
            own.is_some() && self.process.link("ns/user").is_some_and(|theirs| Some(theirs.as_str()) != own)
        })
    }

    /// Whether a file that is called like a register file is one.
    fn is_kernel_file(&self, file_system: Option<FileSystem>) -> bool {
        file_system.map_or_else(|| !self.is_foreign(), |file_system| file_system == FileSystem::Kernel)
    }

    fn descriptor(&self, fd: &str, target: &str, buffer: &mut Vec<u8>, uses: &mut FileUses) {
        let FileUses { holds, may_change, .. } = uses;
        let Self { process, table, question: Question { wanted, file_systems, .. }, .. } = self;
        let is_open = |address, what, origin, how| FileUse { address, what, origin, danger: Danger::Open, how };
        if may_be_file(target) {
            if let Some((address, what)) = wanted.register_file(target) {
                let info = Info::read(process, table, fd, buffer);
                // Whoever only reads the configuration space looks, as lspci and pcictl do, and drives nothing. Of a
                // region even that may be a mapping to come.
                if info.is_read_only && !what.starts_with("resource") {
                    return;
                }
                if self.is_kernel_file(info.mount.and_then(|mount| file_systems.of_mount(mount))) {
                    holds.insert(is_open(address, what, String::new(), HoldMode::Open));
                }
                return;
            }
            if let Some(address) = wanted.claim(target) {
                if Info::read(process, table, fd, buffer).locked {
                    let origin = ", which claims the function for SPDK".to_owned();
                    holds.insert(is_open(address, target.to_owned(), origin, HoldMode::Locked));
                } else {
                    *may_change = true;
                }
                return;
            }
        }
        for node in self.nodes_open(fd, target, buffer) {
            let info = Info::read(process, table, fd, buffer);
            if info.is_path {
                return;
            }
            let how = if info.locked { HoldMode::Locked } else { HoldMode::Open };
            let what = if target == node.path { target.to_owned() } else { format!("{} ({target})", node.path) };
            let Node { address, danger, .. } = *node;
            holds.insert(FileUse { address, what, origin: node.origin.clone(), danger, how });
        }
    }

    /// The nodes that a descriptor may be of: by its number, or where that may not be asked for, by its name.
    fn nodes_open(&self, fd: &str, target: &str, buffer: &mut Vec<u8>) -> Vec<&Node> {
        let Self { process, table, question: Question { wanted, file_systems, .. }, .. } = self;
        // A dump shows no numbers.
        if !wanted.has_nodes() || !process.is_live() && wanted.named(target).next().is_none() {
            return Vec::new();
        }
        let mount = || {
            let mount = Info::read(process, table, fd, buffer).mount;
            mount.and_then(|mount| file_systems.of_mount(mount))
        };
        match self.node_behind(mount, &format!("{table}fd/{fd}")) {
            Behind::Device(number) => wanted.numbered(number).collect(),
            Behind::NoDevice => Vec::new(),
            Behind::Unknown => wanted.named(target).collect(),
        }
    }

    /// Mappings of nodes and register files, in whole lines. What is in them is up to whoever runs the process, so each
    /// line is looked at once, whatever its path repeats.
    fn mappings(&self, maps: &[u8], holds: &mut BTreeSet<FileUse>) {
        let finders = self.question.finders.all();
        let mut hits = finders.map(|finder| finder.find(maps));
        while let Some(at) = hits.iter().flatten().min().copied() {
            let begin = memchr::memrchr(b'\n', &maps[..at]).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', &maps[at..]).map_or(maps.len(), |end| at + end);
            self.mapping(&String::from_utf8_lossy(&maps[begin..end]), holds);
            for (finder, hit) in finders.iter().zip(&mut hits) {
                if hit.is_some_and(|hit| hit < end) {
                    *hit = finder.find(&maps[end..]).map(|hit| end + hit);
                }
            }
        }
    }

    /// One mapping: five columns, then the path, which may hold spaces (fs/proc/task_mmu.c).
    fn mapping(&self, line: &str, holds: &mut BTreeSet<FileUse>) {
        let Question { wanted, file_systems, .. } = self.question;
        let Some(start) = line.find('/') else { return };
        let path = unescape(&line[start..]);
        let mut columns = line[..start].split_ascii_whitespace();
        let (range, rights) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        let device = columns.nth(1).and_then(hexadecimal);
        let file_system = || device.and_then(|number| file_systems.of_number(number));
        let mapped = |address, what, origin, danger| FileUse { address, what, origin, danger, how: HoldMode::Mapped };
        if let Some((address, what)) = wanted.register_file(&path) {
            if self.is_kernel_file(file_system()) {
                holds.insert(mapped(address, what, String::new(), Danger::Open));
            }
            return;
        }
        // Programs and libraries, which are most of what is mapped, are mapped privately; devices hardly ever are.
        if !wanted.has_nodes() || !rights.ends_with('s') && wanted.named(&path).next().is_none() {
            return;
        }
        let hold = |node: &Node| mapped(node.address, node.path.clone(), node.origin.clone(), node.danger);
        match self.node_behind(file_system, &format!("map_files/{}", without_zeros(range))) {
            Behind::Device(number) => holds.extend(wanted.numbered(number).map(hold)),
            Behind::NoDevice => {}
            Behind::Unknown => holds.extend(wanted.named(&path).map(hold)),
        }
    }

    /// What a link of /proc leads to. It is asked for only on a file system that answers from memory.
    fn node_behind(&self, file_system: impl FnOnce() -> Option<FileSystem>, link: &str) -> Behind {
        use nix::sys::stat::SFlag;
        if !self.question.file_systems.all_are_local() {
            match file_system() {
                Some(FileSystem::Local) => {}
                Some(FileSystem::Kernel) => return Behind::NoDevice,
                Some(FileSystem::Remote) | None if self.is_foreign() => return Behind::NoDevice,
                Some(FileSystem::Remote) | None => return Behind::Unknown,
            }
        }
        let Some(stat) = self.process.behind(link) else {
            let is_known = self.process.is_live() && self.is_foreign();
            return if is_known { Behind::NoDevice } else { Behind::Unknown };
        };
        let number = (stat.stx_rdev_major, stat.stx_rdev_minor);
        match SFlag::from_bits_truncate(u32::from(stat.stx_mode)) & SFlag::S_IFMT {
            SFlag::S_IFBLK => Behind::Device((true, number)),
            SFlag::S_IFCHR => Behind::Device((false, number)),
            _ => Behind::NoDevice,
        }
    }
}

/// A range of addresses as `map_files` names it: maps fill up to eight digits, and map_files takes no leading zero
/// (dname_to_vma_addr in fs/proc/base.c).
fn without_zeros(range: &str) -> String {
    let strip = |address: &str| match address.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    };
    range.split('-').map(strip).collect::<Vec<_>>().join("-")
}

/// What is behind a link of /proc.
enum Behind {
    /// A block device (`true`) or a character device, by its number.
    Device((bool, (u32, u32))),
    /// Something else.
    NoDevice,
    /// That cannot be asked for: its name must do.
    Unknown,
}

/// Reads `08:01`, as maps show a device.
fn hexadecimal(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?))
}

/// Whether a path is worth a line in a dump, which shows no numbers: nodes that every process has open, and plain files,
/// are not.
pub(crate) fn may_matter(path: &str) -> bool {
    if let Some(node) = path.strip_prefix("/dev/") {
        let everybody = matches!(node, "null" | "zero" | "full" | "random" | "urandom" | "kmsg" | "ptmx" | "tty");
        return !everybody && !node.starts_with("pts/") && !node.starts_with("shm/");
    }
    path.contains("/dev/") || may_be_file(path)
}

/// A cheap look at a path: whether it can be that of a register file or a claim.
fn may_be_file(path: &str) -> bool {
    path.starts_with("/sys/")
        || path.starts_with("/proc/bus/pci/")
        || path.contains("/spdk_pci_lock_")
        || path.contains("/resource")
        || path.ends_with("/config")
}

/// What `fdinfo` says of a descriptor (fs/proc/fd.c, seq_show).
#[derive(Debug, Default)]
struct Info {
    mount: Option<u64>,
    locked: bool,
    /// Opened to read only; false where that is not told.
    is_read_only: bool,
    /// It names the file and holds nothing (O_PATH).
    is_path: bool,
}

impl Info {
    fn read(process: &ProcessDirectory, table: &str, fd: &str, buffer: &mut Vec<u8>) -> Self {
        let mut info = Self::default();
        if matches!(process.read(&format!("{table}fdinfo/{fd}"), buffer), Ok(true)) {
            for line in String::from_utf8_lossy(buffer).lines() {
                match line.split_once(':') {
                    // In octal, with O_RDONLY, O_WRONLY or O_RDWR in the last two bits (proc(5)).
                    Some(("flags", value)) => {
                        let flags = i64::from_str_radix(value.trim(), 8).ok();
                        info.is_read_only = flags.is_some_and(|flags| flags & 3 == 0);
                        info.is_path = flags.is_some_and(|flags| flags & i64::from(nix::libc::O_PATH) != 0);
                    }
                    Some(("mnt_id", value)) => info.mount = value.trim().parse().ok(),
                    Some(("lock", value)) => info.locked |= !value.contains("->"),
                    _ => {}
                }
            }
        }
        info
    }
}
