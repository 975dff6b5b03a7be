//! Reading a topology from sysfs, with files that cannot block and as few of them as will do.
//!
//! What a command costs follows from what it asks for here: the whole machine, or some functions with all below them,
//! which costs the same on a machine of any size. How a directory is read is [`loader`](crate::topology::reader)'s business.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};
use crate::topology::parallel::read_all;
use crate::topology::paths::{DEVICES, real_path};
use crate::topology::reader::Loader;

impl Topology {
    /// Reads every function of the machine.
    ///
    /// # Errors
    /// There is no PCI in this /sys. What is odd about a single function becomes a note.
    pub fn load_all(sysfs: &Sysfs, fields: Fields) -> Result<Self> {
        let trouble = |e: &std::io::Error| Error::io(sysfs.display(DEVICES), e);
        let devices = sysfs.top().open(DEVICES).map_err(|e| trouble(&e))?.ok_or_else(|| no_pci(sysfs))?;
        let mut loader = read_all(sysfs, fields, &devices).map_err(|e| trouble(&e))?;
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
    pub fn load_around(sysfs: &Sysfs, targets: &[PciAddress], fields: Fields) -> Result<Self> {
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
    pub(crate) fn load_only(sysfs: &Sysfs, targets: &[PciAddress], fields: Fields) -> Result<Self> {
        let mut loader = Loader::new(sysfs, fields);
        for path in paths(sysfs, targets)? {
            loader.single(&path);
        }
        Ok(loader.finish())
    }

    /// The bridge, or host bridge, of this directory and its ancestors by their names alone.
    pub(crate) fn of_path(sysfs: &Sysfs, path: &str) -> Self {
        let mut loader = Loader::new(sysfs, Fields::default());
        loader.chain(path);
        loader.finish()
    }

    /// Reads everything below the bridge, or host bridge, of this directory.
    ///
    /// # Errors
    /// As [`load_around`](Self::load_around).
    pub(crate) fn load_below(sysfs: &Sysfs, path: &str) -> Result<Self> {
        Self::load_below_with(sysfs, path, Fields::ALL)
    }

    /// [`load_below`](Self::load_below), reading only what is asked for.
    ///
    /// # Errors
    /// As [`load_around`](Self::load_around).
    pub(crate) fn load_below_with(sysfs: &Sysfs, path: &str, fields: Fields) -> Result<Self> {
        let mut loader = Loader::new(sysfs, fields);
        loader.below(path);
        loader.finish_strict()
    }

    /// Reads the ids of functions that were read without them; as with [`IdsOf::Devices`], a PF's VFs share theirs.
    pub(crate) fn load_ids(&mut self, sysfs: &Sysfs, functions: &[FunctionId]) {
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
