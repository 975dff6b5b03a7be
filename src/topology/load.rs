//! Reading a topology from sysfs, with files that cannot block and as few of them as will do.
//!
//! What a command costs follows from what it asks for here: the whole machine, or some functions with all below them,
//! which costs the same on a machine of any size. How a directory is read is [`loader`](super::loader)'s business.

use super::loader::Loader;
use super::{FunctionId, Topology};
use crate::address::{BusNumber, PciAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::sysfs::{Dir, Sysfs, follow, last_step};

pub(super) const DEVICES: &str = "bus/pci/devices";
pub(super) const BUSES: &str = "class/pci_bus";

/// What to read of each function besides its place in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Ids and class.
    pub ids: IdsOf,
    /// The driver that has it.
    pub driver: bool,
    /// Which functions are virtual, and of which one.
    pub virtual_of: bool,
    /// Which `virtfnN` each virtual function is: part of its place.
    pub index: bool,
    /// The buses that bridges lead to.
    pub buses: bool,
}

/// Whose ids and class to read: three calls each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdsOf {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of the functions that were asked for, not of what is below them.
    Targets,
    /// Everybody's, but of a PF's virtual functions only one: the kernel gives them all the same ids, read once from
    /// the first (pci_iov_add_virtfn and pci_read_vf_config_common in drivers/pci/iov.c).
    Devices,
    /// Everybody's, each from its own file.
    Everyone,
}

impl Fields {
    /// All that is needed to change something.
    pub const ALL: Self = Self { ids: IdsOf::Everyone, driver: true, virtual_of: true, index: true, buses: true };

    /// What is needed to say what would be changed.
    pub const PLAN: Self = Self { ids: IdsOf::Targets, buses: false, ..Self::ALL };

    /// What is needed to draw the tree.
    pub const TREE: Self = Self { ids: IdsOf::Devices, index: false, ..Self::ALL };
}

impl Topology {
    /// Reads every function of the machine.
    ///
    /// # Errors
    /// There is no PCI in this /sys. What is odd about a single function becomes a note.
    pub fn load_all(sysfs: &Sysfs, fields: Fields) -> Result<Self> {
        let trouble = |e: &std::io::Error| Error::io(sysfs.display(DEVICES), e);
        let devices = sysfs.top().open(DEVICES).map_err(|e| trouble(&e))?.ok_or_else(|| no_pci(sysfs))?;
        let mut loader = Loader::new(sysfs, fields);
        let addresses = loader.addresses(&devices).map_err(|e| trouble(&e))?;
        loader.reserve(addresses.len());
        let mut run = Run::default();
        for address in addresses {
            match real_path(sysfs, &devices, address) {
                Ok(Some(path)) => {
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    if parent != run.parent {
                        loader.siblings(&run.parent, &run.addresses);
                        run = Run { parent: parent.to_owned(), addresses: Vec::new() };
                    }
                    run.addresses.push(address);
                }
                Ok(None) => {}
                Err(error) => loader.note(format!("{error}; left out")),
            }
        }
        loader.siblings(&run.parent, &run.addresses);
        loader.bare_ancestors();
        if fields.buses {
            loader.all_buses();
        }
        Ok(loader.finish())
    }

    /// Reads these functions, their ancestors and everything below them; what is not there is left out.
    ///
    /// # Errors
    /// A link that leads out of the tree, or attributes that cannot be read or make no sense: whoever wants to change
    /// something must know what it is.
    pub fn load_around(sysfs: &Sysfs, targets: &[PciAddress]) -> Result<Self> {
        Self::load_around_with(sysfs, targets, Fields::ALL)
    }

    /// [`load_around`](Self::load_around), reading only what is asked for.
    ///
    /// # Errors
    /// As [`load_around`](Self::load_around).
    pub fn load_around_with(sysfs: &Sysfs, targets: &[PciAddress], fields: Fields) -> Result<Self> {
        let mut loader = Loader::new(sysfs, fields);
        for path in paths(sysfs, targets)? {
            loader.target(&path);
        }
        loader.finish_strict()
    }

    /// Reads these functions, their ancestors' places, and nothing below them: for looking at single ones.
    ///
    /// # Errors
    /// A link that leads out of the tree.
    pub fn load_only(sysfs: &Sysfs, targets: &[PciAddress], fields: Fields) -> Result<Self> {
        let mut loader = Loader::new(sysfs, fields);
        for path in paths(sysfs, targets)? {
            loader.single(&path);
        }
        Ok(loader.finish())
    }

    /// The bridge, or host bridge, of this directory and its ancestors by their names alone.
    pub fn of_path(sysfs: &Sysfs, path: &str) -> Self {
        let mut loader = Loader::new(sysfs, Fields::default());
        loader.chain(path);
        loader.finish()
    }

    /// Reads everything below the bridge, or host bridge, of this directory.
    ///
    /// # Errors
    /// As [`load_around`](Self::load_around).
    pub fn load_below(sysfs: &Sysfs, path: &str) -> Result<Self> {
        let mut loader = Loader::new(sysfs, Fields::ALL);
        loader.below(path);
        loader.finish_strict()
    }

    /// Reads the ids of a function that was read without them.
    pub fn load_ids(&mut self, sysfs: &Sysfs, id: FunctionId) {
        let fields = Fields { ids: IdsOf::Everyone, ..Fields::default() };
        let mut loader = Loader::new(sysfs, fields);
        let ids = loader.single(&self.path(id)).and_then(|id| loader.ids_of(id));
        self.functions[id.0 as usize].ids = ids;
        self.notes.append(&mut loader.finish().notes);
    }
}

/// Functions that follow one another and hang below the same directory.
#[derive(Default)]
struct Run {
    parent: String,
    addresses: Vec<PciAddress>,
}

fn no_pci(sysfs: &Sysfs) -> Error {
    let next = if sysfs.is_dump() {
        "dump it with sys/bus/pci"
    } else {
        "this kernel has no PCI, or /sys is hidden in a container"
    };
    Error::new(ErrorKind::NoSuchDevice, format!("{}: not there; {next}", sysfs.display(DEVICES)))
}

/// The directories of those functions that are there.
fn paths(sysfs: &Sysfs, addresses: &[PciAddress]) -> Result<Vec<String>> {
    let mut paths = Vec::with_capacity(addresses.len());
    if addresses.is_empty() {
        return Ok(paths);
    }
    let trouble = |e: &std::io::Error| Error::io(sysfs.display(DEVICES), e);
    let Some(devices) = sysfs.top().open(DEVICES).map_err(|e| trouble(&e))? else { return Ok(paths) };
    for &address in addresses {
        paths.extend(real_path(sysfs, &devices, address)?);
    }
    Ok(paths)
}

/// Where a function's directory really is; `None` if the function is not there.
fn real_path(sysfs: &Sysfs, devices: &Dir, address: PciAddress) -> Result<Option<String>> {
    let name = address.to_string();
    let place = |target: &str| {
        let path = follow(DEVICES, target).filter(|path| path.starts_with("devices/") && last_step(path) == name);
        path.ok_or_else(|| {
            let link = sysfs.display(&devices.join(&name));
            let text = format!("{address}: {link} leads to {target}, which is not its place in the device tree");
            Error::new(ErrorKind::NoSuchDevice, text).about(address)
        })
    };
    match devices.link(&name, place) {
        Ok(path) => path.transpose(),
        Err(error) => Err(Error::io(sysfs.display(&devices.join(&name)), &error)),
    }
}

/// The directory below `sys` of the bridge, or host bridge, that leads to a bus; found by name, without a scan.
///
/// # Errors
/// The link cannot be read.
pub fn locate_bus(sysfs: &Sysfs, bus: BusNumber) -> Result<Option<String>> {
    let link = format!("{BUSES}/{bus}");
    let target = sysfs.link(&link).map_err(|e| Error::io(sysfs.display(&link), &e))?;
    // The link ends in BRIDGE/pci_bus/DDDD:BB.
    Ok(target.and_then(|target| follow(BUSES, &target)).and_then(|path| {
        let (above, _) = path.rsplit_once("/pci_bus/")?;
        Some(above.to_owned())
    }))
}

<<<<<<< HEAD
struct Loader<'a> {
    sysfs: &'a Sysfs,
    fields: Fields,
    topology: Topology,
    drivers: HashSet<Arc<str>>,
    failure: Option<Error>,
}

impl<'a> Loader<'a> {
    fn new(sysfs: &'a Sysfs, fields: Fields) -> Self {
        Self { sysfs, fields, topology: Topology::default(), drivers: HashSet::new(), failure: None }
    }

    fn note(&mut self, text: String) {
        self.topology.notes.push(text);
    }

    /// What cannot be read is a note when looking and an error when something is to be changed.
    fn trouble(&mut self, address: PciAddress, text: String) {
        self.failure.get_or_insert_with(|| Error::new(ErrorKind::NoSuchDevice, text.clone()).about(address));
        self.note(text);
    }

    fn finish(mut self) -> Result<Topology> {
        self.tie_virtual();
        Ok(self.topology)
    }

    fn finish_strict(mut self) -> Result<Topology> {
        self.tie_virtual();
        self.failure.map_or(Ok(self.topology), Err)
    }

    /// Where a function's directory really is; `None` if the function is not there.
    fn real_path(&self, address: PciAddress) -> Result<Option<String>> {
        let link = format!("{DEVICES}/{address}");
        let Some(target) = self.sysfs.link(&link).map_err(|e| Error::io(self.sysfs.display(&link), &e))? else {
            return Ok(None);
        };
        let path = follow(DEVICES, &target).filter(|path| {
            path.starts_with("devices/") && path.rsplit('/').next() == Some(address.to_string().as_str())
        });
        path.map(Some).ok_or_else(|| {
            let text = format!(
                "{address}: {} leads to {target}, which is not its place in the device tree",
                self.sysfs.display(&link)
            );
            Error::new(ErrorKind::NoSuchDevice, text).about(address)
        })
    }

    /// Makes sure that the function at the end of a path and all above it are known; none if the path is not one.
    fn chain(&mut self, path: &str) -> Option<FunctionId> {
        let mut parent = None;
        let mut last = None;
        let mut end = 0;
        for step in path.split('/') {
            end += step.len();
            let here = &path[..end];
            end += 1;
            if let (Some(parent_now), Some(address)) = (parent, PciAddress::from_sysfs_name(step)) {
                let id = self.function(parent_now, address, here);
                (parent, last) = (Some(Parent::Function(id)), Some(id));
            } else if is_host_bridge_name(step) {
                parent = Some(Parent::HostBridge(self.host_bridge(step, here, last)));
            } else if parent.is_some() {
                return None;
            }
        }
        last
    }

    /// Makes sure that a bridge or host bridge and all above it are known.
    fn chain_to(&mut self, path: &str) {
        if path.rsplit('/').next().is_some_and(is_host_bridge_name) {
            self.bridge_chain(path);
        } else {
            self.chain(path);
        }
    }

    /// Like [`chain`](Self::chain), for a path that ends in a host bridge.
    fn bridge_chain(&mut self, path: &str) -> Option<HostBridgeId> {
        let (above, name) = path.rsplit_once('/')?;
        let above = self.chain(above);
        Some(self.host_bridge(name, path, above))
    }

    fn host_bridge(&mut self, name: &str, path: &str, above: Option<FunctionId>) -> HostBridgeId {
        if let Some(id) = self.topology.by_name.get(name) {
            return *id;
        }
        self.topology.add_host_bridge(name, path, above)
    }

    fn function(&mut self, parent: Parent, address: PciAddress, path: &str) -> FunctionId {
        if let Some(id) = self.topology.find(address) {
            return id;
        }
        let ids = if self.fields.ids { self.ids(address, path) } else { None };
        let driver = if self.fields.driver { self.driver(address, path) } else { None };
        let id = self.topology.add_function(parent, address, ids, driver);
        if self.fields.virtual_of {
            self.physical(id, parent, path);
        }
        id
    }

    /// Ties a virtual function to its physical one, which sits in the same directory.
    fn physical(&mut self, id: FunctionId, parent: Parent, path: &str) {
        let Ok(Some(name)) = self.sysfs.link_name(&format!("{path}/physfn")) else { return };
        let Some(address) = PciAddress::from_sysfs_name(&name) else { return };
        let Some((directory, _)) = path.rsplit_once('/') else { return };
        let beside = format!("{directory}/{address}");
        if self.topology.find(address).is_none() && !self.sysfs.exists(&beside) {
            return;
        }
        let physical = self.function(parent, address, &beside);
        // No kernel makes a VF of a VF; a tree that says so must not send anybody round in circles.
        if physical != id && self.topology.function(physical).virtual_of.is_none() {
            self.topology.set_virtual(id, VirtualOf { physical, index: None });
        }
    }

    fn ids(&mut self, address: PciAddress, path: &str) -> Option<Ids> {
        match self.sysfs.read(&format!("{path}/modalias")) {
            // Gone between the listing and the read: normal.
            Ok(None) => self.ids_one_by_one(address, path),
            Ok(Some(text)) => Ids::from_modalias(&text).or_else(|| {
                let file = self.sysfs.display(&format!("{path}/modalias"));
                self.trouble(address, format!("{address}: what it is cannot be told: {file} reads {text:?}"));
                None
            }),
            Err(error) => {
                self.unreadable(address, &format!("{path}/modalias"), &error);
                None
            }
        }
    }

    /// A dumped tree may lack `modalias`; the kernel always has it.
    fn ids_one_by_one(&mut self, address: PciAddress, path: &str) -> Option<Ids> {
        let number = |name: &str| {
            let text = self.sysfs.read(&format!("{path}/{name}")).ok().flatten()?;
            u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
        };
        let short = |name: &str| number(name).and_then(|id| u16::try_from(id).ok());
        let found = short("vendor").zip(short("device")).zip(number("class"));
        if let Some(((vendor, device), class)) = found {
            let subsystem_vendor = short("subsystem_vendor").unwrap_or(0);
            let subsystem_device = short("subsystem_device").unwrap_or(0);
            return Some(Ids { vendor, device, subsystem_vendor, subsystem_device, class });
        }
        if self.sysfs.exists(path) {
            let file = self.sysfs.display(path);
            self.trouble(
                address,
                format!(
                    "{address}: what it is cannot be told: {file} has neither modalias nor vendor, device and class"
                ),
            );
        }
        None
    }

    fn driver(&mut self, address: PciAddress, path: &str) -> Option<Arc<str>> {
        let name = match self.sysfs.link_name(&format!("{path}/driver")) {
            Ok(name) => name?,
            Err(error) => {
                self.unreadable(address, &format!("{path}/driver"), &error);
                return None;
            }
        };
        if let Some(known) = self.drivers.get(name.as_str()) {
            return Some(Arc::clone(known));
        }
        let name: Arc<str> = name.into();
        self.drivers.insert(Arc::clone(&name));
        Some(name)
    }

    fn unreadable(&mut self, address: PciAddress, file: &str, error: &io::Error) {
        let (file, why) = (self.sysfs.display(file), crate::error::plain(error));
        self.trouble(address, format!("{address}: what it is cannot be told: {file}: {why}"));
    }

    /// Reads all below a function. A virtual function has nothing below it.
    fn descend(&mut self, id: FunctionId, path: &str, top: bool) {
        if self.topology.function(id).virtual_of.is_some() {
            return;
        }
        let bus = self.names(&format!("{path}/pci_bus"));
        // A PF's VFs may have a bus of their own below the same bridge, always with a higher number.
        let secondary = bus.iter().flatten().filter_map(|name| name.parse().ok()).min();
        self.topology.set_secondary(id, secondary);
        // vmd is the one driver that hangs a host bridge below its endpoint (drivers/pci/controller/vmd.c).
        let makes_domain = self.topology.function(id).driver.as_deref() == Some("vmd");
        if bus.is_some() || makes_domain {
            self.descend_directory(path);
        } else if top {
            self.virtual_below(path);
        }
    }

    fn descend_directory(&mut self, path: &str) {
        let mut names = self.names(path).unwrap_or_default();
        names.sort_unstable();
        let mut below: Vec<(FunctionId, String)> = Vec::new();
        for name in &names {
            let here = format!("{path}/{name}");
            if PciAddress::from_sysfs_name(name).is_some() {
                below.extend(self.chain(&here).map(|id| (id, here)));
            } else if is_host_bridge_name(name) {
                self.bridge_chain(&here);
                self.descend_directory(&here);
            }
        }
        below.sort_unstable();
        for (id, path) in below {
            self.descend(id, &path, false);
        }
    }

    /// Reads the virtual functions of a function that is looked at by itself, so that its siblings are not listed.
    fn virtual_below(&mut self, path: &str) {
        let Some((directory, _)) = path.rsplit_once('/') else { return };
        for name in self.names(path).unwrap_or_default() {
            if name.starts_with("virtfn") {
                if let Ok(Some(address)) = self.sysfs.link_name(&format!("{path}/{name}")) {
                    self.chain(&format!("{directory}/{address}"));
                }
            }
        }
    }

    fn names(&mut self, path: &str) -> Option<Vec<String>> {
        self.sysfs.names(path).unwrap_or_else(|error| {
            let text = format!("{}: {}", self.sysfs.display(path), crate::error::plain(&error));
            self.failure.get_or_insert_with(|| Error::io(self.sysfs.display(path), &error));
            self.note(text);
            None
        })
    }

    /// Finds out which `virtfnN` each virtual function is; the number is what its place is named by.
    fn tie_virtual(&mut self) {
        let mut physical: Vec<FunctionId> =
            self.topology.functions.iter().filter_map(|f| f.virtual_of.map(|of| of.physical)).collect();
        physical.sort_unstable();
        physical.dedup();
        for id in physical {
            let path = self.topology.path(id);
            for name in self.names(&path).unwrap_or_default() {
                let Some(index) = name.strip_prefix("virtfn").and_then(|n| n.parse().ok()) else { continue };
                let target = self.sysfs.link_name(&format!("{path}/{name}")).ok().flatten();
                let address = target.as_deref().and_then(PciAddress::from_sysfs_name);
                let Some(function) = address.and_then(|address| self.topology.find(address)) else { continue };
                // Both links must agree, as the kernel's do.
                if self.topology.function(function).virtual_of.is_some_and(|of| of.physical == id) {
                    self.topology.set_virtual(function, VirtualOf { physical: id, index: Some(index) });
                }
            }
        }
    }

    /// Reads which bridge leads to which bus, for the whole machine; finds root buses that are empty, too.
    fn all_buses(&mut self) {
        for name in self.names(BUSES).unwrap_or_default() {
            let Ok(bus) = name.parse::<BusNumber>() else { continue };
            let Ok(Some(path)) = locate_bus(self.sysfs, bus) else { continue };
            match path.rsplit('/').next().and_then(PciAddress::from_sysfs_name) {
                Some(address) => {
                    if let Some(id) = self.topology.find(address) {
                        let known = self.topology.function(id).secondary;
                        self.topology.set_secondary(id, Some(known.map_or(bus, |known| known.min(bus))));
                    }
                }
                None if path.rsplit('/').next().is_some_and(is_host_bridge_name) => {
                    self.bridge_chain(&path);
                }
                None => {}
            }
        }
    }
=======
/// The bus that the bridge, or host bridge, of this directory leads to; none if it is no bridge, or has gone.
///
/// # Errors
/// The directory cannot be read.
pub fn bus_below(sysfs: &Sysfs, path: &str) -> Result<Option<BusNumber>> {
    let directory = format!("{path}/pci_bus");
    let names = sysfs.names(&directory).map_err(|e| Error::io(sysfs.display(&directory), &e))?;
    // A PF's VFs may have a bus of their own below the same bridge, always with a higher number.
    Ok(names.iter().flatten().filter_map(|name| name.parse().ok()).min())
>>>>>>> bba95ae (Read only what is asked for, from directories opened once)
}
