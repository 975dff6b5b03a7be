//! What must be held for a write to the kernel: the one table, for commands, for `pcictl lock` and for whoever else lets a
//! write through.
//!
//! Everything named here is held exclusively, and all above it shared. A row says what the kernel touches with the write,
//! not what the write is meant for; the reasons are in the pairs that deadlock or corrupt memory when they meet.

use crate::host::sysfs::Sysfs;
use crate::lock::claims::Claims;
use crate::pci::place::Place;
use crate::plan::action::{Action, Plan};
use crate::resolve::scan_target::ScanTarget;
use crate::topology::model::{FunctionId, Topology};

/// What the kernel touches with one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// One function with its VFs and all below it: removal, driver, override, settings, a reset of the function alone.
    Function(Place),
    /// The VFs of a physical function.
    Vfs {
        /// The physical function.
        physical: Place,
        /// Some of its VFs are, or may come to be, on a bus that is not the physical function's own, and which others
        /// may share (virtfn_add_bus in drivers/pci/iov.c).
        on_virtual_bus: bool,
    },
    /// A bus that is scanned, and what appears on it.
    Bus {
        /// The bridge that leads to it.
        bridge: Place,
        /// Nothing is on it. The kernel then resizes the bridge, and may release windows of the bus above it.
        is_empty: bool,
        /// It is a root bus, above which nothing is resized.
        is_root: bool,
    },
    /// Everything on the bus that a bridge leads to: resets by bus or slot walk it unlocked.
    AllBelow(Place),
    /// A slot whose power is switched, by the port that it belongs to. What appears when it is on takes the bus above.
    ///
    /// Off: pciehp's interrupt thread takes the kernel's mutex and removes what is on the port's bus, and a removal of the port
    /// waits for that thread (pciehp_unconfigure_device, pciehp_release_ctrl). On: pciehp and shpchp end in
    /// pci_assign_unassigned_bridge_resources, which may release windows of the bus above the bridge and deal them out anew.
    /// acpiphp (enable_slot in acpiphp_glue.c) stays on the slot's own bus and would do with the bridge to it; but which of them
    /// has a slot is told by a link that not every kernel makes, and to hold one bridge more only makes others wait.
    Slot {
        /// The port, or the bridge or host bridge to a bus that several slots share.
        port: Place,
        /// Switched on, not off.
        on: bool,
    },
    /// Every bus of the machine.
    Everything,
}

impl Touched {
    /// What a step of a plan touches; `None` if its function was not read, or if it takes more than the function to tell.
    pub fn by_action(topology: &Topology, action: &Action) -> Option<Self> {
        let place = |address| topology.find(address).map(|id| topology.place(id));
        match action {
            Action::SetVfs { address, .. } => {
                let id = topology.find(*address)?;
                Some(Self::Vfs { physical: topology.place(id), on_virtual_bus: may_use_virtual_bus(topology, id) })
            }
            Action::Bind { address, .. } | Action::Probe { address, .. } => {
                Some(Self::by_driver(topology, topology.find(*address)?))
            }
            // How many there are to be says nothing of where they will be.
            Action::CreateVfs { address, .. } => {
                place(*address).map(|physical| Self::Vfs { physical, on_virtual_bus: true })
            }
            Action::Unbind { address, .. }
            | Action::Override { address, .. }
            | Action::Set { address, .. }
            // Under rtnl_lock, which no removal waits for while it has the kernel's PCI lock alone; the VFs must stay.
            | Action::SetVf { address, .. }
            | Action::Reset { address, hits_bus: false }
            | Action::Remove { address } => place(*address).map(Self::Function),
            // pci_parent_bus_reset (drivers/pci/pci.c) walks the bus unlocked, to see whether anything else is on it.
            Action::Reset { address, hits_bus: true } => {
                Some(Self::AllBelow(topology.place_above(topology.find(*address)?)))
            }
            Action::ResetBelow { address } => place(*address).map(Self::AllBelow),
            Action::RescanAll => Some(Self::Everything),
            Action::SlotPower { port, on, .. } => Some(Self::Slot { port: place((*port)?)?, on: *on }),
            Action::SlotAttention { port, .. } => place((*port)?).map(Self::Function),
            Action::Rescan { .. } => None,
        }
    }

    /// What is touched when a function that was stopped gets its driver back, besides the function. A port behind which all
    /// was as it is finds nothing new.
    pub(crate) fn by_rollback(topology: &Topology, id: FunctionId) -> Option<Self> {
        let is_empty = topology.function(id).driver.is_some() && topology.below(id).is_empty();
        is_empty.then(|| Self::by_driver(topology, id))
    }

    /// What is touched when a function gets a driver. A port's may find something plugged on a bus that is still empty, and
    /// its thread then switches the slot on (pciehp_check_presence in drivers/pci/hotplug/pciehp_core.c).
    fn by_driver(topology: &Topology, id: FunctionId) -> Self {
        let function = topology.function(id);
        let is_port = function.secondary.is_some()
            || function.ids.is_some_and(|ids| ids.is_pci_bridge())
            || !topology.below(id).is_empty();
        let place = topology.place(id);
        if is_port { Self::Slot { port: place, on: true } } else { Self::Function(place) }
    }

    /// What is touched by whatever may be written to a function: the number of VFs, where it can have any.
    pub(crate) fn by_any_change(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Self {
        let place = topology.place(id);
        if !sysfs.exists(&format!("{}/sriov_numvfs", topology.path(id))) {
            return Self::Function(place);
        }
        Self::Vfs { physical: place, on_virtual_bus: may_use_virtual_bus(topology, id) }
    }

    /// What a scan touches.
    pub(crate) fn by_scan(target: &ScanTarget) -> Self {
        match target.bus {
            None => Self::Everything,
            Some(_) => {
                Self::Bus { bridge: target.place.clone(), is_empty: target.empty, is_root: target.is_root_bus() }
            }
        }
    }

    /// The node that must be held exclusively.
    pub(crate) fn exclusive(&self) -> Place {
        let above = |place: &Place| place.parent().unwrap_or_else(Place::root);
        match self {
            Self::Function(place) | Self::AllBelow(place) => place.clone(),
            Self::Vfs { physical, on_virtual_bus: true } => above(physical),
            Self::Vfs { physical, on_virtual_bus: false } => physical.clone(),
            Self::Bus { bridge, is_empty: true, is_root: false } => above(bridge),
            Self::Bus { bridge, .. } => bridge.clone(),
            // Above a host bridge nothing is resized.
            Self::Slot { port, on: true } if port.parent().is_some_and(|above| above != Place::root()) => above(port),
            Self::Slot { port, on: true } => port.clone(),
            Self::Slot { port, on: false } => port.clone(),
            Self::Everything => Place::root(),
        }
    }
}

/// What must be held from the first to the last of these writes.
pub fn claims_for<'a>(writes: impl IntoIterator<Item = &'a Touched>) -> Claims {
    Claims::changing(writes.into_iter().map(Touched::exclusive).collect())
}

impl Plan {
    /// Holds what else the kernel touches with the steps.
    pub fn also_touching(&mut self, touched: &[Touched]) {
        let more = claims_for(touched);
        self.claims = Claims::changing(self.claims.tops().iter().chain(more.tops()).cloned().collect());
    }
}

/// What must be held to have an indicator of a port or a slot show something.
///
/// The write takes the port's own controller, and no mutex that a removal waits for (pciehp_set_indicators in
/// drivers/pci/hotplug/pciehp_hpc.c, npem_set in drivers/pci/npem.c), so others may be at work below the port, and may find
/// the very slot by its light. What must not come meanwhile is the end of the port, which is held exclusively by whoever
/// brings it about.
pub(crate) fn claims_for_indicator(port: Place) -> Claims {
    Claims::reading(vec![port], Vec::new())
}

/// Nothing tells where VFs will be that do not exist: their offset and stride may change with their number
/// (pci_iov_set_numvfs in drivers/pci/iov.c reads both anew), so sriov_offset and sriov_stride at zero VFs say little.
fn may_use_virtual_bus(topology: &Topology, physical: FunctionId) -> bool {
    let bus = topology.function(physical).address.bus_number();
    let vfs = topology.virtual_functions(physical);
    vfs.is_empty() || vfs.iter().any(|id| topology.function(*id).address.bus_number() != bus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::ids::Ids;
    use crate::topology::model::{Parent, VirtualOf};

    /// A port with a physical function at 01:00.0, and its VF at this address.
    fn with_vf(vf: Option<&str>) -> Topology {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let port = topology.add_function(Parent::HostBridge(host), "0000:00:03.0".parse().unwrap(), None, None);
        let physical = topology.add_function(Parent::Function(port), "0000:01:00.0".parse().unwrap(), None, None);
        if let Some(address) = vf {
            let id = topology.add_function(Parent::Function(port), address.parse().unwrap(), None, None);
            topology.set_virtual(id, VirtualOf { physical, index: Some(0) });
        }
        topology
    }

    #[test]
    fn vfs_of_which_nobody_knows_the_bus_take_the_bridge_above() {
        let address = "0000:01:00.0".parse().unwrap();
        for (vf, was, held) in [
            (Some("0000:01:10.0"), 1, "pci0000:00/03.0/00.0"),
            (Some("0000:02:10.0"), 1, "pci0000:00/03.0"),
            (None, 0, "pci0000:00/03.0"),
        ] {
            let action = Action::set_vfs(address, 1 - was, was, false);
            let touched = Touched::by_action(&with_vf(vf), &action).unwrap();
            assert_eq!(touched.exclusive(), at(held), "{vf:?}");
            let create = Action::CreateVfs { address, count: 2, drivers: None };
            let touched = Touched::by_action(&with_vf(vf), &create).unwrap();
            assert_eq!(touched.exclusive(), at("pci0000:00/03.0"), "more of them may be on another bus");
        }
    }

    #[test]
    fn a_port_that_gets_its_driver_takes_the_bus_above() {
        let (mut topology, driver) = (with_vf(None), || "driver".to_owned());
        let [port, endpoint] = ["0000:00:03.0", "0000:01:00.0"].map(|address| address.parse().unwrap());
        let held = |topology: &Topology, action: &Action| Touched::by_action(topology, action).unwrap().exclusive();
        for (address, place) in [(port, "pci0000:00"), (endpoint, "pci0000:00/03.0/00.0")] {
            assert_eq!(held(&topology, &Action::Bind { address, driver: driver() }), at(place));
            assert_eq!(held(&topology, &Action::Probe { address, driver: None }), at(place));
        }
        // With nothing below it, its bus or its class tells.
        let host = topology.function(topology.find(port).unwrap()).parent;
        let [by_bus, by_class] = ["0000:00:04.0", "0000:00:05.0"].map(|address| address.parse().unwrap());
        let id = topology.add_function(host, by_bus, None, None);
        topology.set_secondary(id, "0000:02".parse().ok());
        let ids = Ids::from_modalias("pci:v00001B36d0000000Csv00000000sd00000000bc06sc04i00");
        topology.add_function(host, by_class, ids, None);
        for address in [by_bus, by_class] {
            assert_eq!(held(&topology, &Action::Bind { address, driver: driver() }), at("pci0000:00"), "{address}");
            let unbind = Action::Unbind { address, driver: driver(), driver_override: None };
            assert_eq!(held(&topology, &unbind), topology.place(topology.find(address).unwrap()), "{address}");
        }
    }

    #[test]
    fn a_reset_by_the_bus_takes_the_bridge_above() {
        let topology = with_vf(None);
        for (address, hits_bus, held) in [
            ("0000:01:00.0", false, "pci0000:00/03.0/00.0"),
            ("0000:01:00.0", true, "pci0000:00/03.0"),
            ("0000:00:03.0", true, "pci0000:00"),
        ] {
            let action = Action::Reset { address: address.parse().unwrap(), hits_bus };
            let touched = Touched::by_action(&topology, &action).unwrap();
            assert_eq!(touched.exclusive(), at(held), "{action:?}");
        }
    }

    fn at(chain: &str) -> Place {
        Place::from_chain(chain).unwrap()
    }

    #[test]
    fn what_the_kernel_touches_is_held() {
        let (port, above) = (at("pci0000:00/03.0"), at("pci0000:00"));
        for (touched, held) in [
            (Touched::Function(port.clone()), &port),
            (Touched::AllBelow(port.clone()), &port),
            (Touched::Vfs { physical: port.clone(), on_virtual_bus: false }, &port),
            (Touched::Vfs { physical: port.clone(), on_virtual_bus: true }, &above),
            (Touched::Bus { bridge: port.clone(), is_empty: false, is_root: false }, &port),
            (Touched::Bus { bridge: port.clone(), is_empty: true, is_root: false }, &above),
            (Touched::Bus { bridge: above.clone(), is_empty: true, is_root: true }, &above),
            (Touched::Slot { port: port.clone(), on: false }, &port),
            (Touched::Slot { port: port.clone(), on: true }, &above),
            (Touched::Slot { port: above.clone(), on: true }, &above),
            (Touched::Everything, &Place::root()),
        ] {
            assert_eq!(touched.exclusive(), *held, "{touched:?}");
        }
    }
}
