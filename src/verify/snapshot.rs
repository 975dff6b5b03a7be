//! The scanned part of the machine at one moment.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::resolve::scan_target::ScanTarget;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::verify::capture::Observer;
use crate::verify::record::DeviceRecord;

/// Every function that the scanned buses lead to.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    topologies: Vec<Topology>,
    functions: BTreeMap<PciAddress, (usize, FunctionId)>,
    places: BTreeMap<Place, PciAddress>,
}

impl Snapshot {
    /// Reads what these targets lead to now.
    ///
    /// # Errors
    /// As for [`Topology::load_below`].
    pub(crate) fn take(sysfs: &Sysfs, targets: &[ScanTarget]) -> Result<Self> {
        Self::take_with(sysfs, targets, Fields::ALL)
    }

    /// [`take`](Self::take), reading only what is asked for.
    ///
    /// # Errors
    /// As for [`Topology::load_below`].
    pub(crate) fn take_with(sysfs: &Sysfs, targets: &[ScanTarget], fields: Fields) -> Result<Self> {
        let mut snapshot = Self::default();
        for target in targets {
            let topology = match target.bus {
                Some(_) => Topology::load_below_with(sysfs, &target.bridge, fields)?,
                None => Topology::load_all(sysfs, fields)?,
            };
            snapshot.add(topology, &target.place);
        }
        Ok(snapshot)
    }

    fn add(&mut self, topology: Topology, top: &Place) {
        let index = self.topologies.len();
        for id in topology.by_address() {
            let place = topology.place(id);
            if place.is_at_or_below(top) {
                let address = topology.function(id).address;
                self.functions.insert(address, (index, id));
                self.places.insert(place, address);
            }
        }
        self.topologies.push(topology);
    }

    /// The addresses, in order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = PciAddress> + '_ {
        self.functions.keys().copied()
    }

    /// The functions, each part with the topology that it was read with.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Topology, Vec<FunctionId>)> + '_ {
        let functions = |number: usize| {
            let here = self.functions.values().filter(move |(index, _)| *index == number);
            here.map(|(_, id)| *id).collect()
        };
        self.topologies.iter().enumerate().map(move |(number, topology)| (topology, functions(number)))
    }

    /// Whether something answers at an address.
    pub(crate) fn has(&self, address: PciAddress) -> bool {
        self.functions.contains_key(&address)
    }

    /// What answers at an address.
    pub(crate) fn find(&self, address: PciAddress) -> Option<(&Topology, FunctionId)> {
        self.functions.get(&address).map(|(index, id)| (&self.topologies[*index], *id))
    }

    /// The function at a place.
    pub(crate) fn at(&self, place: &Place) -> Option<(&Topology, FunctionId)> {
        self.find(*self.places.get(place)?)
    }

    /// What can be told of all of them without asking the hardware.
    pub(crate) fn brief(&self, observer: &Observer<'_>) -> BTreeMap<PciAddress, DeviceRecord> {
        let brief = |(index, id): &(usize, FunctionId)| observer.brief(&self.topologies[*index], *id);
        order::map(self.functions.iter().map(|(address, at)| (*address, brief(at))))
    }
}
