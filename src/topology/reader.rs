//! How functions are read: each directory is opened once, and what is in it is asked for by name from there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::host::root::Entries;
use crate::host::sysfs::{Dir, Sysfs, last_step};
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::ids::Ids;
use crate::pci::selector::is_host_bridge_name;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{DEEPEST, FunctionId, HostBridgeId, Parent, Topology, VirtualOf};
use crate::topology::paths::{BUSES, DEVICES, bus_below, locate_bus};

/// From so many functions in one directory on, opening it costs less than it saves.
const WORTH_OPENING: usize = 4;

/// A device of PCI Express has 8 functions; where more sit below one port, most are virtual.
const MOSTLY_VIRTUAL: usize = 8;

pub(crate) struct Loader<'a> {
    pub(crate) sysfs: &'a Sysfs,
    fields: Fields,
    pub(crate) topology: Topology,
    /// Whether a function's own files were read, or only its name in a path.
    pub(crate) is_read: Vec<bool>,
    pub(super) drivers: HashSet<Arc<str>>,
    /// The `virtfnN` links of physical functions that were read already.
    links: HashMap<FunctionId, Vec<(u32, PciAddress)>>,
    /// The ids of a physical function's VFs.
    pub(super) virtual_ids: HashMap<FunctionId, Ids>,
    entries: Entries,
    is_too_deep: bool,
    failure: Option<Error>,
}

/// A function's directory: its name as seen from one that is open.
#[derive(Clone, Copy)]
pub(super) struct Location<'d> {
    pub(super) dir: &'d Dir,
    pub(super) name: &'d str,
}

impl Location<'_> {
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The same seen from `sys`.
    pub(super) fn path(&self) -> String {
        self.dir.join(self.name)
    }
}

/// Where in a subtree a function is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadScope {
    /// It was asked for.
    Target,
    /// It came with something else, and has siblings.
    Member,
    /// It is the only function in its directory, so it is no virtual one: these sit beside their PF.
    OnlyChild,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(sysfs: &'a Sysfs, fields: Fields) -> Self {
        Self {
            sysfs,
            fields,
            topology: Topology::default(),
            is_read: Vec::new(),
            drivers: HashSet::new(),
            links: HashMap::new(),
            virtual_ids: HashMap::new(),
            entries: Entries::default(),
            is_too_deep: false,
            failure: None,
        }
    }

    pub(crate) fn reserve(&mut self, functions: usize) {
        self.topology.functions.reserve_exact(functions);
        self.topology.by_address.reserve(functions);
        self.is_read.reserve_exact(functions);
    }

    pub(crate) fn note(&mut self, text: String) {
        self.topology.notes.push(text);
    }

    /// What cannot be read is a note when looking and an error when something is to be changed.
    pub(super) fn trouble(&mut self, address: PciAddress, text: String) {
        self.failed(Error::new(ErrorKind::NoSuchDevice, text).about(address));
    }

    /// Says once that what is below this function is left out.
    fn too_deep(&mut self, address: PciAddress) {
        if !std::mem::replace(&mut self.is_too_deep, true) {
            let text = format!(
                "{address}: nested too deeply: it is below {DEEPEST} others, and no PCI hierarchy has more; left out"
            );
            self.failed(Error::new(ErrorKind::Failed, text).about(address));
        }
    }

    pub(crate) fn finish(mut self) -> Topology {
        self.tie_virtual();
        self.topology
    }

    pub(crate) fn finish_strict(mut self) -> Result<Topology> {
        self.tie_virtual();
        self.failure.map_or(Ok(self.topology), Err)
    }

    /// The addresses in `bus/pci/devices`, sorted.
    pub(crate) fn addresses(&mut self, devices: &Dir) -> io::Result<Vec<PciAddress>> {
        let (mut addresses, mut foreign) = (Vec::new(), Vec::new());
        devices.each(&mut self.entries, |name, _| match PciAddress::from_sysfs_name(name) {
            Some(address) => addresses.push(address),
            None => foreign.push(name.to_owned()),
        })?;
        foreign.sort_unstable();
        for name in foreign {
            self.note(format!("{}/{name}: this is no PCI address; left out", self.sysfs.display(DEVICES)));
        }
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// Makes sure that what a path leads to and all above it are known by name; none if it is no function's path.
    pub(crate) fn chain(&mut self, path: &str) -> Option<FunctionId> {
        match self.chain_to(path)? {
            Parent::Function(id) => Some(id),
            Parent::HostBridge(_) => None,
        }
    }

    /// Like [`chain`](Self::chain), for a path that may end in a host bridge.
    fn chain_to(&mut self, path: &str) -> Option<Parent> {
        let (mut parent, mut last) = (None, None);
        let (mut end, mut depth) = (0, 0);
        for step in path.split('/') {
            end += step.len();
            let here = &path[..end];
            end += 1;
            if let (Some(parent_now), Some(address)) = (parent, PciAddress::from_sysfs_name(step)) {
                if depth >= DEEPEST {
                    self.too_deep(address);
                    return None;
                }
                depth += 1;
                let id = self.function(parent_now, address);
                (parent, last) = (Some(Parent::Function(id)), Some(id));
            } else if is_host_bridge_name(step) {
                parent = Some(Parent::HostBridge(self.host_bridge(step, here, last)));
            } else if parent.is_some() {
                return None;
            }
        }
        parent
    }

    pub(crate) fn host_bridge(&mut self, name: &str, path: &str, above: Option<FunctionId>) -> HostBridgeId {
        if let Some(id) = self.topology.by_name.get(name) {
            return *id;
        }
        self.topology.add_host_bridge(name, path, above)
    }

    pub(crate) fn function(&mut self, parent: Parent, address: PciAddress) -> FunctionId {
        if let Some(id) = self.topology.find(address) {
            return id;
        }
        self.is_read.push(false);
        self.topology.add_function(parent, address, None, None)
    }

    /// Reads functions of one directory, of all the machine's.
    ///
    /// `listed` is their directory, if it is open already.
    pub(crate) fn siblings(&mut self, parent: &str, listed: Option<&Dir>, addresses: &[PciAddress]) {
        let Some(above) = self.chain_to(parent) else { return };
        let sysfs = self.sysfs;
        let own = if listed.is_none() && addresses.len() >= WORTH_OPENING { self.open(parent) } else { None };
        let opened = listed.or(own.as_ref());
        let many = addresses.len() > MOSTLY_VIRTUAL && matches!(above, Parent::Function(_));
        let spares_reads = many && self.fields.ids == IdsOf::Devices;
        let role = if self.fields.virtual_of || spares_reads { ReadScope::Member } else { ReadScope::OnlyChild };
        for &address in addresses {
            let id = self.function(above, address);
            match opened {
                Some(dir) => self.read(id, Location { dir, name: &address.to_string() }, role),
                None => self.read(id, Location { dir: sysfs.top(), name: &format!("{parent}/{address}") }, role),
            }
        }
    }

    /// The functions whose directories are right in this one, sorted.
    pub(crate) fn directories(&mut self, dir: &Dir) -> io::Result<Vec<PciAddress>> {
        let mut found = Vec::new();
        dir.each(&mut self.entries, |name, is_directory| {
            found.extend(is_directory.then(|| PciAddress::from_sysfs_name(name)).flatten());
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// Reads what only the paths of others told of: a tree with a hole in `bus/pci/devices`.
    pub(crate) fn bare_ancestors(&mut self) {
        let bare: Vec<u32> = (0..).zip(&self.is_read).filter(|(_, is_read)| !**is_read).map(|(id, _)| id).collect();
        for id in bare.into_iter().map(FunctionId) {
            let path = self.topology.path(id);
            self.read(id, Location { dir: self.sysfs.top(), name: &path }, ReadScope::Member);
        }
    }

    /// Reads one function and nothing below it.
    pub(crate) fn single(&mut self, path: &str) -> Option<FunctionId> {
        let id = self.chain(path)?;
        let role = if self.fields.virtual_of { ReadScope::Target } else { ReadScope::OnlyChild };
        self.read(id, Location { dir: self.sysfs.top(), name: path }, role);
        Some(id)
    }

    pub(crate) fn ids_of(&self, id: FunctionId) -> Option<Ids> {
        self.topology.function(id).ids
    }

    /// Reads one function and all below it.
    pub(crate) fn target(&mut self, path: &str) {
        let Some(id) = self.chain(path) else { return };
        let location = Location { dir: self.sysfs.top(), name: path };
        self.read(id, location, ReadScope::Target);
        self.descend(id, location, ReadScope::Target, depth_of(path));
    }

    /// Reads all below a bridge or host bridge.
    pub(crate) fn below(&mut self, path: &str) {
        let Some(parent) = self.chain_to(path) else { return };
        if let Some(dir) = self.open(path) {
            self.children(parent, &dir, depth_of(path));
        }
    }

    /// Reads what the fields ask for, once.
    fn read(&mut self, id: FunctionId, location: Location, role: ReadScope) {
        if std::mem::replace(&mut self.is_read[id.0 as usize], true) {
            return;
        }
        let address = self.topology.function(id).address;
        if self.fields.driver {
            self.topology.functions[id.0 as usize].driver = self.driver(address, location);
        }
        // The driver of ports has no virtual functions.
        if role != ReadScope::OnlyChild && self.topology.function(id).driver.as_deref() != Some("pcieport") {
            self.physical(id, location);
        }
        self.topology.functions[id.0 as usize].ids = match self.fields.ids {
            IdsOf::Nobody => None,
            IdsOf::Targets if role != ReadScope::Target => None,
            IdsOf::Devices => self.device_ids(id, address, location),
            IdsOf::Targets | IdsOf::Everyone => self.ids(address, location),
        };
    }

    /// Finds out whether a function is virtual; its physical one sits in the same directory.
    fn physical(&mut self, id: FunctionId, location: Location) {
        let name = location.dir.link(&location.file("physfn"), |target| PciAddress::from_sysfs_name(last_step(target)));
        let Ok(Some(Some(address))) = name else { return };
        let beside = match location.name.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{address}"),
            None => address.to_string(),
        };
        if self.topology.find(address).is_none() && !location.dir.exists(&beside) {
            return;
        }
        let parent = self.topology.function(id).parent;
        let physical = self.function(parent, address);
        self.read(physical, Location { name: &beside, ..location }, ReadScope::Member);
        // No kernel makes a VF of a VF; a tree that says so must not send anybody round in circles.
        if physical != id && self.topology.function(physical).virtual_of.is_none() {
            self.topology.set_virtual(id, VirtualOf { physical, index: None });
        }
    }

    /// Reads all below a function. A virtual function has nothing below it.
    fn descend(&mut self, id: FunctionId, location: Location, role: ReadScope, depth: usize) {
        if self.topology.function(id).virtual_of.is_some() {
            return;
        }
        match location.dir.open_bridge(location.name) {
            Ok(Some(dir)) => {
                if self.fields.buses {
                    let bus = bus_below(self.sysfs, dir.path()).unwrap_or_else(|error| {
                        self.failed(error);
                        None
                    });
                    self.topology.set_secondary(id, bus);
                }
                self.children(Parent::Function(id), &dir, depth);
            }
            // vmd is the one driver that hangs a host bridge below its endpoint (drivers/pci/controller/vmd.c).
            Ok(None) if self.topology.function(id).driver.as_deref() == Some("vmd") => {
                if let Some(dir) = self.open(&location.path()) {
                    self.children(Parent::Function(id), &dir, depth);
                }
            }
            Ok(None) if role == ReadScope::Target => self.virtual_below(id, location),
            Ok(None) => {}
            Err(error) => self.failed(Error::io(self.sysfs.display(&location.path()), &error)),
        }
    }

    /// Reads what is in the directory of a function that `depth` functions lead to, itself included, or of a host bridge.
    fn children(&mut self, parent: Parent, dir: &Dir, depth: usize) {
        let (mut addresses, mut bridges) = (Vec::new(), Vec::new());
        let listed = dir.each(&mut self.entries, |name, is_directory| match PciAddress::from_sysfs_name(name) {
            _ if !is_directory => {}
            Some(address) => addresses.push(address),
            None if is_host_bridge_name(name) => bridges.push(name.to_owned()),
            None => {}
        });
        if let Err(error) = listed {
            self.failed(Error::io(self.sysfs.display(dir.path()), &error));
        }
        // In one order on every machine, so that the first trouble is the same one.
        addresses.sort_unstable();
        bridges.sort_unstable();
        if depth >= DEEPEST {
            if let Some(first) = addresses.first() {
                self.too_deep(*first);
            }
            return;
        }
        let role = if addresses.len() == 1 { ReadScope::OnlyChild } else { ReadScope::Member };
        let children: Vec<(FunctionId, String)> =
            addresses.into_iter().map(|address| (self.function(parent, address), address.to_string())).collect();
        for (id, name) in &children {
            self.read(*id, Location { dir, name }, role);
        }
        for (id, name) in &children {
            self.descend(*id, Location { dir, name }, role, depth + 1);
        }
        let above = match parent {
            Parent::Function(id) => Some(id),
            Parent::HostBridge(_) => None,
        };
        for name in bridges {
            let path = dir.join(&name);
            let id = self.host_bridge(&name, &path, above);
            if let Some(dir) = self.open(&path) {
                self.children(Parent::HostBridge(id), &dir, depth + 1);
            }
        }
    }

    /// Reads the virtual functions of a function that is looked at by itself, so that its siblings are not listed.
    fn virtual_below(&mut self, physical: FunctionId, location: Location) {
        let Some((directory, _)) = location.name.rsplit_once('/') else { return };
        let parent = self.topology.function(physical).parent;
        for (_, address) in self.virtual_links(physical, &location.path()) {
            let id = self.function(parent, address);
            self.read(id, Location { name: &format!("{directory}/{address}"), ..location }, ReadScope::Member);
        }
    }

    /// The `virtfnN` links of a physical function, in the order of their numbers.
    fn virtual_links(&mut self, physical: FunctionId, path: &str) -> Vec<(u32, PciAddress)> {
        if let Some(known) = self.links.get(&physical) {
            return known.clone();
        }
        let mut indices: Vec<u32> = Vec::new();
        let mut links: Vec<(u32, PciAddress)> = Vec::new();
        if let Some(dir) = self.open(path) {
            let listed = dir.each(&mut self.entries, |name, _| {
                indices.extend(name.strip_prefix("virtfn").and_then(|index| index.parse::<u32>().ok()));
            });
            if let Err(error) = listed {
                self.failed(Error::io(self.sysfs.display(path), &error));
            }
            indices.sort_unstable();
            for index in indices {
                let address = |target: &str| PciAddress::from_sysfs_name(last_step(target));
                let address = dir.link(&format!("virtfn{index}"), address).ok().flatten().flatten();
                links.extend(address.map(|address| (index, address)));
            }
        }
        self.links.insert(physical, links.clone());
        links
    }

    pub(crate) fn open(&mut self, path: &str) -> Option<Dir> {
        self.sysfs.top().open(path).unwrap_or_else(|error| {
            self.failed(Error::io(self.sysfs.display(path), &error));
            None
        })
    }

    pub(super) fn failed(&mut self, error: Error) {
        self.note(error.to_string());
        self.failure.get_or_insert(error);
    }

    /// Finds out which `virtfnN` each virtual function is; the number is what its place is named by.
    fn tie_virtual(&mut self) {
        if !self.fields.index {
            return;
        }
        let mut physical: Vec<FunctionId> =
            self.topology.functions.iter().filter_map(|f| f.virtual_of.map(|of| of.physical)).collect();
        physical.sort_unstable();
        physical.dedup();
        for id in physical {
            let path = self.topology.path(id);
            for (index, address) in self.virtual_links(id, &path) {
                let Some(function) = self.topology.find(address) else { continue };
                // Both links must agree, as the kernel's do.
                if self.topology.function(function).virtual_of.is_some_and(|of| of.physical == id) {
                    self.topology.set_virtual(function, VirtualOf { physical: id, index: Some(index) });
                }
            }
        }
    }

    /// Reads which bridge leads to which bus, for the whole machine; finds root buses that are empty, too.
    pub(crate) fn all_buses(&mut self) {
        let names = self.sysfs.names(BUSES).unwrap_or_else(|error| {
            self.failed(Error::io(self.sysfs.display(BUSES), &error));
            None
        });
        for name in names.unwrap_or_default() {
            let Ok(bus) = name.parse::<BusNumber>() else { continue };
            let Ok(Some(path)) = locate_bus(self.sysfs, bus) else { continue };
            if let Some(address) = PciAddress::from_sysfs_name(last_step(&path)) {
                if let Some(id) = self.topology.find(address) {
                    let known = self.topology.function(id).secondary;
                    self.topology.set_secondary(id, Some(known.map_or(bus, |known| known.min(bus))));
                }
            } else if is_host_bridge_name(last_step(&path)) {
                self.chain_to(&path);
            }
        }
    }
}

/// How many functions a directory's path leads through, itself included.
fn depth_of(path: &str) -> usize {
    path.split('/').filter(|step| PciAddress::from_sysfs_name(step).is_some()).count()
}
