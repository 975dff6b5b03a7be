//! Reading a whole machine: where it has hundreds of functions in parts, each by a thread, which are put together
//! afterwards.

use std::io;

use crate::host::processors::at_once;
use crate::host::sysfs::{Dir, Sysfs};
use crate::pci::address::PciAddress;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Parent, Topology, VirtualOf};
use crate::topology::paths::real_path;
use crate::topology::reader::Loader;

/// Reads every function; `devices` is the directory of their links.
pub(crate) fn read_all<'a>(sysfs: &'a Sysfs, fields: Fields, devices: &Dir) -> io::Result<Loader<'a>> {
    let mut loader = Loader::new(sysfs, fields);
    let addresses = loader.addresses(devices)?;
    loader.reserve(addresses.len());
    let mut others = slices(&addresses).into_iter();
    let own = others.next().unwrap_or_default();
    let load = |part: &[PciAddress]| {
        let mut loader = Loader::new(sysfs, fields);
        loader.reserve(part.len());
        loader.read_slice(devices, part);
        loader
    };
    std::thread::scope(|scope| {
        let start = |part| (part, std::thread::Builder::new().spawn_scoped(scope, move || load(part)));
        let started: Vec<_> = others.map(start).collect();
        loader.read_slice(devices, own);
        for (part, thread) in started {
            // Where no thread could be had, this one does the work.
            let loaded = thread.map_or_else(|_| Ok(load(part)), |thread| thread.join());
            loader.merge(loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    Ok(loader)
}

/// So many functions are worth a thread; starting one takes as long as reading ten.
const WORTH_A_THREAD: usize = 256;

/// More threads than this only fight over the kernel's locks.
const MOST_THREADS: usize = 4;

/// Parts to be read at the same time. None begins in the middle of a bus, so that what belongs together is mostly read
/// together.
fn slices(addresses: &[PciAddress]) -> Vec<&[PciAddress]> {
    let threads = at_once((addresses.len() / WORTH_A_THREAD).min(MOST_THREADS));
    let (mut rest, mut slices) = (addresses, Vec::new());
    for left in (2..=threads).rev() {
        let middle = rest.len() / left;
        let bus = rest.get(middle).map(|address| address.bus_number());
        let on_it = rest[middle..].iter().take_while(|address| Some(address.bus_number()) == bus).count();
        let (part, remaining) = rest.split_at(middle + on_it);
        slices.push(part);
        rest = remaining;
    }
    slices.push(rest);
    slices
}

/// From so many functions in one directory on, listing it costs less than following a link for each.
const WORTH_LISTING: usize = 8;

/// Functions that follow one another and hang below the same directory.
#[derive(Default)]
pub(crate) struct SiblingGroup {
    pub(crate) parent: String,
    pub(crate) dir: Option<Dir>,
    /// What is in the directory, sorted, if it was listed.
    members: Vec<PciAddress>,
    pub(crate) addresses: Vec<PciAddress>,
}

impl SiblingGroup {
    /// Begins with the first of `coming`; where many follow on the same bus, most will be in the same directory.
    fn begin(loader: &mut Loader, parent: &str, coming: &[PciAddress]) -> Self {
        let mut run = Self { parent: parent.to_owned(), ..Self::default() };
        let is_on_bus = |address: &PciAddress| address.bus_number() == coming[0].bus_number();
        if coming.get(WORTH_LISTING).is_some_and(is_on_bus) {
            run.dir = loader.open(parent);
            run.members = run.dir.as_ref().and_then(|dir| loader.directories(dir).ok()).unwrap_or_default();
        }
        run
    }
}

impl Loader<'_> {
    /// Reads these functions, which are some of all the machine's, sorted.
    fn read_slice(&mut self, devices: &Dir, addresses: &[PciAddress]) {
        let mut run = SiblingGroup::default();
        for (index, &address) in addresses.iter().enumerate() {
            if run.members.binary_search(&address).is_ok() {
                run.addresses.push(address);
                continue;
            }
            match real_path(self.sysfs, devices, address) {
                Ok(Some(path)) => {
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    if parent != run.parent {
                        self.siblings(&run.parent, run.dir.as_ref(), &run.addresses);
                        run = SiblingGroup::begin(self, parent, &addresses[index..]);
                    }
                    run.addresses.push(address);
                }
                Ok(None) => {}
                Err(error) => self.note(format!("{error}; left out")),
            }
        }
        self.siblings(&run.parent, run.dir.as_ref(), &run.addresses);
    }

    /// Adds what another one has read of the same machine. Both may know a function that one has only come by.
    fn merge(&mut self, other: Self) {
        let Self { topology: theirs, is_read, .. } = other;
        for (index, function) in theirs.functions.iter().enumerate() {
            let id = self.import(&theirs, FunctionId(index as u32));
            if !is_read[index] || std::mem::replace(&mut self.is_read[id.0 as usize], true) {
                continue;
            }
            let virtual_of =
                function.virtual_of.map(|of| VirtualOf { physical: self.import(&theirs, of.physical), ..of });
            let own = &mut self.topology.functions[id.0 as usize];
            (own.ids, own.secondary) = (function.ids, function.secondary);
            own.driver.clone_from(&function.driver);
            if let Some(of) = virtual_of {
                self.topology.set_virtual(id, of);
            }
        }
        self.topology.notes.extend(theirs.notes);
    }

    /// The function that is the same as one in another topology, made if need be, with all above it.
    fn import(&mut self, theirs: &Topology, id: FunctionId) -> FunctionId {
        let function = theirs.function(id);
        if let Some(id) = self.topology.find(function.address) {
            return id;
        }
        let parent = match function.parent {
            Parent::Function(above) => Parent::Function(self.import(theirs, above)),
            Parent::HostBridge(bridge) => {
                let bridge = theirs.host_bridge(bridge);
                let above = bridge.above.map(|above| self.import(theirs, above));
                Parent::HostBridge(self.host_bridge(&bridge.name, &bridge.path, above))
            }
        };
        self.function(parent, function.address)
    }
}
