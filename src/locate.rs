//! Which bus a rescan must scan: the smallest one that can bring a device back.

use crate::address::{BusNumber, PciAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::RescanTarget;
use crate::resolve::Named;
use crate::selector::is_host_bridge_name;
use crate::sysfs::Sysfs;
use crate::topology::{FunctionId, HostBridgeId, Parent, Topology, locate_bus};

/// Offset of the subordinate bus number in a bridge's configuration space (PCI-to-PCI Bridge Architecture 3.2.5).
const SUBORDINATE: usize = 0x1a;

/// The bus to scan for what a selector named.
///
/// A bridge means what is below it; an endpoint the bus it sits on; an address that is gone the bus that holds its
/// number, else that of the bridge whose range holds it.
///
/// # Errors
/// Nothing on this machine leads there.
pub fn bus_for(sysfs: &Sysfs, named: &Named) -> Result<Vec<RescanTarget>> {
    match named {
        Named::Functions(addresses) => addresses.iter().map(|address| bus_of_function(sysfs, *address)).collect(),
        Named::HostBridge(path) => Ok(vec![target(sysfs, path, "it is the bus of that host bridge".to_owned())?]),
        Named::Absent(address) => Ok(vec![bus_of_absent(sysfs, *address)?]),
    }
}

fn bus_of_function(sysfs: &Sysfs, address: PciAddress) -> Result<RescanTarget> {
    let topology = Topology::load_around(sysfs, &[address])?;
    let Some(id) = topology.find(address) else { return bus_of_absent(sysfs, address) };
    if topology.function(id).secondary.is_some() {
        return target(sysfs, &topology.path(id), format!("{address} is the bridge that leads to it"));
    }
    let path = match topology.function(id).parent {
        Parent::Function(above) => topology.path(above),
        Parent::HostBridge(above) => topology.host_bridge(above).path().to_owned(),
    };
    target(sysfs, &path, format!("{address} sits on it"))
}

/// The bus that a function sits on, whatever the function leads to; it will be empty once these functions are gone.
///
/// # Errors
/// The function is not there.
pub fn bus_under(sysfs: &Sysfs, address: PciAddress, gone: &[PciAddress]) -> Result<RescanTarget> {
    let topology = Topology::load_only(sysfs, &[address])?;
    let id = topology.find(address).ok_or_else(|| {
        let message = format!("{address}: went away while it was looked at; try again");
        Error::new(ErrorKind::NoSuchDevice, message).about(address)
    })?;
    let path = match topology.function(id).parent {
        Parent::Function(above) => topology.path(above),
        Parent::HostBridge(above) => topology.host_bridge(above).path().to_owned(),
    };
    let neighbours = Topology::load_bridge(sysfs, &path)?;
    let stays = |id: &FunctionId| !gone.contains(&neighbours.function(*id).address);
    let empty = !bridge_at(&neighbours, &path).is_some_and(|bridge| bridge.children(&neighbours).iter().any(stays));
    Ok(RescanTarget { empty, ..target(sysfs, &path, format!("{address} sits on it"))? })
}

fn bus_of_absent(sysfs: &Sysfs, address: PciAddress) -> Result<RescanTarget> {
    let bus = address.bus_number();
    if let Some(path) = locate_bus(sysfs, bus)? {
        return target(sysfs, &path, format!("{address} is not there, and its bus is"));
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
    lower.sort_unstable_by(|a, b| b.cmp(a));
    for candidate in lower {
        let Some(path) = locate_bus(sysfs, candidate)? else { continue };
        if holds(sysfs, &path, bus.bus) {
            return target(
                sysfs,
                &path,
                format!("{address} is not there, nor bus {bus}; the range of this bus holds it"),
            );
        }
    }
    let message = format!(
        "{address}: nothing on this machine leads to bus {bus}; pcictl tree shows what there is, pcictl rescan --all scans everything"
    );
    Err(Error::new(ErrorKind::NoSuchDevice, message).about(address))
}

/// Whether the bus numbers below a bridge reach this far. Host bridges do not tell, so they are taken at their word.
fn holds(sysfs: &Sysfs, path: &str, bus: u8) -> bool {
    if path.rsplit('/').next().is_none_or(is_host_bridge_name) {
        return true;
    }
    let config = sysfs.read_bytes(&format!("{path}/config"), 64).ok().flatten().unwrap_or_default();
    config.get(SUBORDINATE).is_some_and(|last| *last != 0xff && *last >= bus)
}

fn target(sysfs: &Sysfs, path: &str, why: String) -> Result<RescanTarget> {
    let gone = || {
        Error::new(
            ErrorKind::NoSuchDevice,
            format!("{}: went away while it was looked at; try again", sysfs.display(path)),
        )
    };
    let buses =
        sysfs.names(&format!("{path}/pci_bus")).map_err(|e| Error::io(sysfs.display(path), &e))?.unwrap_or_default();
    let bus: BusNumber = buses.iter().filter_map(|name| name.parse().ok()).min().ok_or_else(gone)?;
    let topology = Topology::load_bridge(sysfs, path)?;
    let (place, below) = match bridge_at(&topology, path).ok_or_else(gone)? {
        Bridge::Function(id) => (topology.place(id), topology.below(id)),
        Bridge::Host(id) => (topology.host_bridge_place(id), topology.on_root_bus(id)),
    };
    Ok(RescanTarget { bus: Some(bus), bridge: path.to_owned(), place, empty: below.is_empty(), why })
}

/// What leads to a bus.
enum Bridge {
    Function(FunctionId),
    Host(HostBridgeId),
}

impl Bridge {
    fn children(&self, topology: &Topology) -> Vec<FunctionId> {
        match self {
            Self::Function(id) => topology.below(*id),
            Self::Host(id) => topology.on_root_bus(*id),
        }
    }
}

fn bridge_at(topology: &Topology, path: &str) -> Option<Bridge> {
    let name = path.rsplit('/').next()?;
    match PciAddress::from_sysfs_name(name) {
        Some(address) => topology.find(address).map(Bridge::Function),
        None => topology.find_host_bridge(name).map(Bridge::Host),
    }
}

/// The first bridge on the way down to a bus that does not answer: its configuration space reads all ones.
///
/// Scanning below it would find nothing where devices are, and could deal out bus numbers that are in use.
///
/// # Errors
/// A configuration space cannot be read.
pub fn dead_bridge(sysfs: &Sysfs, target: &RescanTarget) -> Result<Option<PciAddress>> {
    let mut path = String::new();
    for step in target.bridge.split('/') {
        path = if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
        let Some(address) = PciAddress::from_sysfs_name(step) else { continue };
        let file = format!("{path}/config");
        let config = sysfs.read_bytes(&file, 4).map_err(|e| Error::io(sysfs.display(&file), &e))?;
        if config.is_some_and(|bytes| bytes.len() == 4 && bytes.iter().all(|byte| *byte == 0xff)) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}
