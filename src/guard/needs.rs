//! What must be held for a write to a file of the table: what the commands would hold for the same write.
//!
//! Where the target is in the data (`unbind`, `bind`, `drivers_probe`), nobody knows it before it is written, so all that it
//! can be is held: what the driver has, or what has no driver. That makes others wait who would not have to.

use crate::error::{Error, Result};
use crate::guard::kinds::{Kind, MarkedFile};
use crate::host::sysfs::{Sysfs, last_step};
use crate::lock::carried::Carried;
use crate::lock::claims::{Claims, Mode};
use crate::operation::acquire::PLACES;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::Action;
use crate::plan::claims_for::{Touched, claims_for};
use crate::plan::remove::plan_removal;
use crate::resolve::scan_target::{ScanTarget, containing_bus, target};
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Parent, Topology};
use crate::topology::paths::DEVICES;
use crate::topology::slots::Slot;

/// On a machine with more functions than this nobody looks which of them have no driver: all are held.
const FEW: usize = 512;

/// What a write needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// What must be held.
    pub(crate) claims: Claims,
    /// The node that the file lies at; none if the target is in the data.
    pub(crate) node: Option<Place>,
    /// Drivers are stopped and virtual functions taken away before: a physical function that is removed with its virtual ones
    /// on hangs some kernels, and leaves them behind on all others.
    pub(crate) stops: bool,
}

impl Needs {
    fn of(touched: &[Touched], node: Option<Place>) -> Self {
        Self { claims: claims_for(touched), node, stops: false }
    }

    /// Everything: for what cannot be told.
    pub(crate) fn everything() -> Self {
        Self::of(&[Touched::Everything], Some(Place::root()))
    }

    /// Whether somebody who carries these locks may go on: nobody can remove what the file lies at, or above it. What else the
    /// write touches is what he locked, as he thinks it right.
    pub(crate) fn are_met_by(&self, carried: &[Carried]) -> bool {
        match &self.node {
            Some(node) => covers(carried, node),
            None => carried.iter().any(|(_, mode)| *mode == Mode::Exclusive),
        }
    }

    /// Whether somebody who carries these locks would wait for himself.
    pub(crate) fn conflict_with(&self, carried: &[Carried]) -> bool {
        let meets = |(place, mode): &Carried| {
            let same = self.claims.in_order().iter().find(|claim| claim.place == *place);
            same.is_some_and(|claim| (claim.mode, *mode) != (Mode::Shared, Mode::Shared))
        };
        carried.iter().any(meets)
    }

    /// Whether two of them cannot be held by two at a time.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        let meet = |one: &Place, other: &Place| one.is_at_or_below(other) || other.is_at_or_below(one);
        self.claims.tops().iter().any(|one| other.claims.tops().iter().any(|other| meet(one, other)))
    }
}

/// Whether one of these locks covers a node.
fn covers(carried: &[Carried], node: &Place) -> bool {
    carried.iter().any(|(place, mode)| *mode == Mode::Exclusive && node.is_at_or_below(place))
}

/// The node that a file lies at, if the names of the directories above it tell: not for virtual functions, and what is in
/// no directory of the device tree.
pub(crate) fn node_by_name(sysfs: &Sysfs, file: &MarkedFile) -> Option<Place> {
    let directory = file.directory();
    let directory = directory.rsplit_once("/pci_bus/").map_or(directory, |(bridge, _)| bridge);
    if !directory.starts_with("devices/") || sysfs.exists(&format!("{directory}/physfn")) {
        return None;
    }
    let topology = Topology::of_path(sysfs, directory);
    match PciAddress::from_sysfs_name(last_step(directory)) {
        Some(address) => topology.find(address).map(|id| topology.place(id)),
        None => topology.find_host_bridge(last_step(directory)).map(|id| topology.host_bridge_place(id)),
    }
}

/// What a write to this file needs; none if what it is about is gone. If drivers are to be stopped before a removal
/// (`stop_first`), it needs what that takes, too.
///
/// # Errors
/// The device tree cannot be read.
pub(crate) fn needs_of(sysfs: &Sysfs, file: &MarkedFile, stop_first: bool) -> Result<Option<Needs>> {
    match file.kind {
        Kind::RescanAll => Ok(Some(Needs::everything())),
        Kind::RescanBus => of_bus(sysfs, file).map(Some),
        Kind::SlotPower => of_slot(sysfs, file),
        Kind::Unbind => of_bound(sysfs, file.directory()).map(Some),
        Kind::Bind | Kind::Probe => of_unbound(sysfs).map(Some),
        Kind::Remove => file.address().map_or(Ok(None), |address| of_removal(sysfs, address, stop_first)),
        _ => file.address().map_or(Ok(None), |address| of_function(sysfs, file, address)),
    }
}

fn of_function(sysfs: &Sysfs, file: &MarkedFile, address: PciAddress) -> Result<Option<Needs>> {
    let topology = match file.kind {
        // Where the VFs are counts, too.
        Kind::SetVfs => Topology::load_around(sysfs, &[address], PLACES)?,
        _ => Topology::load_only(sysfs, &[address], PLACES)?,
    };
    let Some(id) = topology.find(address) else { return Ok(None) };
    let touched = match file.kind {
        Kind::Rescan => Some(Touched::by_scan(&containing_bus(sysfs, address, &[])?)),
        Kind::SetVfs => Some(Touched::by_any_change(sysfs, &topology, id)),
        // Windows of all bridges above may be dealt out anew (pci_reassign_bridge_resources in drivers/pci/setup-bus.c).
        Kind::Resize => Some(Touched::AllBelow(host_bridge_above(&topology, id))),
        kind => action(kind, address).and_then(|action| Touched::by_action(&topology, &action)),
    };
    Ok(touched.map(|touched| Needs::of(&[touched], Some(topology.place(id)))))
}

/// A removal, by itself or as the command makes it.
fn of_removal(sysfs: &Sysfs, address: PciAddress, stop_first: bool) -> Result<Option<Needs>> {
    let topology = Topology::load_around(sysfs, &[address], if stop_first { Fields::PLAN } else { PLACES })?;
    let Some(id) = topology.find(address) else { return Ok(None) };
    let has_vfs = || topology.subtree(id).into_iter().any(|id| !topology.virtual_functions(id).is_empty());
    let own = || Touched::by_action(&topology, &Action::Remove { address });
    if !stop_first {
        return if has_vfs() {
            of_removal(sysfs, address, true)
        } else {
            Ok(own().map(|touched| Needs::of(&[touched], Some(topology.place(id)))))
        };
    }
    let claims = match plan_removal(&topology, &[id]) {
        Ok(removal) => removal.claims().clone(),
        // Why it cannot be planned is told when it is tried.
        Err(_) => claims_for(&own()),
    };
    Ok(Some(Needs { claims, node: Some(topology.place(id)), stops: true }))
}

/// The step of a plan that makes the same write.
fn action(kind: Kind, address: PciAddress) -> Option<Action> {
    match kind {
        // Which method it will be is told by a file that is one of the table, and that the guard cannot read without having to
        // let itself. So it counts as the one that hits most.
        Kind::Reset => Some(Action::Reset { address, hits_bus: true }),
        Kind::ResetBelow => Some(Action::ResetBelow { address }),
        Kind::Override => Some(Action::overriding(address, String::new())),
        Kind::ResetMethod => {
            let file = "reset_method".to_owned();
            Some(Action::Set { address, file, value: String::new(), was: String::new() })
        }
        _ => None,
    }
}

fn host_bridge_above(topology: &Topology, id: FunctionId) -> Place {
    match topology.function(id).parent {
        Parent::HostBridge(bridge) => topology.host_bridge_place(bridge),
        Parent::Function(above) => host_bridge_above(topology, above),
    }
}

fn of_bus(sysfs: &Sysfs, file: &MarkedFile) -> Result<Needs> {
    let target = bus_of(sysfs, file)?;
    Ok(Needs::of(&[Touched::by_scan(&target)], Some(target.place)))
}

fn bus_of(sysfs: &Sysfs, file: &MarkedFile) -> Result<ScanTarget> {
    let bridge = file.directory().rsplit_once("/pci_bus/").map_or("", |(bridge, _)| bridge);
    target(sysfs, bridge, String::new())
}

/// The buses that a write to this file scans; none for what scans nothing.
///
/// # Errors
/// What it is about is gone, or the device tree cannot be read.
pub(crate) fn scanned_by(sysfs: &Sysfs, file: &MarkedFile) -> Result<Vec<ScanTarget>> {
    match (file.kind, file.address()) {
        (Kind::RescanAll, _) => Ok(vec![ScanTarget::all()]),
        (Kind::RescanBus, _) => bus_of(sysfs, file).map(|bus| vec![bus]),
        (Kind::Rescan, Some(address)) => containing_bus(sysfs, address, &[]).map(|bus| vec![bus]),
        _ => Ok(Vec::new()),
    }
}

/// Whether it is switched on or off is in the data: on takes more.
fn of_slot(sysfs: &Sysfs, file: &MarkedFile) -> Result<Option<Needs>> {
    let slot = Slot::read(sysfs, last_step(file.directory()))?;
    let bridge = slot.map_or(Ok(None), |slot| slot.bridge(sysfs))?;
    let Some(bridge) = bridge else { return Ok(None) };
    let port = target(sysfs, &bridge, String::new())?.place;
    let touched = Touched::Slot { port: port.clone(), on: true };
    Ok(Some(Needs::of(&[touched], Some(port))))
}

/// All that a driver has.
fn of_bound(sysfs: &Sysfs, directory: &str) -> Result<Needs> {
    let names = sysfs.names(directory).map_err(|error| Error::io(sysfs.display(directory), &error))?;
    let names = names.unwrap_or_default();
    let bound: Vec<PciAddress> = names.iter().filter_map(|name| PciAddress::from_sysfs_name(name)).collect();
    let unbind = |address| Action::Unbind { address, driver: String::new(), driver_override: None };
    of_each(sysfs, &bound, &unbind)
}

/// All that has no driver.
fn of_unbound(sysfs: &Sysfs) -> Result<Needs> {
    let names = sysfs.names(DEVICES).map_err(|error| Error::io(sysfs.display(DEVICES), &error))?.unwrap_or_default();
    if names.len() > FEW {
        return Ok(Needs { node: None, ..Needs::everything() });
    }
    let addresses = names.iter().filter_map(|name| PciAddress::from_sysfs_name(name));
    let unbound: Vec<PciAddress> =
        addresses.filter(|address| !sysfs.exists(&format!("{DEVICES}/{address}/driver"))).collect();
    of_each(sysfs, &unbound, &|address| Action::Probe { address, driver: None })
}

fn of_each(sysfs: &Sysfs, addresses: &[PciAddress], action: &dyn Fn(PciAddress) -> Action) -> Result<Needs> {
    let topology = Topology::load_only(sysfs, addresses, PLACES)?;
    let touched = addresses.iter().filter_map(|address| Touched::by_action(&topology, &action(*address)));
    Ok(Needs::of(&touched.collect::<Vec<_>>(), None))
}
