//! Which functions a selector matches on this machine.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::{BusNumber, PciAddress, listed};
use crate::pci::selector::{AddressParts, AddressPattern, Selector, SelectorKind};
use crate::resolve::below::{functions_of, last_address, names};
use crate::resolve::devices::{devices_named, no_match};
use crate::resolve::near_misses::{hint, near};
use crate::resolve::siblings::Selection;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;
use crate::topology::paths::locate_bus;
use crate::topology::slots::Slot;

pub(crate) fn parse_selectors(texts: &[String]) -> Result<Vec<Selector>> {
    texts.iter().map(|text| text.parse::<Selector>().map_err(Error::from)).collect()
}

/// The selectors of a command that changes something, which takes no wildcards.
pub(crate) fn parse_exact_selectors(texts: &[String]) -> Result<Vec<Selector>> {
    let selectors = parse_selectors(texts)?;
    for selector in &selectors {
        if let SelectorKind::Pattern(pattern) = &selector.kind {
            let what = match pattern {
                AddressPattern { bus: Some(_), device: Some(_), .. } => "matches every function of a device",
                AddressPattern { bus: Some(_), device: None, function: None, .. } => "matches a whole bus",
                _ => "is a wildcard",
            };
            let message = format!("'{}' {what}; a command that changes something needs one function", selector.text);
            let hint = format!("name one of those that pcictl list {selector} shows");
            return Err(Error::usage(message).hint(hint).fact("selector", selector.text.clone()));
        }
    }
    Ok(selectors)
}

/// What a selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// Functions that are there: one, or several of a group.
    Functions(Vec<PciAddress>),
    /// An address where nothing is now.
    Absent(PciAddress),
    /// A host bridge that is there: its directory below `sys`.
    HostBridge(String),
}

/// Reads selectors against one machine.
pub(crate) struct Resolver<'a> {
    sysfs: &'a Sysfs,
    /// Assumptions that were made, a line each, for people.
    pub(crate) notes: Vec<String>,
}

impl<'a> Resolver<'a> {
    /// A resolver for this tree.
    pub(crate) fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, notes: Vec::new() }
    }

    /// Everything that a selector matches, wildcards and groups included.
    ///
    /// # Errors
    /// Nothing matches it.
    pub(crate) fn named(&mut self, selector: &Selector) -> Result<Resolved> {
        match &selector.kind {
            SelectorKind::Address(parts) => self.address(selector, *parts),
            SelectorKind::HostBridge(name) => self.host_bridge(selector, name),
            SelectorKind::SysfsPath(path) => self.sysfs_path(selector, path),
            SelectorKind::Name(_)
            | SelectorKind::ClassDevice { .. }
            | SelectorKind::DeviceNode(_)
            | SelectorKind::Serial(_)
            | SelectorKind::Wwn(_)
            | SelectorKind::Mount(_) => self.devices(selector),
            SelectorKind::Pattern(_)
            | SelectorKind::Slot(_)
            | SelectorKind::Driver(_)
            | SelectorKind::Class(_)
            | SelectorKind::Id { .. } => self.group(selector),
        }
    }

    /// The one function, or absent address, or host bridge, that a command which changes something is to work on, with
    /// the functions that are included besides.
    ///
    /// # Errors
    /// Nothing matches, or several functions do and `each` is not given; what is to be included cannot be told.
    pub(crate) fn targets(&mut self, selector: &Selector, selection: Selection) -> Result<Vec<Resolved>> {
        let one = |address| Resolved::Functions(vec![address]);
        match self.named(selector)? {
            Resolved::Functions(found) if found.len() > 1 && !selection.each => {
                let list = listed(&found);
                let message = format!("{selector}: matches {} functions ({list})", found.len());
                Err(Error::new(ErrorKind::Ambiguous, message)
                    .hint("name one of them, or accept all with --each")
                    .fact("candidates", serde_json::json!(found)))
            }
            Resolved::Functions(found) => {
                let found = selection.widen(self.sysfs, found, None, &mut self.notes)?;
                Ok(found.into_iter().map(one).collect())
            }
            Resolved::Absent(address) => {
                let found = selection.widen(self.sysfs, Vec::new(), Some(address), &mut self.notes)?;
                Ok(std::iter::once(Resolved::Absent(address)).chain(found.into_iter().map(one)).collect())
            }
            Resolved::HostBridge(_) if selection.is_wider() => {
                Err(Error::usage(format!("{selector}: is a host bridge; it has no siblings and no IOMMU group")))
            }
            other => Ok(vec![other]),
        }
    }

    fn address(&mut self, selector: &Selector, parts: AddressParts) -> Result<Resolved> {
        let mut address = parts.address;
        if parts.domain.is_none() && !self.is_there(address) {
            if let Some(domain) = self.other_domain(selector, address)? {
                address.domain = domain;
                self.notes.push(format!("{selector}: taken as {address}, the only domain with that bus"));
            }
        }
        if self.is_there(address) { Ok(Resolved::Functions(vec![address])) } else { Ok(Resolved::Absent(address)) }
    }

    fn is_there(&self, address: PciAddress) -> bool {
        self.sysfs.has_function(address)
    }

    /// With no domain given and nothing at that address of domain 0: the one other domain that has the bus.
    fn other_domain(&self, selector: &Selector, address: PciAddress) -> Result<Option<u32>> {
        if locate_bus(self.sysfs, address.bus_number())?.is_some() {
            return Ok(None);
        }
        let names = names(self.sysfs, "class/pci_bus")?;
        let buses = names.iter().filter_map(|name| name.parse::<BusNumber>().ok());
        let mut domains: Vec<u32> = buses.filter(|bus| bus.bus == address.bus).map(|bus| bus.domain).collect();
        domains.sort_unstable();
        match domains[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            _ => {
                let candidates: Vec<PciAddress> =
                    domains.iter().map(|domain| PciAddress { domain: *domain, ..address }).collect();
                let message = format!("{selector}: several domains have bus {:02x}", address.bus);
                Err(Error::new(ErrorKind::Ambiguous, message)
                    .hint(format!("name one: {}", listed(&candidates)))
                    .fact("candidates", serde_json::json!(candidates)))
            }
        }
    }

    fn host_bridge(&self, selector: &Selector, name: &str) -> Result<Resolved> {
        let bus = name
            .trim_start_matches("pci")
            .parse::<BusNumber>()
            .map_err(|e| Error::usage(format!("{selector}: {e}")))?;
        match locate_bus(self.sysfs, bus)? {
            Some(path) if path.rsplit('/').next() == Some(name) => Ok(Resolved::HostBridge(path)),
            _ => Err(no_match(selector, "no such host bridge").hint("pcictl tree lists them")),
        }
    }

    fn sysfs_path(&self, selector: &Selector, text: &str) -> Result<Resolved> {
        let path = text.trim_start_matches("/sys/").trim_end_matches('/');
        if let Some(address) = last_address(path) {
            return if self.is_there(address) {
                Ok(Resolved::Functions(vec![address]))
            } else {
                Ok(Resolved::Absent(address))
            };
        }
        if let Some(name) = path.rsplit('/').next().filter(|name| crate::pci::selector::is_host_bridge_name(name)) {
            return self.host_bridge(selector, name);
        }
        self.devices(selector)
    }

    /// The functions of what is known by another name.
    fn devices(&self, selector: &Selector) -> Result<Resolved> {
        let devices = devices_named(self.sysfs, selector)?.unwrap_or_default();
        Ok(Resolved::Functions(functions_of(&devices)))
    }

    fn group(&self, selector: &Selector) -> Result<Resolved> {
        let mut found = match &selector.kind {
            SelectorKind::Slot(name) => self.in_slot(selector, name)?,
            SelectorKind::Driver(name) => self.of_driver(selector, name)?,
            kind => self.matching(kind)?,
        };
        found.sort_unstable();
        if found.is_empty() {
            return Err(no_match(selector, "nothing matches").hint("pcictl list shows what is there"));
        }
        Ok(Resolved::Functions(found))
    }

    fn in_slot(&self, selector: &Selector, name: &str) -> Result<Vec<PciAddress>> {
        let Some(slot) = Slot::read(self.sysfs, name)? else {
            let near = near(name, names(self.sysfs, "bus/pci/slots")?);
            let hint = hint("slot:", &near, "pcictl slot list lists them");
            return Err(no_match(selector, "no such slot").hint(hint));
        };
        let found = match slot.bridge(self.sysfs)? {
            Some(bridge) => slot.functions(self.sysfs, &bridge)?,
            None => Vec::new(),
        };
        if found.is_empty() {
            let place = slot.address.map_or_else(String::new, |address| format!(" ({address})"));
            return Err(no_match(selector, &format!("the slot{place} is empty")));
        }
        Ok(found)
    }

    fn of_driver(&self, selector: &Selector, name: &str) -> Result<Vec<PciAddress>> {
        let directory = format!("bus/pci/drivers/{name}");
        let bound = self.sysfs.names(&directory).map_err(|e| Error::io(self.sysfs.display(&directory), &e))?;
        let Some(bound) = bound else {
            let near = near(name, names(self.sysfs, "bus/pci/drivers")?);
            let hint = hint("driver:", &near, "ls /sys/bus/pci/drivers lists them");
            return Err(no_match(selector, "no such driver is loaded").hint(hint));
        };
        Ok(bound.iter().filter_map(|name| PciAddress::from_sysfs_name(name)).collect())
    }

    fn matching(&self, kind: &SelectorKind) -> Result<Vec<PciAddress>> {
        let ids = if matches!(kind, SelectorKind::Pattern(_)) { IdsOf::Nobody } else { IdsOf::Devices };
        let topology = Topology::load_all(self.sysfs, Fields { ids, ..Fields::default() })?;
        let fits = |address: PciAddress, ids: Option<crate::pci::ids::Ids>| match kind {
            SelectorKind::Pattern(pattern) => pattern.matches(address),
            SelectorKind::Class(class) => ids.is_some_and(|ids| class.matches(ids.class)),
            SelectorKind::Id { vendor, device } => {
                ids.is_some_and(|ids| ids.vendor == *vendor && device.is_none_or(|device| device == ids.device))
            }
            _ => false,
        };
        let functions = topology.by_address().into_iter().map(|id| topology.function(id));
        Ok(functions.filter(|f| fits(f.address, f.ids)).map(|f| f.address).collect())
    }
}
