//! Walks /sys once, from the top down, and copies what the rules name.

use crate::dump::collector::Collector;
use crate::dump::format::{UNASKED, UNREADABLE, lines_of};
use crate::dump::rules::{self, Rule};
use crate::error::{Result, plain};
use crate::host::patience::read_all;
use crate::host::sysfs::last_step;
use crate::host::text::is_number;
use crate::host::walk::{EntryKind, walk};
use crate::pci::address::PciAddress;
use crate::pci::selector::is_host_bridge_name;
use crate::topology::attributes::is_asleep;

/// An attribute is a page at most (fs/sysfs/file.c).
const PAGE: usize = 4096;

/// The part of configuration space that every function has, and that anybody may read.
const CONFIG: usize = 64;

/// What a directory of the device tree is, which decides about what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// On the way to a host bridge or to devices without a parent.
    Way,
    HostBridge,
    /// A function, and whether its hardware may be asked.
    Function {
        is_open: bool,
    },
    Power,
    Buses,
    Bus,
    /// A directory that the driver core makes for the devices of a class.
    Class(String),
    /// A device of this class, or a part of one that goes by this name.
    Device(String),
}

/// Copies /sys.
///
/// # Errors
/// The dump cannot be written.
pub(crate) fn copy(collector: &mut Collector) -> Result<()> {
    let top = collector.machine.sysfs.root().join("sys");
    collector.directory("sys")?;
    let mut trouble = Vec::new();
    let mut devices = Devices { collector, kinds: Vec::new() };
    let mut visit = |path: &str, entry| devices.visit(path, entry);
    walk(&top, &mut visit, &mut |path, error| trouble.push((path.to_owned(), plain(error))))?;
    for (path, why) in trouble {
        let path = path.strip_prefix(collector.machine.sysfs.root()).unwrap_or(&path).display().to_string();
        collector.miss(&format!("/{path}"), why);
    }
    Ok(())
}

struct Devices<'a, 'm> {
    collector: &'a mut Collector<'m>,
    /// The directories of the device tree that are open, the outermost first: `devices` stands for nothing.
    kinds: Vec<Kind>,
}

impl Devices<'_, '_> {
    /// Copies an entry; true for a directory that is to be gone into.
    fn visit(&mut self, path: &str, entry: EntryKind) -> Result<bool> {
        if self.collector.is_full() {
            return Ok(false);
        }
        if path == "devices" {
            self.kinds.clear();
            return Ok(entry == EntryKind::Directory);
        }
        match path.strip_prefix("devices/") {
            Some(below) => self.visit_device(path, below, entry),
            None if entry == EntryKind::Directory => self.enter_fixed(path),
            None => {
                if let Some(rule) = rules::fixed(path) {
                    self.apply(rule, path, entry)?;
                }
                Ok(false)
            }
        }
    }

    fn enter_fixed(&mut self, path: &str) -> Result<bool> {
        if rules::is_kept(path) || rules::fixed(path) == Some(Rule::Read) {
            self.collector.directory(&format!("sys/{path}"))?;
        }
        Ok(rules::leads_to_fixed(path))
    }

    fn apply(&mut self, rule: Rule, path: &str, entry: EntryKind) -> Result<()> {
        let copied = format!("sys/{path}");
        match (rule, entry) {
            (_, EntryKind::Link) => {
                let place = path.rsplit('/').next().unwrap_or_default();
                // An address at which the link of a function stands must be one that is copied.
                let is_wanted =
                    PciAddress::from_sysfs_name(place).is_none_or(|address| self.collector.scope.has(address));
                if is_wanted { self.collector.copy_link(&copied) } else { Ok(()) }
            }
            (Rule::Read, EntryKind::File) => self.read(&copied),
            (Rule::Ask, EntryKind::File) => self.ask(path, &copied),
            (_, EntryKind::Directory) => self.collector.directory(&copied),
            (Rule::Read | Rule::Ask | Rule::Name | Rule::Link, _) => self.collector.bare(&copied, UNASKED),
        }
    }

    /// Copies a path that a driver tells when it likes.
    fn ask(&mut self, path: &str, copied: &str) -> Result<()> {
        let (texts, silent) = read_all(&self.collector.machine.sysfs, &[path.to_owned()]);
        for _ in silent {
            self.collector.miss(&format!("/{copied}"), "it does not answer");
        }
        let Some(text) = texts.into_iter().flatten().next() else { return self.collector.bare(copied, UNREADABLE) };
        let replaced =
            |text: &str| self.collector.names.as_ref().map_or_else(|| text.to_owned(), |names| names.path(text));
        let text = replaced(text.lines().next().unwrap_or_default());
        self.collector.put_replaced(copied, format!("{text}\n").as_bytes())
    }

    fn read(&mut self, path: &str) -> Result<()> {
        let name = last_step(path);
        // World-wide names are those of one port, and names of directories say them again.
        if self.collector.names.is_some()
            && (matches!(name, "port_name" | "node_guid" | "addr_traddr" | "info")
                || path.contains("/gids/")
                || path.contains("/tpgt_"))
        {
            return Ok(());
        }
        let limit = if name == "config" { CONFIG } else { PAGE };
        let named = self.collector.names.is_some();
        let is_name = path.ends_with("/dm/name");
        let is_file = path.ends_with("/loop/backing_file") || name == "udev_path" || name == "device_path";
        if !named || !(name == "serial" || is_name || is_file || path.ends_with("/dm/uuid")) {
            return self.collector.copy(path, limit);
        }
        let Some(text) = self.collector.read_text(path, limit) else { return Ok(()) };
        let Some(names) = &self.collector.names else { return Ok(()) };
        let text = text.trim_end_matches('\n');
        let new = match () {
            () if name == "serial" => names.serial(text),
            () if is_name => names.name(text),
            () if is_file => names.path(text),
            // What it is, and whose.
            () => text
                .split_once('-')
                .map_or_else(|| names.name(text), |(kind, rest)| format!("{kind}-{}", names.name(rest))),
        };
        self.collector.put_replaced(path, format!("{new}\n").as_bytes())
    }

    fn visit_device(&mut self, path: &str, below: &str, entry: EntryKind) -> Result<bool> {
        let depth = below.matches('/').count();
        self.kinds.truncate(depth);
        let name = last_step(below);
        let parent = self.kinds.last().cloned().unwrap_or(Kind::Way);
        if entry == EntryKind::Directory {
            let kind = self.kind_of(path, name, &parent)?;
            let goes_in = kind.is_some();
            self.kinds.extend(kind);
            return Ok(goes_in);
        }
        let rule = match &parent {
            Kind::Way | Kind::Buses | Kind::Class(_) => None,
            Kind::HostBridge => matches!(name, "driver" | "firmware_node" | "subsystem").then_some(Rule::Link),
            Kind::Function { .. } if name == "sriov_numvfs" => {
                self.count_virtual(path)?;
                None
            }
            Kind::Function { is_open } => rules::of_function(name, *is_open),
            Kind::Power => rules::of_power(name),
            Kind::Bus => rules::of_bus(name),
            Kind::Device(class) if class == "net" && name == "uevent" && below.starts_with("virtual/") => {
                self.device_type(path)?;
                None
            }
            Kind::Device(class) => rules::of_device(class, name),
        };
        if let Some(rule) = rule {
            self.apply(rule, path, entry)?;
        }
        Ok(false)
    }

    /// What a directory is; `None` if it is not gone into. What says something by being there is written.
    fn kind_of(&mut self, path: &str, name: &str, parent: &Kind) -> Result<Option<Kind>> {
        let copied = format!("sys/{path}");
        let is_below_host_bridge = !matches!(parent, Kind::Way);
        if is_below_host_bridge && is_host_bridge_name(name) && !matches!(parent, Kind::Class(_) | Kind::Device(_)) {
            self.collector.directory(&copied)?;
            return Ok(Some(Kind::HostBridge));
        }
        match parent {
            Kind::Way => self.on_the_way(path, &copied),
            Kind::HostBridge | Kind::Function { .. } => {
                if let Some(address) = PciAddress::from_sysfs_name(name) {
                    if !self.collector.scope.has(address) {
                        return Ok(None);
                    }
                    self.collector.directory(&copied)?;
                    self.collector.summary.functions += 1;
                    return Ok(Some(Kind::Function { is_open: self.may_be_asked(path) }));
                }
                match name {
                    "pci_bus" => Ok(Some(Kind::Buses)),
                    "power" if matches!(parent, Kind::Function { .. }) => Ok(Some(Kind::Power)),
                    // A directory in place of a file: no kernel makes one, and its readers must find it.
                    _ if rules::of_function(name, true).is_some() && name != "driver" => {
                        self.collector.directory(&copied)?;
                        Ok(None)
                    }
                    _ => self.device(path, &copied, name, parent),
                }
            }
            Kind::Buses => {
                self.collector.directory(&copied)?;
                Ok(Some(Kind::Bus))
            }
            Kind::Power | Kind::Bus => Ok(None),
            Kind::Class(_) | Kind::Device(_) => self.device(path, &copied, name, parent),
        }
    }

    fn on_the_way(&mut self, path: &str, copied: &str) -> Result<Option<Kind>> {
        if let Some(class) = path.strip_prefix("devices/virtual/") {
            let first = class.split('/').next().unwrap_or_default();
            if !rules::is_virtual_class(first) || (first == "tty" && !matches!(class, "tty" | "tty/console")) {
                return Ok(None);
            }
            let kind = if class == first { Kind::Way } else { Kind::Device(first.to_owned()) };
            if matches!(kind, Kind::Device(_)) {
                self.collector.directory(copied)?;
            }
            return Ok(Some(kind));
        }
        if path == "devices/virtual" {
            return Ok(Some(Kind::Way));
        }
        let bridges = &self.collector.scope.host_bridges;
        if bridges.iter().any(|bridge| bridge == path) {
            self.collector.directory(copied)?;
            return Ok(Some(Kind::HostBridge));
        }
        let leads = |bridge: &String| bridge.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        Ok(bridges.iter().any(leads).then_some(Kind::Way))
    }

    /// A class device or a directory on the way to one, told as [`Attributes`](crate::topology::attributes::Attributes)
    /// tells them.
    fn device(&mut self, path: &str, copied: &str, name: &str, parent: &Kind) -> Result<Option<Kind>> {
        if rules::is_without_devices(name) {
            return Ok(None);
        }
        let sysfs = &self.collector.machine.sysfs;
        let subsystem = sysfs.link(&format!("{path}/subsystem")).ok().flatten();
        let has = |file: &str| sysfs.exists(&format!("{path}/{file}"));
        let is_class = rules::is_known_class(name) || sysfs.exists(&format!("class/{name}"));
        let kind = match (subsystem, parent) {
            (Some(target), _) if target.contains("/class/") => Kind::Device(last_step(&target).to_owned()),
            (Some(target), _) if target.ends_with("/bus/scsi") => Kind::Device("scsi".to_owned()),
            (None, Kind::Device(class)) if class == "md" && name.starts_with("dev-") => {
                Kind::Device("md-member".to_owned())
            }
            // `ports/1/gids`
            (None, Kind::Device(class)) if class == "infiniband" && (name == "ports" || is_number(name)) => {
                Kind::Device("infiniband".to_owned())
            }
            (Some(_), _) => Kind::Device(String::new()),
            // A tree may lack the link.
            (None, Kind::Class(class)) => Kind::Device(class.clone()),
            (None, _) if rules::is_known_part(name) || is_class => {
                if is_class {
                    Kind::Class(name.to_owned())
                } else {
                    Kind::Device(name.to_owned())
                }
            }
            (None, Kind::Device(class)) if class == "nvme" || has("uevent") || has("dev") => {
                Kind::Device(if class == "nvme" { "block".to_owned() } else { class.clone() })
            }
            (None, _) if has("uevent") || has("dev") => Kind::Device(String::new()),
            (None, _) => return Ok(None),
        };
        self.collector.directory(copied)?;
        Ok(Some(kind))
    }

    /// Whether reading the hardware of a function wakes nobody up. A VF's registers say nothing of a link.
    fn may_be_asked(&mut self, path: &str) -> bool {
        let sysfs = &self.collector.machine.sysfs;
        !is_asleep(sysfs, path) && !sysfs.exists(&format!("{path}/physfn"))
    }

    /// The file waits for the driver; the links say the same.
    fn count_virtual(&mut self, path: &str) -> Result<()> {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let has = |index: &u32| self.collector.machine.sysfs.exists(&format!("{directory}/virtfn{index}"));
        let count = (0u32..).take_while(has).count();
        self.collector.put(&format!("sys/{path}"), format!("{count}\n").as_bytes())
    }

    /// What kind of interface one without hardware is. No driver answers for it.
    fn device_type(&mut self, path: &str) -> Result<()> {
        let copied = format!("sys/{path}");
        match self.collector.read_text(&copied, PAGE) {
            Some(text) => self.collector.put(&copied, lines_of(&text, &["DEVTYPE="]).as_bytes()),
            None => self.collector.bare(&copied, UNREADABLE),
        }
    }
}
