//! Devices by the names that people know them by: a name in sysfs, a node, a serial number, a mount point.

use std::os::linux::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::host::procfs::Procfs;
use crate::host::procfs::texts::unescape;
use crate::host::sysfs::{Sysfs, last_step};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::selector::{Selector, SelectorKind};
use crate::resolve::below::{bottoms, functions_of, names, target};
use crate::resolve::near_misses::{hint, near};

/// Finds the devices that a selector names.
pub(crate) struct Devices<'a> {
    sysfs: &'a Sysfs,
    selector: &'a Selector,
}

/// The directories of what a selector names, each on a function or a function itself; none for a selector that names
/// functions rather than what is on them.
///
/// # Errors
/// Nothing has that name, it stands on no function, or several things have it.
pub(crate) fn devices_named(sysfs: &Sysfs, selector: &Selector) -> Result<Option<Vec<String>>> {
    let devices = Devices { sysfs, selector };
    let found = match &selector.kind {
        SelectorKind::Name(name) => devices.by_name(name)?,
        SelectorKind::ClassDevice { class, name } => devices.of_class(class, name)?,
        SelectorKind::DeviceNode(path) => devices.node(path)?,
        SelectorKind::SysfsPath(path) => devices.sysfs_path(path)?,
        SelectorKind::Serial(serial) => devices.with_serial(serial)?,
        SelectorKind::Wwn(name) => devices.with_wwn(name)?,
        SelectorKind::Mount(point) => devices.mounted(point)?,
        _ => return Ok(None),
    };
    Ok(Some(found))
}

pub(crate) fn no_match(selector: &Selector, why: &str) -> Error {
    Error::new(ErrorKind::NoSuchDevice, format!("{selector}: {why}")).fact("selector", selector.text.clone())
}

impl Devices<'_> {
    fn no_match(&self, why: &str) -> Error {
        no_match(self.selector, why)
    }

    /// What is at the bottom of these.
    fn bottoms(&self, paths: &[String]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for path in paths {
            found.extend(bottoms(self.sysfs, path)?);
        }
        if found.is_empty() {
            return Err(self.no_match("not below a PCI function").hint("name the function, or the disk below it"));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn in_class(&self, class: &str, name: &str) -> Result<Option<String>> {
        target(self.sysfs, &format!("class/{class}"), name)
    }

    fn of_class(&self, class: &str, name: &str) -> Result<Vec<String>> {
        let Some(path) = self.in_class(class, name)? else {
            let why = format!("no device of class {class} has that name");
            let near = self.near(name, names(self.sysfs, &format!("class/{class}"))?)?;
            let hint = hint(&format!("{class}/"), &near, &format!("ls /sys/class/{class} lists them"));
            return Err(self.no_match(&why).hint(hint));
        };
        self.bottoms(&[path])
    }

    /// A device of whatever class; classes that lead to the same functions mean the same.
    fn by_name(&self, name: &str) -> Result<Vec<String>> {
        let (mut is_known, mut found) = (false, Vec::new());
        for class in names(self.sysfs, "class")? {
            if let Some(path) = self.in_class(&class, name)? {
                is_known = true;
                let devices = bottoms(self.sysfs, &path)?;
                if !devices.is_empty() {
                    found.push((class, devices));
                }
            }
        }
        if !is_known {
            return Err(self.unknown_name(name));
        }
        let Some((_, first)) = found.first() else { return self.bottoms(&[]) };
        let functions = functions_of(first);
        if found.iter().all(|(_, devices)| functions_of(devices) == functions) {
            // The most particular one: the disk rather than its controller's view of it.
            return Ok(found.swap_remove(0).1);
        }
        let candidates: Vec<String> = found.iter().map(|(class, _)| format!("{class}/{name}")).collect();
        let of = |(class, devices): &(String, Vec<String>)| {
            let functions: Vec<String> = functions_of(devices).iter().map(PciAddress::to_string).collect();
            format!("{class}/{name} ({})", functions.join(", "))
        };
        let told = found.iter().map(of).collect::<Vec<_>>().join(" and ");
        let message = format!("{}: several devices have that name: {told}", self.selector);
        let hint = format!("write one with its class: {}", candidates.join(" or "));
        Err(Error::new(ErrorKind::Ambiguous, message).hint(hint).fact("candidates", candidates))
    }

    /// A name that nothing has: a driver's, or one that is spelled a little otherwise.
    fn unknown_name(&self, name: &str) -> Error {
        let error = self.no_match("no device has that name");
        if !name.starts_with('.') && self.sysfs.exists(&format!("bus/pci/drivers/{name}")) {
            return error.hint(format!("it is a driver: driver:{name} means its functions"));
        }
        let all = self.names_of_all().and_then(|names| self.near(name, names));
        error.hint(hint("", &all.unwrap_or_default(), ADDRESS))
    }

    /// The names in all classes.
    fn names_of_all(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for class in names(self.sysfs, "class")? {
            all.extend(names(self.sysfs, &format!("class/{class}"))?);
        }
        order::sort(&mut all);
        all.dedup();
        Ok(all)
    }

    /// Of these names those that are near one and lead to a PCI function.
    fn near(&self, wanted: &str, names: Vec<String>) -> Result<Vec<String>> {
        let mut near = near(wanted, names);
        let leads = |name: &String| {
            let path = self.in_any(name, &|_| true)?;
            path.map_or(Ok(false), |path| Ok(!bottoms(self.sysfs, &path)?.is_empty()))
        };
        let leads: Vec<bool> = near.iter().map(leads).collect::<Result<_>>()?;
        let mut leads = leads.into_iter();
        near.retain(|_| leads.next() == Some(true));
        Ok(near)
    }

    fn sysfs_path(&self, text: &str) -> Result<Vec<String>> {
        let path = text.trim_start_matches("/sys/").trim_end_matches('/');
        if functions_of(&[path.to_owned()]).is_empty() {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            let Some(path) = target(self.sysfs, directory, name)? else {
                return Err(self.no_match("that path does not lead to a PCI function"));
            };
            return self.bottoms(&[path]);
        }
        Ok(vec![path.to_owned()])
    }

    fn node(&self, node: &str) -> Result<Vec<String>> {
        let by_number = if self.sysfs.is_dump() { None } else { node_by_number(node) };
        let path = match by_number {
            Some((directory, number)) => match target(self.sysfs, directory, &number)? {
                None if number.starts_with(NVIDIA) => self.nvidia(node)?,
                found => found,
            },
            // A node can be missing where its device is not: in a container, or in a dump.
            None => self.node_by_name(node)?,
        };
        match path {
            Some(path) => self.bottoms(&[path]),
            None if self.sysfs.is_dump() || !Path::new(node).exists() => {
                let name = node.trim_start_matches("/dev/");
                let near = self.names_of_all().and_then(|names| self.near(name, names)).unwrap_or_default();
                Err(self.no_match("no such device node").hint(hint(
                    "/dev/",
                    &near,
                    "pcictl list shows the names of disks and interfaces",
                )))
            }
            None => Err(self.no_match("not the node of a device in sysfs")),
        }
    }

    /// The directory of a device by where its node is, as the kernel and udev name them.
    fn node_by_name(&self, node: &str) -> Result<Option<String>> {
        let name = node.trim_start_matches("/dev/");
        match name.rsplit_once('/') {
            Some(("mapper", name)) => self.mapped(name),
            Some(("dri", name)) => self.in_class("drm", name),
            Some(("snd", name)) => self.in_class("sound", name),
            Some(("vfio/devices", name)) => self.in_class("vfio-dev", name),
            Some(("vfio", group)) => self.group(group),
            Some(("infiniband", name)) => self.in_any(name, &|class| class.starts_with("infiniband_")),
            Some((class @ ("input" | "accel" | "bsg"), name)) => self.in_class(class, name),
            Some((directory, name)) if directory.starts_with("bus/usb/") => self.usb(&directory[8..], name),
            Some((directory, _)) if directory.starts_with("disk/by-") => {
                let link = self.sysfs.files().link(node.trim_start_matches('/')).ok().flatten();
                link.map_or(Ok(None), |link| self.in_class("block", last_step(&link)))
            }
            _ if name.starts_with("nvidia") => self.nvidia(node),
            _ => self.in_any(&name.replace('/', "!"), &|class| class != "net"),
        }
    }

    fn in_any(&self, name: &str, is_wanted: &dyn Fn(&str) -> bool) -> Result<Option<String>> {
        for class in names(self.sysfs, "class")?.iter().filter(|class| is_wanted(class)) {
            if let Some(path) = self.in_class(class, name)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// A device of dm by its own name.
    fn mapped(&self, wanted: &str) -> Result<Option<String>> {
        for name in names(self.sysfs, "class/block")?.iter().filter(|name| name.starts_with("dm-")) {
            let Some(path) = self.in_class("block", name)? else { continue };
            if self.sysfs.read(&format!("{path}/dm/name")).ok().flatten().as_deref().map(str::trim) == Some(wanted) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// An IOMMU group, which has a node only while one of its functions is bound to VFIO.
    fn group(&self, group: &str) -> Result<Option<String>> {
        self.in_class("vfio", group)
    }

    fn usb(&self, bus: &str, device: &str) -> Result<Option<String>> {
        let (Ok(bus), Ok(device)) = (bus.parse::<u32>(), device.parse::<u32>()) else { return Ok(None) };
        if !(1..=1024).contains(&bus) || !(1..=128).contains(&device) {
            return Ok(None);
        }
        // drivers/usb/core/usb.c, usb_new_device.
        target(self.sysfs, "dev/char", &format!("189:{}", (bus - 1) * 128 + device - 1))
    }

    /// NVIDIA's own driver tells sysfs nothing of its nodes, and which is whose below /proc/driver.
    fn nvidia(&self, node: &str) -> Result<Option<String>> {
        const GPUS: &str = "driver/nvidia/gpus";
        let Ok(Some(proc)) = Procfs::open(self.sysfs.files()) else { return Ok(None) };
        let Some(minor) = node.strip_prefix("/dev/nvidia").and_then(|minor| minor.parse::<u32>().ok()) else {
            return Ok(None);
        };
        for name in proc.names(GPUS).ok().flatten().unwrap_or_default() {
            let text = proc.text(&format!("{GPUS}/{name}/information")).ok().flatten().unwrap_or_default();
            let theirs = text.lines().find_map(|line| line.strip_prefix("Device Minor:")).map(str::trim);
            if theirs.and_then(|minor| minor.parse().ok()) == Some(minor) {
                return target(self.sysfs, "bus/pci/devices", &name);
            }
        }
        Ok(None)
    }

    /// NVMe controllers say their serial number; udev makes names of those of other disks.
    fn with_serial(&self, serial: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in names(self.sysfs, "class/nvme")? {
            let Some(path) = self.in_class("nvme", &name)? else { continue };
            if self.sysfs.read(&format!("{path}/serial")).ok().flatten().as_deref().map(str::trim) == Some(serial) {
                found.push(path);
            }
        }
        let ending = format!("_{serial}");
        let own = format!("virtio-{serial}");
        found.extend(self.by_id(&|id| id.ends_with(&ending) || id == own)?);
        if found.is_empty() {
            return Err(self.no_match("no disk or controller has that serial number").hint(ADDRESS));
        }
        self.bottoms(&found)
    }

    /// The disks whose name in /dev/disk/by-id fits.
    fn by_id(&self, fits: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
        const IDS: &str = "dev/disk/by-id";
        let files = self.sysfs.files();
        let mut found = Vec::new();
        for id in files.names(IDS).ok().flatten().unwrap_or_default().iter().filter(|id| fits(id)) {
            if let Some(link) = files.link(&format!("{IDS}/{id}")).ok().flatten() {
                found.extend(self.in_class("block", last_step(&link))?);
            }
        }
        Ok(found)
    }

    fn with_wwn(&self, text: &str) -> Result<Vec<String>> {
        let wanted = bare_wwn(text);
        let read = |path: String| self.sysfs.read(&path).ok().flatten().is_some_and(|name| bare_wwn(&name) == wanted);
        let mut found = self.by_id(&|id| id.strip_prefix("wwn-").is_some_and(|name| bare_wwn(name) == wanted))?;
        for name in names(self.sysfs, "class/block")? {
            let Some(path) = self.in_class("block", &name)? else { continue };
            // Of NVMe it is the disk's own, of SCSI that of the device two steps above (drivers/scsi/scsi_sysfs.c).
            let device = path.split("/block/").next().unwrap_or_default();
            if read(format!("{path}/wwid")) || device != path && read(format!("{device}/wwid")) {
                found.push(path);
            }
        }
        for name in names(self.sysfs, "class/fc_host")? {
            let Some(path) = self.in_class("fc_host", &name)? else { continue };
            if read(format!("{path}/port_name")) {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Err(self.no_match("no disk or port has that worldwide name").hint(ADDRESS));
        }
        self.bottoms(&found)
    }

    /// What is mounted at a mount point of pcictl's own namespace.
    fn mounted(&self, point: &str) -> Result<Vec<String>> {
        let proc = Procfs::open(self.sysfs.files()).map_err(|error| Error::io("/proc", &error))?;
        let missing = || self.no_match("nothing is mounted there").hint("findmnt shows what is mounted where");
        let proc = proc.ok_or_else(missing)?;
        let own = if proc.is_dump() { proc.pids().ok().and_then(|pids| pids.first().copied()) } else { None };
        let table = own.map_or_else(|| "self/mountinfo".to_owned(), |pid| format!("{pid}/mountinfo"));
        let text = proc.text(&table).map_err(|error| Error::io(format!("/proc/{table}"), &error))?.unwrap_or_default();
        let wanted = if point == "/" { point } else { point.trim_end_matches('/') };
        let at_point = |line: &&str| line.split(' ').nth(4).is_some_and(|at| unescape(at) == wanted);
        // What was mounted last lies on top.
        let line = text.lines().rfind(at_point).ok_or_else(missing)?;
        let number = line.split(' ').nth(2).unwrap_or_default();
        let mut rest = line.split_once(" - ").map_or("", |(_, rest)| rest).split(' ');
        let (kind, source) = (rest.next().unwrap_or_default(), rest.next().map(unescape).unwrap_or_default());
        let mut found: Vec<String> = target(self.sysfs, "dev/block", number)?.into_iter().collect();
        if found.is_empty() && source.starts_with("/dev/") {
            found.extend(self.members(&source)?);
        }
        if found.is_empty() {
            return Err(self
                .no_match(&format!("{source} ({kind}) is on no disk"))
                .hint("name the device that it is on"));
        }
        self.bottoms(&found)
    }

    /// All disks of the btrfs that one of its disks is the source of; else that disk.
    fn members(&self, source: &str) -> Result<Vec<String>> {
        let Some(path) = (match node_by_number(source).filter(|_| !self.sysfs.is_dump()) {
            Some((directory, number)) => target(self.sysfs, directory, &number)?,
            None => self.node_by_name(source)?,
        }) else {
            return Ok(Vec::new());
        };
        for name in names(self.sysfs, "fs/btrfs")? {
            let directory = format!("fs/btrfs/{name}/devices");
            let members = names(self.sysfs, &directory)?;
            if members.iter().any(|member| member == last_step(&path)) {
                let mut found = Vec::new();
                for member in &members {
                    found.extend(self.in_class("block", member)?);
                }
                return Ok(found);
            }
        }
        Ok(vec![path])
    }
}

/// What to type, where a name means nothing.
const ADDRESS: &str = "an address looks like 0000:03:00.0";

/// The major number of /dev/nvidiaN.
const NVIDIA: &str = "195:";

/// A worldwide name without what says how it is written.
fn bare_wwn(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let text = ["naa.", "eui.", "uuid.", "0x"]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    text.replace([':', '-'], "")
}

/// `dev/block`, `8:0` and its like, for a node of this machine.
fn node_by_number(node: &str) -> Option<(&'static str, String)> {
    use nix::sys::stat::{SFlag, major, minor};
    let metadata = std::fs::metadata(Path::new(node)).ok()?;
    let directory = match SFlag::from_bits_truncate(metadata.st_mode()) & SFlag::S_IFMT {
        SFlag::S_IFBLK => "dev/block",
        SFlag::S_IFCHR => "dev/char",
        _ => return None,
    };
    let number = metadata.st_rdev();
    Some((directory, format!("{}:{}", major(number), minor(number))))
}
