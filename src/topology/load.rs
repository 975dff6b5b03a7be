//! Reading a topology from sysfs, with files that cannot block and as few of them as will do.
//!
//! What a command costs follows from what it asks for here: the whole machine, or some functions with all below them,
//! which costs the same on a machine of any size. How a directory is read is [`loader`](crate::topology::reader)'s business.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::{Dir, Sysfs, follow, last_step};
use crate::pci::address::{BusNumber, PciAddress};
use crate::topology::model::{FunctionId, Ids, Topology};
use crate::topology::parallel::whole;
use crate::topology::reader::Loader;

pub(crate) const DEVICES: &str = "bus/pci/devices";

pub(crate) const BUSES: &str = "class/pci_bus";

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
}

impl Topology {
    /// Reads every function of the machine.
    ///
    /// # Errors
    /// There is no PCI in this /sys. What is odd about a single function becomes a note.
    pub fn load_all(sysfs: &Sysfs, fields: Fields) -> Result<Self> {
        let trouble = |e: &std::io::Error| Error::io(sysfs.display(DEVICES), e);
        let devices = sysfs.top().open(DEVICES).map_err(|e| trouble(&e))?.ok_or_else(|| no_pci(sysfs))?;
        let mut loader = whole(sysfs, fields, &devices).map_err(|e| trouble(&e))?;
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
        Self::load_below_with(sysfs, path, Fields::ALL)
    }

    /// [`load_below`](Self::load_below), reading only what is asked for.
    ///
    /// # Errors
    /// As [`load_around`](Self::load_around).
    pub fn load_below_with(sysfs: &Sysfs, path: &str, fields: Fields) -> Result<Self> {
        let mut loader = Loader::new(sysfs, fields);
        loader.below(path);
        loader.finish_strict()
    }

    /// Reads the ids of functions that were read without them; as with [`IdsOf::Devices`], a PF's VFs share theirs.
    pub fn load_ids(&mut self, sysfs: &Sysfs, functions: &[FunctionId]) {
        let mut shared: HashMap<FunctionId, Option<Ids>> = HashMap::new();
        for &id in functions {
            let of = self.function(id).virtual_of;
            let known = of.and_then(|of| shared.get(&of.physical).copied());
            let ids = known.unwrap_or_else(|| self.read_ids(sysfs, id));
            if let Some(of) = of {
                shared.insert(of.physical, ids);
            }
            self.functions[id.0 as usize].ids = ids;
        }
    }

    fn read_ids(&mut self, sysfs: &Sysfs, id: FunctionId) -> Option<Ids> {
        let mut loader = Loader::new(sysfs, Fields { ids: IdsOf::Everyone, ..Fields::default() });
        let ids = loader.single(&self.path(id)).and_then(|id| loader.ids_of(id));
        self.notes.append(&mut loader.finish().notes);
        ids
    }
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
    let paths = addresses.iter().map(|address| real_path(sysfs, sysfs.top(), *address));
    paths.filter_map(Result::transpose).collect()
}

/// Where a function's directory really is; `None` if the function is not there. `dir` is `sys` or the one of all links.
pub(crate) fn real_path(sysfs: &Sysfs, dir: &Dir, address: PciAddress) -> Result<Option<String>> {
    let name = address.to_string();
    let link = || format!("{DEVICES}/{name}");
    let place = |target: &str| {
        let path = follow(DEVICES, target).filter(|path| path.starts_with("devices/") && last_step(path) == name);
        path.ok_or_else(|| {
            let link = sysfs.display(&link());
            let text = format!("{address}: {link} leads to {target}, which is not its place in the device tree");
            Error::new(ErrorKind::NoSuchDevice, text).about(address)
        })
    };
    let read = if dir.path().is_empty() { dir.link(&link(), place) } else { dir.link(&name, place) };
    match read {
        Ok(path) => path.transpose(),
        Err(error) => Err(Error::io(sysfs.display(&link()), &error)),
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

/// The bus that the bridge, or host bridge, of this directory leads to; none if it is no bridge, or has gone.
///
/// # Errors
/// The directory cannot be read.
pub fn bus_below(sysfs: &Sysfs, path: &str) -> Result<Option<BusNumber>> {
    let directory = format!("{path}/pci_bus");
    let names = sysfs.names(&directory).map_err(|e| Error::io(sysfs.display(&directory), &e))?;
    // A PF's VFs may have a bus of their own below the same bridge, always with a higher number.
    Ok(names.iter().flatten().filter_map(|name| name.parse().ok()).min())
}
