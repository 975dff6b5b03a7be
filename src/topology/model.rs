//! The PCI device tree as data: who sits below whom, what it is, which driver has it.
//!
//! Parentage is the nesting of the directories in sysfs and nothing else: bus numbers say little (a VF may sit on a bus
//! with another number, VMD's domain hangs below an endpoint). A topology is what was read at one moment; it may be of
//! the whole machine or only of some functions, their ancestors and all below them. No more than [`DEEPEST`] functions are
//! above one another, whoever made the tree: what walks it may do so by recursion.

use std::collections::HashMap;
use std::sync::Arc;

use crate::order;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::ids::Ids;
use crate::pci::place::Place;

/// How many functions may be nested in one another. A domain has 256 buses, and a path with many more functions than this
/// is longer than any that the kernel takes.
pub(crate) const DEEPEST: usize = 256;

/// A function's index in its topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u32);

/// A host bridge's index in its topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostBridgeId(u32);

/// What a function's directory is nested in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It sits on a root bus.
    HostBridge(HostBridgeId),
    /// It sits below a bridge.
    Function(FunctionId),
}

/// A host bridge: `pciDDDD:BB`, usually right below /sys/devices, with VMD below an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct HostBridge {
    /// `pci0000:00`.
    pub(crate) name: String,
    /// The function whose driver made it, as vmd does.
    pub(crate) above: Option<FunctionId>,
    /// Its directory below `sys`.
    pub(crate) path: String,
    children: Vec<FunctionId>,
}

/// How a virtual function hangs on its physical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualOf {
    /// The physical function.
    pub physical: FunctionId,
    /// N of the physical function's `virtfnN` link; none if that link was gone or not asked for.
    pub index: Option<u32>,
}

/// One PCI function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where it answers now.
    pub(crate) address: PciAddress,
    /// What it hangs below.
    pub parent: Parent,
    /// Set on a virtual function.
    pub(crate) virtual_of: Option<VirtualOf>,
    /// The bus it leads to, if it is a bridge with one.
    pub(crate) secondary: Option<BusNumber>,
    /// What it says it is; none if that could not be read.
    pub(crate) ids: Option<Ids>,
    /// The driver that has it.
    pub(crate) driver: Option<Arc<str>>,
    children: Vec<FunctionId>,
    rare: Option<Box<Rare>>,
}

/// What hangs on few functions: there may be 65,536.
#[derive(Clone, Debug, Default)]
struct Rare {
    bridges: Vec<HostBridgeId>,
    virtuals: Vec<FunctionId>,
}

impl Function {
    fn bridges(&self) -> &[HostBridgeId] {
        self.rare.as_ref().map_or(&[], |rare| &rare.bridges)
    }

    fn virtuals(&self) -> &[FunctionId] {
        self.rare.as_ref().map_or(&[], |rare| &rare.virtuals)
    }
}

/// Functions and host bridges as they were read at one moment.
#[derive(Debug, Default)]
pub struct Topology {
    pub(crate) functions: Vec<Function>,
    host_bridges: Vec<HostBridge>,
    pub(crate) by_address: HashMap<PciAddress, FunctionId>,
    pub(crate) by_name: HashMap<String, HostBridgeId>,
    /// What could not be read, a line each, for people.
    pub(crate) notes: Vec<String>,
}

/// Building one, a piece at a time from the top down: for reading it from sysfs, and for making one up.
impl Topology {
    /// Adds a host bridge; `path` is its directory below `sys`, `above` the function whose driver made it.
    pub fn add_host_bridge(&mut self, name: &str, path: &str, above: Option<FunctionId>) -> HostBridgeId {
        let id = HostBridgeId(self.host_bridges.len() as u32);
        let bridge = HostBridge { name: name.to_owned(), above, path: path.to_owned(), children: Vec::new() };
        self.host_bridges.push(bridge);
        self.by_name.insert(name.to_owned(), id);
        if let Some(above) = above {
            self.functions[above.0 as usize].rare.get_or_insert_default().bridges.push(id);
        }
        id
    }

    /// Adds a function below something that was added before.
    pub fn add_function(
        &mut self,
        parent: Parent,
        address: PciAddress,
        ids: Option<Ids>,
        driver: Option<Arc<str>>,
    ) -> FunctionId {
        let id = FunctionId(self.functions.len() as u32);
        self.functions.push(Function {
            address,
            parent,
            virtual_of: None,
            secondary: None,
            ids,
            driver,
            children: Vec::new(),
            rare: None,
        });
        self.by_address.insert(address, id);
        match parent {
            Parent::HostBridge(above) => self.host_bridges[above.0 as usize].children.push(id),
            Parent::Function(above) => self.functions[above.0 as usize].children.push(id),
        }
        id
    }

    /// Says that a function is virtual, and of which one; both must have the same parent.
    pub fn set_virtual(&mut self, id: FunctionId, of: VirtualOf) {
        let known = self.functions[id.0 as usize].virtual_of.replace(of);
        if known.is_none_or(|known| known.physical != of.physical) {
            self.functions[of.physical.0 as usize].rare.get_or_insert_default().virtuals.push(id);
        }
    }

    /// Says which bus a bridge leads to.
    pub fn set_secondary(&mut self, id: FunctionId, bus: Option<BusNumber>) {
        self.functions[id.0 as usize].secondary = bus;
    }
}

impl Topology {
    /// The function at this address, if it was read.
    pub fn find(&self, address: PciAddress) -> Option<FunctionId> {
        self.by_address.get(&address).copied()
    }

    /// The host bridge of this name (`pci0000:00`), if it was read.
    pub(crate) fn find_host_bridge(&self, name: &str) -> Option<HostBridgeId> {
        self.by_name.get(name).copied()
    }

    /// One function.
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.0 as usize]
    }

    /// One host bridge.
    pub(crate) fn host_bridge(&self, id: HostBridgeId) -> &HostBridge {
        &self.host_bridges[id.0 as usize]
    }

    /// Every function, ordered by address.
    pub fn by_address(&self) -> Vec<FunctionId> {
        let mut ids: Vec<FunctionId> = (0..self.functions.len() as u32).map(FunctionId).collect();
        self.sort(&mut ids);
        ids
    }

    /// The host bridges that hang below no function, ordered by name's domain and bus.
    pub(crate) fn top_bridges(&self) -> Vec<HostBridgeId> {
        let mut ids: Vec<HostBridgeId> = (0..self.host_bridges.len() as u32).map(HostBridgeId).collect();
        ids.retain(|id| self.host_bridge(*id).above.is_none());
        order::sort_by(&mut ids, |a, b| self.host_bridge(*a).bus().cmp(&self.host_bridge(*b).bus()));
        ids
    }

    /// The functions right on a root bus, ordered by address, VFs left to their PF.
    pub(crate) fn on_root_bus(&self, id: HostBridgeId) -> Vec<FunctionId> {
        self.without_virtual(&self.host_bridge(id).children)
    }

    /// The functions right below a function, ordered by address, VFs left to their PF.
    pub(crate) fn below(&self, id: FunctionId) -> Vec<FunctionId> {
        self.without_virtual(&self.function(id).children)
    }

    /// The host bridges that a function's driver made (VMD).
    pub(crate) fn bridges_below(&self, id: FunctionId) -> &[HostBridgeId] {
        self.function(id).bridges()
    }

    /// The virtual functions of a physical one, ordered by index, then address.
    pub(crate) fn virtual_functions(&self, physical: FunctionId) -> Vec<FunctionId> {
        if self.function(physical).virtual_of.is_some() {
            return Vec::new();
        }
        // A VF's directory is a sibling of its PF's.
        let parent = self.function(physical).parent;
        let is_its = |id: &FunctionId| {
            let function = self.function(*id);
            function.parent == parent && function.virtual_of.is_some_and(|of| of.physical == physical)
        };
        let mut found: Vec<FunctionId> = self.function(physical).virtuals().iter().copied().filter(is_its).collect();
        let rank = |id: &FunctionId| {
            let function = self.function(*id);
            (function.virtual_of.and_then(|of| of.index), function.address)
        };
        order::sort_by(&mut found, |a, b| rank(a).cmp(&rank(b)));
        found
    }

    fn without_virtual(&self, ids: &[FunctionId]) -> Vec<FunctionId> {
        let mut ids: Vec<FunctionId> =
            ids.iter().copied().filter(|id| self.function(*id).virtual_of.is_none()).collect();
        self.sort(&mut ids);
        ids
    }

    /// Sorts functions by their address.
    pub(crate) fn sort(&self, ids: &mut [FunctionId]) {
        ids.sort_unstable_by_key(|id| self.function(*id).address);
    }

    /// A function's directory below `sys`.
    pub(crate) fn path(&self, id: FunctionId) -> String {
        let function = self.function(id);
        let above = match function.parent {
            Parent::HostBridge(id) => self.host_bridge(id).path.clone(),
            Parent::Function(id) => self.path(id),
        };
        format!("{above}/{}", function.address)
    }

    /// The function that a function hangs below, host bridges of a driver's making looked through; none on a real root bus.
    pub(crate) fn function_above(&self, id: FunctionId) -> Option<FunctionId> {
        match self.function(id).parent {
            Parent::HostBridge(id) => self.host_bridge(id).above,
            Parent::Function(id) => Some(id),
        }
    }

    /// All functions above one, the nearest first.
    pub(crate) fn functions_above(&self, id: FunctionId) -> impl Iterator<Item = FunctionId> + '_ {
        std::iter::successors(self.function_above(id), |above| self.function_above(*above))
    }

    /// A function's place: the node of the lock protocol.
    pub fn place(&self, id: FunctionId) -> Place {
        let function = self.function(id);
        if let Some(VirtualOf { physical, index }) = function.virtual_of {
            return self.place(physical).virtual_function(index, function.address);
        }
        self.place_above(id).function(function.address)
    }

    /// The place of the bridge, or host bridge, whose bus a function is on.
    pub(crate) fn place_above(&self, id: FunctionId) -> Place {
        match self.function(id).parent {
            Parent::HostBridge(id) => self.host_bridge_place(id),
            Parent::Function(id) => self.place(id),
        }
    }

    /// All else that the bridge above a function leads to; nothing on a root bus, which no bridge can reset.
    pub(crate) fn neighbors(&self, id: FunctionId) -> Vec<FunctionId> {
        let Parent::Function(bridge) = self.function(id).parent else { return Vec::new() };
        let own = self.subtree(id);
        self.subtree(bridge).into_iter().skip(1).filter(|other| !own.contains(other)).collect()
    }

    /// A host bridge's place.
    pub fn host_bridge_place(&self, id: HostBridgeId) -> Place {
        let bridge = self.host_bridge(id);
        bridge.above.map_or_else(Place::root, |above| self.place(above)).host_bridge(&bridge.name)
    }

    /// A function, all that is nested below it, and the VFs of every PF among these; parents before children, PFs
    /// before their VFs.
    pub(crate) fn subtree(&self, top: FunctionId) -> Vec<FunctionId> {
        let mut found = Vec::new();
        self.collect(top, &mut found);
        found
    }

    fn collect(&self, id: FunctionId, found: &mut Vec<FunctionId>) {
        found.push(id);
        found.extend(self.virtual_functions(id));
        for child in self.below(id) {
            self.collect(child, found);
        }
        for bridge in self.function(id).bridges() {
            for child in self.on_root_bus(*bridge) {
                self.collect(child, found);
            }
        }
    }
}

impl HostBridge {
    /// The root bus it leads to.
    pub(crate) fn bus(&self) -> Option<BusNumber> {
        self.name.strip_prefix("pci")?.parse().ok()
    }

    /// Its directory below `sys`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}
