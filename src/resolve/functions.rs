//! Which functions a selector matches on this machine.

use std::os::linux::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::{Sysfs, follow};
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::selector::{AddressParts, AddressPattern, Selector, SelectorKind};
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;
use crate::topology::paths::locate_bus;

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
            SelectorKind::DeviceNode(path) => self.device_node(selector, path),
            SelectorKind::SysfsPath(path) => self.sysfs_path(selector, path),
            SelectorKind::Interface(name) => self.interface(selector, name),
            _ => self.group(selector),
        }
    }

    /// The one function, or absent address, or host bridge, that a command which changes something is to work on.
    ///
    /// # Errors
    /// Nothing matches, or several functions do and `each` is not given.
    pub(crate) fn targets(&mut self, selector: &Selector, each: bool) -> Result<Vec<Resolved>> {
        match self.named(selector)? {
            Resolved::Functions(found) if found.len() > 1 && !each => {
                let list = listed(&found);
                let message = format!("{selector}: matches {} functions ({list})", found.len());
                Err(Error::new(ErrorKind::Ambiguous, message)
                    .hint("name one of them, or accept all with --each")
                    .fact("candidates", serde_json::json!(found)))
            }
            Resolved::Functions(found) => {
                Ok(found.into_iter().map(|address| Resolved::Functions(vec![address])).collect())
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

    /// Where a link points. What cannot be read is not missing.
    fn link(&self, path: &str) -> Result<Option<String>> {
        self.sysfs.link(path).map_err(|error| Error::io(self.sysfs.display(path), &error))
    }

    /// The names in a directory; none if it is missing.
    fn names(&self, path: &str) -> Result<Vec<String>> {
        let names = self.sysfs.names(path).map_err(|error| Error::io(self.sysfs.display(path), &error))?;
        Ok(names.unwrap_or_default())
    }

    fn is_there(&self, address: PciAddress) -> bool {
        self.sysfs.has_function(address)
    }

    /// With no domain given and nothing at that address of domain 0: the one other domain that has the bus.
    fn other_domain(&self, selector: &Selector, address: PciAddress) -> Result<Option<u32>> {
        if locate_bus(self.sysfs, address.bus_number())?.is_some() {
            return Ok(None);
        }
        let names = self.names("class/pci_bus")?;
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

    fn interface(&self, selector: &Selector, name: &str) -> Result<Resolved> {
        let class = "class/net";
        let link = self.link(&format!("{class}/{name}"))?;
        let Some(path) = link.and_then(|target| follow(class, &target)) else {
            let hint = if self.sysfs.exists(&format!("class/block/{name}")) {
                format!("for the disk write /dev/{name}")
            } else {
                "an address looks like 0000:03:00.0".to_owned()
            };
            return Err(no_match(selector, "no such network interface").hint(hint));
        };
        self.on_path(selector, &path)
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
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let target = self.link(path)?.and_then(|target| follow(directory, &target));
        target.map_or_else(
            || Err(no_match(selector, "that path does not lead to a PCI function")),
            |path| self.on_path(selector, &path),
        )
    }

    fn device_node(&self, selector: &Selector, node: &str) -> Result<Resolved> {
        let link = if self.sysfs.is_dump() { self.node_by_name(node)? } else { node_by_number(node) };
        let Some((directory, link)) = link else { return Err(no_match(selector, "no such device node")) };
        let target = self.link(&link)?.and_then(|target| follow(&directory, &target));
        let Some(path) = target else { return Err(no_match(selector, "not the node of a device in sysfs")) };
        self.on_path(selector, &path)
    }

    /// A dumped tree has no device nodes; names are the same in /sys/class.
    fn node_by_name(&self, node: &str) -> Result<Option<(String, String)>> {
        let name = node.trim_start_matches("/dev/").replace('/', "!");
        let classes = self.names("class")?;
        let found = classes.iter().find(|class| self.sysfs.exists(&format!("class/{class}/{name}")));
        Ok(found.map(|found| (format!("class/{found}"), format!("class/{found}/{name}"))))
    }

    /// The function that a class device is below; a multipath NVMe disk is below none, but its controllers are.
    fn on_path(&self, selector: &Selector, path: &str) -> Result<Resolved> {
        if let Some(address) = last_address(path) {
            return Ok(Resolved::Functions(vec![address]));
        }
        let mut found: Vec<PciAddress> = Vec::new();
        if let Some((subsystem, _)) = path.rsplit_once('/').filter(|(above, _)| above.contains("/nvme-subsystem/")) {
            for name in self.names(subsystem)? {
                let target = self.link(&format!("{subsystem}/{name}"))?;
                found.extend(target.as_deref().and_then(last_address));
            }
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(no_match(selector, "not below a PCI function").hint("name the function, or the disk below it"));
        }
        Ok(Resolved::Functions(found))
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
        let file = format!("bus/pci/slots/{name}/address");
        let text = self.sysfs.read(&file).map_err(|e| Error::io(self.sysfs.display(&file), &e))?;
        let Some(text) = text else {
            return Err(no_match(selector, "no such slot").hint("ls /sys/bus/pci/slots lists them"));
        };
        let functions = (0..8).filter_map(|n| PciAddress::from_sysfs_name(&format!("{}.{n}", text.trim())));
        let found: Vec<PciAddress> = functions.filter(|address| self.is_there(*address)).collect();
        if found.is_empty() {
            return Err(no_match(selector, &format!("the slot ({}) is empty", text.trim())));
        }
        Ok(found)
    }

    fn of_driver(&self, selector: &Selector, name: &str) -> Result<Vec<PciAddress>> {
        let directory = format!("bus/pci/drivers/{name}");
        let names = self.sysfs.names(&directory).map_err(|e| Error::io(self.sysfs.display(&directory), &e))?;
        let Some(names) = names else {
            return Err(no_match(selector, "no such driver is loaded").hint("ls /sys/bus/pci/drivers lists them"));
        };
        Ok(names.iter().filter_map(|name| PciAddress::from_sysfs_name(name)).collect())
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

/// `sys/dev/block/8:0` and its like, for a node of this machine.
fn node_by_number(node: &str) -> Option<(String, String)> {
    use nix::sys::stat::{SFlag, major, minor};
    let metadata = std::fs::metadata(Path::new(node)).ok()?;
    let kind = match SFlag::from_bits_truncate(metadata.st_mode()) & SFlag::S_IFMT {
        SFlag::S_IFBLK => "block",
        SFlag::S_IFCHR => "char",
        _ => return None,
    };
    let number = metadata.st_rdev();
    let directory = format!("dev/{kind}");
    Some((directory.clone(), format!("{directory}/{}:{}", major(number), minor(number))))
}

fn last_address(path: &str) -> Option<PciAddress> {
    path.split('/').filter_map(PciAddress::from_sysfs_name).next_back()
}

fn no_match(selector: &Selector, why: &str) -> Error {
    Error::new(ErrorKind::NoSuchDevice, format!("{selector}: {why}")).fact("selector", selector.text.clone())
}

/// The first few addresses and how many more there are.
fn listed(addresses: &[PciAddress]) -> String {
    const SHOWN: usize = 6;
    let mut text = addresses.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if addresses.len() > SHOWN {
        text.push_str(&format!(" and {} more", addresses.len() - SHOWN));
    }
    text
}
