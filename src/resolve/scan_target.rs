//! Which bus a rescan must scan: the smallest one that can bring a device back. `rescan`, `lock` and `show` all ask here, so
//! that whoever scans by hand under `pcictl lock` holds what the scan needs.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::{Sysfs, last_step};
use crate::order;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::pci::selector::is_host_bridge_name;
use crate::resolve::functions::Resolved;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Parent, Topology};
use crate::topology::paths::{bus_below, locate_bus, on_bus};
use crate::topology::slots::Slot;

/// A bus to be scanned, as the choice fell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanTarget {
    /// The bus; `None` for every bus.
    pub bus: Option<BusNumber>,
    /// The directory of the bridge that leads to it, below `sys`; empty for all buses.
    pub bridge: String,
    /// The node of that bridge.
    pub place: Place,
    /// Whether nothing sits on the bus now. The kernel then resizes the bridge and may release windows of the bus above.
    pub empty: bool,
    /// Why this bus, in a few words for people.
    pub why: String,
}

impl ScanTarget {
    /// Everything: the file that no removal drains.
    pub fn all() -> Self {
        Self {
            bus: None,
            bridge: String::new(),
            place: Place::root(),
            empty: false,
            why: "everything was asked for".to_owned(),
        }
    }

    pub(crate) fn is_root_bus(&self) -> bool {
        self.bridge.rsplit('/').next().is_none_or(crate::pci::selector::is_host_bridge_name)
    }
}

/// Offset of the subordinate bus number in a bridge's configuration space (PCI-to-PCI Bridge Architecture 3.2.5).
const SUBORDINATE: usize = 0x1a;

/// Where a device was when it was last seen, as the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastSeen {
    /// Where it answered, and where its virtual functions did.
    pub(crate) addresses: Vec<PciAddress>,
    /// The node.
    pub(crate) place: Place,
    /// The slot that it sat in.
    pub(crate) slot: Option<String>,
}

/// The buses to scan for what a selector named.
///
/// A bridge means what is below it; an endpoint the bus it sits on; an address that is gone the place where the ledger last
/// saw it, else the bus that has its number, else that of the bridge whose range holds it.
///
/// # Errors
/// Nothing on this machine leads there, or the ledger knows several devices of that address.
pub(crate) fn scan_targets(sysfs: &Sysfs, named: &Resolved, known: &[LastSeen]) -> Result<Vec<ScanTarget>> {
    match named {
        Resolved::Functions(addresses) => {
            addresses.iter().map(|address| target_for_function(sysfs, *address, known)).collect()
        }
        Resolved::HostBridge(path) => Ok(vec![target(sysfs, path, "it is the bus of that host bridge".to_owned())?]),
        Resolved::Absent(address) => Ok(vec![target_for_absent(sysfs, *address, known)?]),
    }
}

/// The buses to scan for what was or is in a slot, whether something sits in it or not.
///
/// # Errors
/// No slot has that name, and the ledger knows none, or nothing on this machine leads there.
pub(crate) fn scan_targets_for_slot(sysfs: &Sysfs, slot: &str, known: &[LastSeen]) -> Result<Vec<ScanTarget>> {
    if let Some(target) = target_for_slot(sysfs, slot)? {
        return Ok(vec![target]);
    }
    let was_in_it: Vec<&LastSeen> = known.iter().filter(|seen| seen.slot.as_deref() == Some(slot)).collect();
    if was_in_it.is_empty() {
        let message = format!("slot {slot}: no slot has that name now, and the ledger knows none");
        let error = Error::new(ErrorKind::NoSuchDevice, message).hint("pcictl slot list shows what there is");
        return Err(error.fact("slot", slot));
    }
    was_in_it
        .iter()
        .filter_map(|seen| Some((seen.addresses.first()?, seen)))
        .map(|(address, seen)| target_for_place(sysfs, *address, &seen.place))
        .collect()
}

fn target_for_function(sysfs: &Sysfs, address: PciAddress, known: &[LastSeen]) -> Result<ScanTarget> {
    let topology = Topology::load_only(sysfs, &[address], Fields::default())?;
    let Some(id) = topology.find(address) else { return target_for_absent(sysfs, address, known) };
    let (path, _, why) = bus_of_present(sysfs, &topology, id)?;
    target(sysfs, &path, why)
}

/// The bus to scan for a function that is there: the directory of the bridge that leads to it, the bus, and why that one.
///
/// # Errors
/// sysfs cannot be read.
pub(crate) fn bus_of_present(
    sysfs: &Sysfs,
    topology: &Topology,
    id: FunctionId,
) -> Result<(String, Option<BusNumber>, String)> {
    let address = topology.function(id).address;
    let own = topology.path(id);
    if let Some(bus) = bus_below(sysfs, &own)? {
        return Ok((own, Some(bus), format!("{address} is the bridge that leads to it")));
    }
    let path = match topology.function(id).parent {
        Parent::Function(above) => topology.path(above),
        Parent::HostBridge(above) => topology.host_bridge(above).path().to_owned(),
    };
    let bus = bus_below(sysfs, &path)?;
    Ok((path, bus, format!("{address} sits on it")))
}

/// The bus that a function sits on, whatever the function leads to; it will be empty once these functions are gone.
///
/// # Errors
/// The function is not there.
pub(crate) fn containing_bus(sysfs: &Sysfs, address: PciAddress, gone: &[PciAddress]) -> Result<ScanTarget> {
    let topology = Topology::load_only(sysfs, &[address], Fields::default())?;
    let id = topology.find(address).ok_or_else(|| {
        let message = format!("{address}: disappeared while being read");
        Error::new(ErrorKind::NoSuchDevice, message).about(address).hint("try again")
    })?;
    let path = match topology.function(id).parent {
        Parent::Function(above) => topology.path(above),
        Parent::HostBridge(above) => topology.host_bridge(above).path().to_owned(),
    };
    let empty = on_bus(sysfs, &path)?.iter().flatten().all(|address| gone.contains(address));
    Ok(ScanTarget { empty, ..target(sysfs, &path, format!("{address} sits on it"))? })
}

/// The bus one step further up; `None` for a root bus.
///
/// # Errors
/// The bridge went away.
pub(crate) fn parent_bus(sysfs: &Sysfs, below: &ScanTarget) -> Result<Option<ScanTarget>> {
    let Some((path, name)) = below.bridge.rsplit_once('/') else { return Ok(None) };
    if is_host_bridge_name(name) {
        return Ok(None);
    }
    target(sysfs, path, format!("{name} sits on it")).map(Some)
}

/// The bus that a place is on; if what leads to it is gone as well, the bus below the nearest that is still there.
///
/// # Errors
/// Not even the host bridge is there.
fn target_for_place(sysfs: &Sysfs, address: PciAddress, place: &Place) -> Result<ScanTarget> {
    let wanted = place.parent().unwrap_or_else(Place::root);
    let Some((path, reached)) = nearest_surviving(sysfs, &wanted) else {
        let message = format!("{address}: was at {place}, and that host bridge is gone");
        return Err(Error::new(ErrorKind::NoSuchDevice, message).hint(SCAN_ALL).about(address));
    };
    let why = if reached == wanted {
        format!("{address} was at {place}, says the ledger")
    } else {
        format!("{address} was at {place}, says the ledger, and {reached} is the nearest to it that is still there")
    };
    target(sysfs, &path, why)
}

/// The directory of the bridge at a place, or of the nearest above it that leads to a bus, and which place that is.
fn nearest_surviving(sysfs: &Sysfs, wanted: &Place) -> Option<(String, Place)> {
    let mut steps = wanted.chain().split('/');
    let host = steps.next()?;
    let bus: BusNumber = host.strip_prefix("pci")?.parse().ok()?;
    let path = locate_bus(sysfs, bus).ok()?.filter(|path| path.rsplit('/').next() == Some(host))?;
    let mut best = (path.clone(), Place::from_chain(host)?);
    let (mut path, mut chain) = (path, host.to_owned());
    for step in steps {
        let Some(name) = name_of_step(sysfs, &path, step) else { break };
        (path, chain) = (format!("{path}/{name}"), format!("{chain}/{step}"));
        if sysfs.exists(&format!("{path}/pci_bus")) {
            best = (path.clone(), Place::from_chain(&chain)?);
        }
    }
    Some(best)
}

/// The directory entry that a step of a place stands for: a function that is not virtual, or a host bridge.
fn name_of_step(sysfs: &Sysfs, path: &str, step: &str) -> Option<String> {
    let fits = |name: &String| {
        name == step
            || PciAddress::from_sysfs_name(name).is_some_and(|address| {
                format!("{:02x}.{:x}", address.device, address.function) == step
                    && !sysfs.exists(&format!("{path}/{name}/physfn"))
            })
    };
    sysfs.names(path).ok().flatten()?.into_iter().find(fits)
}

/// The bus that a slot is on, occupied or not; `None` where no slot has that name now.
///
/// # Errors
/// The slot's bus is not there.
fn target_for_slot(sysfs: &Sysfs, name: &str) -> Result<Option<ScanTarget>> {
    let Some(slot) = Slot::read(sysfs, name)? else { return Ok(None) };
    let path = slot.bridge(sysfs)?.ok_or_else(|| {
        let place = slot.address.map_or_else(String::new, |address| format!(" ({address})"));
        let message = format!("slot {name}: its bus{place} is absent");
        Error::new(ErrorKind::NoSuchDevice, message).hint("rescan the bridge above it")
    })?;
    target(sysfs, &path, format!("slot {name} is on it")).map(Some)
}

/// What is left when no bus can be told.
const SCAN_ALL: &str = "pcictl rescan --all scans every bus; pcictl tree shows what there is";

fn target_for_absent(sysfs: &Sysfs, address: PciAddress, known: &[LastSeen]) -> Result<ScanTarget> {
    let was_there: Vec<&LastSeen> = known.iter().filter(|seen| seen.addresses.contains(&address)).collect();
    match was_there[..] {
        [] => target_by_number(sysfs, address),
        [seen] => target_for_place(sysfs, address, &seen.place),
        _ => {
            let places: Vec<String> = was_there.iter().map(|seen| seen.place.to_string()).collect();
            let message = format!(
                "{address}: the ledger knows {} devices that answered there, at {}",
                places.len(),
                places.join(" and ")
            );
            let error = Error::new(ErrorKind::Ambiguous, message).hint("name the bridge that you mean");
            Err(error.about(address).fact("places", places))
        }
    }
}

fn target_by_number(sysfs: &Sysfs, address: PciAddress) -> Result<ScanTarget> {
    let bus = address.bus_number();
    let unknown = format!("{address} is not there, and the ledger does not know it");
    if let Some(path) = locate_bus(sysfs, bus)? {
        return target(sysfs, &path, format!("{unknown}; this is its bus"));
    }
    let mut lower: Vec<BusNumber> = sysfs
        .names("class/pci_bus")
        .map_err(|e| Error::io(sysfs.display("class/pci_bus"), &e))?
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.parse::<BusNumber>().ok())
        .filter(|other| other.domain == bus.domain && other.bus < bus.bus)
        .collect();
    // The deepest bridge whose range holds the number is the one with the highest secondary bus below it.
    order::sort_by(&mut lower, |a, b| b.cmp(a));
    for candidate in lower {
        let Some(path) = locate_bus(sysfs, candidate)? else { continue };
        if range_covers(sysfs, &path, bus.bus) {
            return target(sysfs, &path, format!("{unknown}, nor is bus {bus} there; the range of this bus holds it"));
        }
    }
    let message = format!("{address}: no such device; the ledger does not know it, and nothing leads to bus {bus}");
    Err(Error::new(ErrorKind::NoSuchDevice, message).hint(SCAN_ALL).about(address))
}

/// Whether the bus numbers below a bridge reach this far. Host bridges do not tell, so they are not taken to.
fn range_covers(sysfs: &Sysfs, path: &str, bus: u8) -> bool {
    if path.rsplit('/').next().is_none_or(is_host_bridge_name) {
        return false;
    }
    let config = sysfs.read_bytes(&format!("{path}/config"), 64).ok().flatten().unwrap_or_default();
    // Of a bridge that does not answer every byte is ones, and no vendor has that number.
    !config.starts_with(&[0xff, 0xff]) && config.get(SUBORDINATE).is_some_and(|last| *last >= bus)
}

/// The bus that the bridge, or host bridge, of this directory leads to.
///
/// # Errors
/// It went away.
pub(crate) fn target(sysfs: &Sysfs, path: &str, why: String) -> Result<ScanTarget> {
    let gone = || {
        Error::new(ErrorKind::NoSuchDevice, format!("{}: disappeared while being read", sysfs.display(path)))
            .hint("try again")
    };
    let bus = bus_below(sysfs, path)?.ok_or_else(gone)?;
    let empty = on_bus(sysfs, path)?.ok_or_else(gone)?.is_empty();
    let place = place_of(&Topology::of_path(sysfs, path), last_step(path)).ok_or_else(gone)?;
    Ok(ScanTarget { bus: Some(bus), bridge: path.to_owned(), place, empty, why })
}

/// The place of a bridge or a host bridge.
fn place_of(topology: &Topology, name: &str) -> Option<Place> {
    match PciAddress::from_sysfs_name(name) {
        Some(address) => topology.find(address).map(|id| topology.place(id)),
        None => topology.find_host_bridge(name).map(|id| topology.host_bridge_place(id)),
    }
}
