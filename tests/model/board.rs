//! A small machine: what is plugged where, and what the kernel knows of it at one moment.

use std::fmt;
use std::sync::Arc;

use pcictl::pci::address::{BusNumber, PciAddress};
use pcictl::topology::model::{FunctionId, HostBridgeId, Parent, Topology, VirtualOf};

/// A slot's index on its board.
pub type Slot = u8;

pub const HOST_BRIDGE: &str = "pci0000:00";

/// The root bus of the one domain that an endpoint can have below it.
pub const DOMAIN: &str = "pci10000:e0";
const DOMAIN_BUS: BusNumber = BusNumber { domain: 0x10000, bus: 0xe0 };

/// What is plugged into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bridge, and the number of the bus it leads to.
    Bridge(u8),
    /// An endpoint whose driver makes a domain of its own below it, as vmd does: without the driver nothing is there.
    Domain,
    /// Anything else; a physical function, too.
    Endpoint,
    /// A virtual function of the slot above, with the bus number that it answers on.
    Virtual(u8),
}

#[derive(Clone, Copy, Debug)]
pub struct Plugged {
    /// None right below the host bridge. For a virtual function this is its physical one.
    pub above: Option<Slot>,
    pub device: u8,
    pub function: u8,
    pub kind: Kind,
}

/// The slots of a machine, each after the one it hangs below.
#[derive(Clone, Debug)]
pub struct Board {
    pub slots: Vec<Plugged>,
    /// The slots at and below each one, as bits.
    subtrees: Vec<u8>,
    /// From this slot down, bus numbers may be dealt out anew when it comes back.
    pub renumbered_below: Slot,
    /// The ports with a slot of their own, whose power pciehp switches; a bit a slot.
    pub hotplug: u8,
    /// The functions that can be reset only with all that is on their bus; a bit a slot.
    pub bus_reset: u8,
    /// Managed device links: who supplies, and whose driver ends with that one's.
    pub links: Vec<(Slot, Slot)>,
}

/// What the kernel knows at one moment; a bit a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    pub present: u8,
    /// A driver is at work.
    pub bound: u8,
    /// Bus numbers are not those that they were at boot.
    pub renumbered: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = if self.renumbered { ", renumbered" } else { "" };
        write!(f, "present {:08b} bound {:08b}{numbers}", self.present, self.bound)
    }
}

impl Config {
    pub fn has(self, slot: Slot) -> bool {
        self.present & 1 << slot != 0
    }

    pub fn is_bound(self, slot: Slot) -> bool {
        self.bound & 1 << slot != 0
    }
}

impl Board {
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = Slot> + use<> {
        0..u8::try_from(self.slots.len()).expect("a small board")
    }

    pub fn all(&self) -> u8 {
        u8::MAX >> (8 - self.slots.len())
    }

    pub fn new(slots: Vec<Plugged>, renumbered_below: Slot) -> Self {
        let mut subtrees: Vec<u8> = (0..slots.len()).map(|slot| 1 << slot).collect();
        for slot in (0..slots.len()).rev() {
            if let Some(above) = slots[slot].above {
                subtrees[usize::from(above)] |= subtrees[slot];
            }
        }
        Self { slots, subtrees, renumbered_below, hotplug: 0, bus_reset: 0, links: Vec::new() }
    }

    pub fn is_at_or_below(&self, slot: Slot, top: Slot) -> bool {
        self.subtree(top) & 1 << slot != 0
    }

    /// The slots at and below one, as bits.
    pub fn subtree(&self, top: Slot) -> u8 {
        self.subtrees[usize::from(top)]
    }

    /// All below a slot, without it; all there is for the host bridge.
    pub fn below(&self, bridge: Option<Slot>) -> u8 {
        bridge.map_or(self.all(), |bridge| self.subtree(bridge) & !(1 << bridge))
    }

    /// A bridge with all below it; all there is for the host bridge.
    pub fn subtree_of(&self, bridge: Option<Slot>) -> u8 {
        bridge.map_or(self.all(), |bridge| self.subtree(bridge))
    }

    pub fn above(&self, slot: Slot) -> Option<Slot> {
        self.slots[usize::from(slot)].above
    }

    pub fn is_hotplug(&self, slot: Slot) -> bool {
        self.hotplug & 1 << slot != 0
    }

    /// Whether a port's thread will bring in what is plugged, once the port has its driver.
    pub fn will_switch_on(&self, config: Config, port: Slot) -> bool {
        self.is_hotplug(port) && self.is_empty(config, port)
    }

    pub fn is_domain(&self, slot: Slot) -> bool {
        matches!(self.slots[usize::from(slot)].kind, Kind::Domain)
    }

    /// What is in the domains that the drivers of these slots make.
    pub fn in_domains_of(&self, slots: u8) -> u8 {
        let domains = self.ids().filter(|slot| slots & 1 << slot != 0 && self.is_domain(*slot));
        domains.fold(0, |bits, slot| bits | self.below(Some(slot)))
    }

    /// Whose drivers the kernel stops together with those of these slots, elsewhere.
    pub fn consumers(&self, config: Config, suppliers: u8) -> u8 {
        self.all_consumers(suppliers & config.bound) & config.bound & !suppliers
    }

    /// Those, whether they have drivers or not.
    pub fn all_consumers(&self, suppliers: u8) -> u8 {
        let of_these = self.links.iter().filter(|(supplier, _)| suppliers & 1 << supplier != 0);
        of_these.fold(0, |bits, (_, consumer)| bits | 1 << consumer)
    }

    /// These slots with all below them.
    pub fn subtrees(&self, slots: u8) -> u8 {
        let tops = self.ids().filter(|top| slots & 1 << top != 0);
        tops.fold(0, |all, top| all | self.subtree(top))
    }

    pub fn virtual_functions(&self) -> u8 {
        let is_virtual = |slot: &Slot| matches!(self.slots[usize::from(*slot)].kind, Kind::Virtual(_));
        self.ids().filter(is_virtual).fold(0, |bits, slot| bits | 1 << slot)
    }

    pub fn virtual_functions_of(&self, physical: Slot) -> u8 {
        let is_of = |slot: &Slot| self.slots[usize::from(*slot)].above == Some(physical);
        self.ids().filter(is_of).fold(0, |bits, slot| bits | 1 << slot) & self.virtual_functions()
    }

    /// Whether virtual functions of both sit on one bus that the kernel makes for them (virtfn_add_bus).
    pub fn share_virtual_bus(&self, one: Slot, other: Slot) -> bool {
        let at_boot = Config { present: self.all(), bound: 0, renumbered: false };
        let bus = |slot: Slot| self.address(at_boot, slot).bus;
        let buses = |physical: Slot| {
            let slots = self.virtual_functions_of(physical);
            self.ids().filter(move |slot| slots & 1 << slot != 0).map(bus).filter(move |made| *made != bus(physical))
        };
        buses(one).any(|made| buses(other).any(|others| others == made))
    }

    /// What sits right on the bus that a bridge leads to; of the root bus without one.
    pub fn on_bus(&self, bridge: Option<Slot>) -> u8 {
        let on_it = |slot: &Slot| self.slots[usize::from(*slot)].above == bridge;
        self.ids().filter(on_it).fold(0, |bits, slot| bits | 1 << slot) & !self.virtual_functions()
    }

    /// Whether nothing is on the bus that a bridge leads to.
    pub fn is_empty(&self, config: Config, bridge: Slot) -> bool {
        self.on_bus(Some(bridge)) & config.present == 0
    }

    pub fn is_bridge(&self, slot: Slot) -> bool {
        matches!(self.slots[usize::from(slot)].kind, Kind::Bridge(_))
    }

    fn shift(&self, config: Config, bridge: Slot) -> u8 {
        if config.renumbered && self.is_at_or_below(bridge, self.renumbered_below) { 0x10 } else { 0 }
    }

    /// The bus that a bridge leads to.
    pub fn secondary(&self, config: Config, bridge: Slot) -> BusNumber {
        match self.slots[usize::from(bridge)].kind {
            Kind::Bridge(bus) => BusNumber { bus: bus + self.shift(config, bridge), ..self.bus_above(config, bridge) },
            Kind::Domain => DOMAIN_BUS,
            Kind::Endpoint | Kind::Virtual(_) => panic!("no bridge"),
        }
    }

    /// The bus that a slot is on.
    fn bus_above(&self, config: Config, slot: Slot) -> BusNumber {
        self.above(slot).map_or(BusNumber { domain: 0, bus: 0 }, |above| self.secondary(config, above))
    }

    pub fn address(&self, config: Config, slot: Slot) -> PciAddress {
        let plugged = self.slots[usize::from(slot)];
        let BusNumber { domain, bus } = match (plugged.kind, plugged.above) {
            (Kind::Virtual(bus), Some(physical)) => {
                let shift = self.above(physical).map_or(0, |bridge| self.shift(config, bridge));
                BusNumber { bus: bus + shift, ..self.bus_above(config, physical) }
            }
            _ => self.bus_above(config, slot),
        };
        PciAddress { domain, bus, device: plugged.device, function: plugged.function }
    }

    /// What answers at an address.
    pub fn at(&self, config: Config, address: PciAddress) -> Option<Slot> {
        self.ids().find(|slot| config.has(*slot) && self.address(config, *slot) == address)
    }

    /// The bridge that leads to a bus: none for the root bus; nothing at all if no bridge does.
    pub fn bridge_to(&self, config: Config, bus: BusNumber) -> Option<Option<Slot>> {
        if bus.bus == 0 {
            return Some(None);
        }
        let is_there = |slot: Slot| config.has(slot) && (self.is_bridge(slot) || config.is_bound(slot));
        let is_bridge = |slot: Slot| self.is_bridge(slot) || self.is_domain(slot);
        let leads = |slot: &Slot| is_bridge(*slot) && is_there(*slot) && self.secondary(config, *slot) == bus;
        self.ids().find(leads).map(Some)
    }

    /// The directory of a bridge, or of a host bridge, below `sys`.
    pub fn path(&self, config: Config, bridge: Option<Slot>) -> String {
        let Some(slot) = bridge else { return format!("devices/{HOST_BRIDGE}") };
        let own = format!("{}/{}", self.path(config, self.above(slot)), self.address(config, slot));
        if self.is_domain(slot) { format!("{own}/{DOMAIN}") } else { own }
    }

    /// The product's picture of it.
    pub fn topology(&self, config: Config) -> Read {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge(HOST_BRIDGE, &self.path(config, None), None);
        let mut ids: Vec<Option<FunctionId>> = vec![None; self.slots.len()];
        let mut domain = None;
        for slot in self.ids().filter(|slot| config.has(*slot)) {
            let plugged = self.slots[usize::from(slot)];
            let address = self.address(config, slot);
            let driver = config.is_bound(slot).then(|| Arc::from("driver"));
            let above = plugged.above.and_then(|above| ids[usize::from(above)]);
            // In sysfs a virtual function lies beside its physical one.
            let parent = match (plugged.kind, above) {
                (Kind::Virtual(_), Some(physical)) => topology.function(physical).parent,
                (_, Some(_)) if plugged.above.is_some_and(|above| self.is_domain(above)) => {
                    Parent::HostBridge(domain.expect("a driver that made the domain"))
                }
                (_, Some(bridge)) => Parent::Function(bridge),
                (_, None) => Parent::HostBridge(host),
            };
            let id = topology.add_function(parent, address, None, driver);
            match (plugged.kind, above) {
                (Kind::Bridge(_), _) => topology.set_secondary(id, Some(self.secondary(config, slot))),
                (Kind::Virtual(_), Some(physical)) => {
                    topology.set_virtual(id, VirtualOf { physical, index: Some(0) });
                }
                (Kind::Domain, _) if config.is_bound(slot) => {
                    domain = Some(topology.add_host_bridge(DOMAIN, &self.path(config, Some(slot)), Some(id)));
                }
                _ => {}
            }
            ids[usize::from(slot)] = Some(id);
        }
        Read { topology, host, domain, ids }
    }

    /// Every configuration that could come about.
    pub fn configs(&self) -> Vec<Config> {
        let hangs = |present: u8| {
            let above = |slot: Slot| self.slots[usize::from(slot)].above.is_none_or(|above| present & 1 << above != 0);
            self.ids().all(|slot| present & 1 << slot == 0 || above(slot))
        };
        let mut configs = Vec::new();
        for present in (0..=self.all()).filter(|present| hangs(*present)) {
            let has_domain = |bound: u8| present & self.in_domains_of(!bound) == 0;
            for bound in (0..=self.all()).filter(|bound| bound & !present == 0 && has_domain(*bound)) {
                configs.extend([false, true].map(|renumbered| Config { present, bound, renumbered }));
            }
        }
        configs
    }
}

/// A topology, and which of its functions sits in which slot.
pub struct Read {
    pub topology: Topology,
    pub host: HostBridgeId,
    /// The host bridge of the domain below an endpoint.
    pub domain: Option<HostBridgeId>,
    pub ids: Vec<Option<FunctionId>>,
}
