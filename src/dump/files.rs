//! Copies the rest: the site's list of protected devices, journals, the ledger, links to disks, where a crash dump goes;
//! and makes small tables of names and of modules, with what the functions of the dump need of them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::dump::collector::Collector;
use crate::dump::format::{UNREADABLE, changed_lines};
use crate::error::{Result, plain};
use crate::host::bounded::BoundedReader;
use crate::host::layers::LAYERS;
use crate::host::modalias::Modules;
use crate::host::pci_ids::PciIds;
use crate::host::walk::{EntryKind, walk};
use crate::order;
use crate::state::driverctl;
use crate::state::ledger::removal_file::RemovalFile;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;
use crate::usage::block::zfs;
use crate::usage::protected;

/// As long as files of the ledger may be; journals are shorter.
const LONGEST: usize = 16 << 20;

/// Lists that people write.
const LIST: usize = 1 << 20;

/// The ids of functions: vendor, device and class.
type Names = Vec<(u16, u16, u32)>;

/// Vendor and device, and those of the subsystem.
type Subsystems = BTreeSet<(u16, u16, u16, u16)>;

/// Stands for a device where only the vendor's name is asked for.
const NO_DEVICE: u16 = u16::MAX;

/// Copies all that lies neither in /sys nor in /proc.
///
/// # Errors
/// The dump cannot be written.
pub(crate) fn copy(collector: &mut Collector) -> Result<()> {
    configuration(collector)?;
    persistent_overrides(collector)?;
    crash_target(collector)?;
    pool_cache(collector)?;
    disk_links(collector)?;
    let mut names = Names::new();
    let machine = collector.machine;
    let (run, state) = (machine.run.clone(), machine.state.clone());
    if collector.names.is_some() {
        let note = "journals and the history of the ledger are left out: names in them cannot be replaced one by one";
        collector.summary.notes.push(note.to_owned());
    } else {
        own(collector, &run.join("journal"), "run/pcictl/journal", |name| name.ends_with(".journal"), &mut names)?;
        own(collector, &state.join("operations"), "var/lib/pcictl/operations", is_json, &mut names)?;
    }
    own(collector, &state.join("ledger"), "var/lib/pcictl/ledger", is_json, &mut names)?;
    tables(collector, names)
}

fn is_json(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with("corrupt/")
}

/// Paths below the root of all plain files and links right in a directory or deeper.
fn listed(collector: &mut Collector, directory: &str) -> Result<Vec<(String, EntryKind)>> {
    if !collector.is_inside(directory) {
        collector.miss(&format!("/{directory}"), "a link on its way leads out of the tree");
        return Ok(Vec::new());
    }
    let (mut found, mut trouble) = (Vec::new(), Vec::new());
    let mut visit = |path: &str, kind| {
        if kind != EntryKind::Directory {
            found.push((format!("{directory}/{path}"), kind));
        }
        Ok(true)
    };
    let root = collector.machine.sysfs.root().join(directory);
    walk(&root, &mut visit, &mut |path, error| trouble.push((path.display().to_string(), plain(error))))?;
    for (path, why) in trouble {
        collector.miss(&path, why);
    }
    Ok(found)
}

/// Overrides that driverctl keeps; the names of its files are addresses, of functions that are not copied, too.
fn persistent_overrides(collector: &mut Collector) -> Result<()> {
    for (path, kind) in listed(collector, driverctl::DIRECTORY)? {
        let address = path.rsplit('/').next().and_then(driverctl::address);
        if kind == EntryKind::File && address.is_some_and(|address| collector.scope.has(address)) {
            collector.copy(&path, LIST)?;
        }
    }
    Ok(())
}

/// Whether a file of configuration is a link to /dev/null, which masks another; an empty one masks it as well.
fn masks(collector: &Collector, path: &str) -> bool {
    collector.machine.sysfs.files().link(path).ok().flatten().as_deref() == Some("/dev/null")
}

/// What a site has set, and its own list. Reasons are for those who know the site.
fn configuration(collector: &mut Collector) -> Result<()> {
    for layer in LAYERS {
        let settings = format!("{layer}/pcictl.conf");
        if masks(collector, &settings) {
            collector.put(&settings, b"")?;
        } else if collector.is_inside(&settings) {
            collector.copy(&settings, LIST)?;
        }
        protected_lists(collector, &format!("{layer}/{}", protected::DIRECTORY))?;
    }
    Ok(())
}

fn protected_lists(collector: &mut Collector, directory: &str) -> Result<()> {
    for (path, kind) in listed(collector, directory)? {
        if !path.ends_with(".conf") || path[directory.len() + 1..].contains('/') {
            continue;
        }
        if kind == EntryKind::Link && masks(collector, &path) {
            collector.put(&path, b"")?;
        } else if kind != EntryKind::File {
            collector.miss(&format!("/{path}"), "it is no plain file");
            collector.bare(&path, UNREADABLE)?;
        } else if collector.names.is_none() {
            collector.copy(&path, LIST)?;
        } else if let Some(text) = collector.read_text(&path, LIST) {
            let lines = changed_lines(&text, &|line| {
                let line = line.trim();
                let selector = line.split(char::is_whitespace).next().filter(|_| !line.starts_with('#'))?;
                (!selector.is_empty()).then(|| format!("{selector} reason"))
            });
            collector.put(&path, lines.as_bytes())?;
        }
    }
    Ok(())
}

/// The lines of kdump's configuration that name a disk.
fn crash_target(collector: &mut Collector) -> Result<()> {
    let Some(text) = inside(collector, "etc/kdump.conf", LIST) else { return Ok(()) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = changed_lines(&text, &|line| {
        let second = line.split_whitespace().nth(1)?;
        let kinds = ["/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="];
        let names_disk = !line.trim().starts_with('#') && kinds.iter().any(|kind| second.starts_with(kind));
        names_disk.then(|| line.trim().to_owned())
    });
    if lines.is_empty() { Ok(()) } else { collector.put("etc/kdump.conf", lines.as_bytes()) }
}

/// The names of pools and the paths of disks in the cache of ZFS: the rest of it names the host.
fn pool_cache(collector: &mut Collector) -> Result<()> {
    let Some(bytes) = inside(collector, "etc/zfs/zpool.cache", LONGEST) else { return Ok(()) };
    let Some(procfs) = collector.machine.procfs() else { return Ok(()) };
    let named = zfs::pool_names(&bytes);
    let mut pools = procfs.names("spl/kstat/zfs").ok().flatten().unwrap_or_default();
    pools.retain(|pool| named.contains(pool));
    pools.sort_unstable();
    let mut paths = zfs::paths(&bytes);
    if let Some(names) = &collector.names {
        pools.iter_mut().for_each(|pool| *pool = names.name(pool));
        paths.iter_mut().for_each(|path| *path = names.path(path));
    }
    collector.put_replaced("etc/zfs/zpool.cache", &zfs::packed(&pools, &paths))
}

/// The names that udev gives to disks. Many hold a serial number.
fn disk_links(collector: &mut Collector) -> Result<()> {
    let is_anonymous = collector.names.is_some();
    for (path, kind) in listed(collector, "dev/disk")? {
        let names_nobody = ["dev/disk/by-path/", "dev/disk/by-partuuid/"].iter().any(|kind| path.starts_with(kind));
        if kind == EntryKind::Link && (names_nobody || !is_anonymous) {
            collector.copy_link(&path)?;
        }
    }
    if is_anonymous {
        let note =
            "links of /dev/disk/by-id, by-uuid and by-label are left out: they are made of serial numbers and names";
        collector.summary.notes.push(note.to_owned());
    }
    Ok(())
}

/// What pcictl wrote itself, wherever its directories are, to where they are by default.
fn own(collector: &mut Collector, from: &Path, to: &str, is_ours: fn(&str) -> bool, names: &mut Names) -> Result<()> {
    // Directories that the environment names are the operator's own; in a tree nothing may lead out of it.
    let below = from.strip_prefix(collector.machine.sysfs.root()).ok().and_then(Path::to_str).map(str::to_owned);
    if below.is_some_and(|below| !collector.is_inside(&below)) {
        collector.miss(&format!("/{to}"), "a link on its way leads out of the tree");
        return Ok(());
    }
    let Ok(mut reader) = BoundedReader::new(from, true) else { return Ok(()) };
    let (mut found, mut trouble) = (Vec::new(), Vec::new());
    let mut visit = |path: &str, kind| {
        if kind == EntryKind::File && is_ours(path) {
            found.push(path.to_owned());
        }
        Ok(path == "history")
    };
    walk(from, &mut visit, &mut |path, error| trouble.push((path.display().to_string(), plain(error))))?;
    collector.directory(to)?;
    for name in found {
        let path = format!("{to}/{name}");
        match reader.read(&name, LONGEST) {
            Ok(Some(bytes)) => entry(collector, &path, bytes, names)?,
            Ok(None) => {}
            Err(error) => trouble.push((from.join(&name).display().to_string(), plain(&error))),
        }
    }
    for (path, why) in trouble {
        collector.miss(&path, why);
    }
    Ok(())
}

fn entry(collector: &mut Collector, path: &str, bytes: Vec<u8>, names: &mut Names) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let removal = RemovalFile::parse(name, &bytes).ok().filter(|removal| !removal.entries.is_empty());
    for record in removal.iter().flat_map(|removal| &removal.entries).map(|device| &device.record) {
        let number = |text: &str| u16::from_str_radix(text, 16).ok();
        let ids = record.ids.as_deref().and_then(|ids| ids.split_once(':'));
        if let Some((Some(vendor), Some(device))) = ids.map(|(vendor, device)| (number(vendor), number(device))) {
            let class = record.class.as_deref().and_then(|class| u32::from_str_radix(class, 16).ok());
            names.push((vendor, device, class.unwrap_or_default()));
        }
    }
    match (&collector.names, removal) {
        (None, _) => collector.put_replaced(path, &bytes),
        (Some(anonymizer), Some(mut removal)) => {
            removal.entries.iter_mut().for_each(|device| anonymizer.record(&mut device.record));
            removal.past.clear();
            collector.put_replaced(path, &removal.bytes().unwrap_or_default())
        }
        // A damaged file, or history.
        (Some(_), None) => Ok(()),
    }
}

/// Names of what is in the dump, and the modules for it.
fn tables(collector: &mut Collector, mut names: Names) -> Result<()> {
    let sysfs = &collector.machine.sysfs;
    let fields = Fields { ids: IdsOf::Everyone, driver: true, ..Fields::default() };
    let (mut aliases, mut subsystems) = (BTreeSet::new(), BTreeSet::new());
    if let Ok(topology) = Topology::load_all(sysfs, fields) {
        for id in topology.by_address() {
            let function = topology.function(id);
            if !collector.scope.has(function.address) {
                continue;
            }
            if let Some(ids) = function.ids {
                names.push((ids.vendor, ids.device, ids.class));
                names.push((ids.subsystem_vendor, NO_DEVICE, ids.class));
                subsystems.insert((ids.vendor, ids.device, ids.subsystem_vendor, ids.subsystem_device));
            }
            aliases.extend(sysfs.modalias(function.address));
        }
    }
    order::sort(&mut names);
    names.dedup();
    let text = ids(&mut PciIds::load(sysfs.files()), &names, &subsystems);
    if !text.is_empty() {
        collector.put_replaced("usr/share/misc/pci.ids", text.as_bytes())?;
    }
    let mut modules = Modules::new(sysfs.files());
    let mut lines: Vec<String> = Vec::new();
    for alias in &aliases {
        for module in modules.for_alias(alias) {
            lines.push(format!("alias {alias} {module}\n"));
        }
    }
    let release = modules.release().to_owned();
    if lines.is_empty() || release.contains('/') || release.is_empty() {
        return Ok(());
    }
    collector.put_replaced(&format!("lib/modules/{release}/modules.alias"), lines.concat().as_bytes())
}

/// The part of pci.ids that names these functions.
fn ids(pci_ids: &mut PciIds, names: &Names, subsystems: &Subsystems) -> String {
    let mut text = String::new();
    let (mut last, mut last_device) = (None, None);
    // They are sorted: all of a vendor stand together.
    for (vendor, device, _) in names {
        let Some(name) = pci_ids.vendor(*vendor) else { continue };
        if last.replace(*vendor) != Some(*vendor) {
            text.push_str(&format!("{vendor:04x}  {name}\n"));
        }
        if let Some(name) = pci_ids.device(*vendor, *device) {
            let line = format!("\t{device:04x}  {name}\n");
            if last_device.replace((*vendor, *device)) != Some((*vendor, *device)) {
                text.push_str(&line);
                let own = (*vendor, *device, 0, 0)..=(*vendor, *device, u16::MAX, u16::MAX);
                for (_, _, subsystem_vendor, subsystem_device) in subsystems.range(own) {
                    if let Some(name) = pci_ids.own_subsystem(*vendor, *device, *subsystem_vendor, *subsystem_device) {
                        text.push_str(&format!("\t\t{subsystem_vendor:04x} {subsystem_device:04x}  {name}\n"));
                    }
                }
            }
        }
    }
    let mut classes: Vec<u32> = names.iter().map(|(_, _, class)| class >> 8).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut last = None;
    for class in classes {
        let [_, _, base, sub] = class.to_be_bytes();
        let Some(name) = pci_ids.base_class(base) else { continue };
        if last.replace(base) != Some(base) {
            text.push_str(&format!("C {base:02x}  {name}\n"));
        }
        if let Some(name) = pci_ids.sub_class(base, sub) {
            text.push_str(&format!("\t{sub:02x}  {name}\n"));
        }
    }
    text
}

/// A file below the root, unless a link on its way leads out of a tree.
fn inside(collector: &mut Collector, path: &str, limit: usize) -> Option<Vec<u8>> {
    if collector.is_inside(path) { collector.read(path, limit) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_names_reads_like_the_whole() {
        let text = "103c  HP\n8086  Intel Corporation\n\t10d3  82574L\n\t\t103c 3250  NC112T\n\t\t103c 3251  Other\n\t10d4  other\n10de  NVIDIA\nC 02  Network controller\n\t00  Ethernet controller\n\t80  Other\n";
        let mut whole = PciIds::from_text(text.as_bytes().to_vec());
        let names = Names::from([(0x8086, 0x10d3, 0x02_0000), (0x1234, 1, 0xff_0000)]);
        let part = ids(&mut whole, &names, &Subsystems::from([(0x8086, 0x10d3, 0x103c, 0x3250)]));
        assert_eq!(
            part,
            "8086  Intel Corporation\n\t10d3  82574L\n\t\t103c 3250  NC112T\nC 02  Network controller\n\t00  Ethernet controller\n"
        );
        let mut part = PciIds::from_text(part.into_bytes());
        assert_eq!(part.class(0x02_0000), whole.class(0x02_0000));
        assert_eq!(part.class(0x02_8000).as_deref(), Some("Network controller"));
    }
}
