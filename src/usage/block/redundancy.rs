//! What has several paths or copies, and what is left of them when some are lost.
//!
//! dm-multipath, native NVMe multipath and md say in sysfs what they are made of; dm-multipath is asked itself as well
//! where it may be, for it stops using a path before anybody else notices. What is not known to be healthy does not count.
//! Mirrors of LVM, btrfs, bcachefs and ZFS tell nobody in sysfs: they count as if they had one copy.

use crate::host::sysfs::{Sysfs, follow};
use crate::host::text::is_number;
use crate::pci::address::PciAddress;
use crate::usage::block::layers::dm_uuid;
use crate::usage::block::multipath;
use crate::usage::scope::{Device, Inventory};

/// What is left of a device that has several paths or copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remainder {
    /// Whether it goes on without those that are lost.
    pub(crate) survives: bool,
    /// In words: `1 of 2 paths, the other is 0000:82:00.0 and healthy`, `the last path`.
    pub(crate) text: String,
}

/// What a device is made of.
struct Members {
    one: &'static str,
    many: &'static str,
    /// How many there should be.
    total: usize,
    lost: usize,
    /// Where those are that stay and work.
    healthy: Vec<String>,
    /// What is wrong with the others that stay.
    sick: Vec<String>,
    /// How many must stay.
    needed: usize,
}

/// What is left of a device, if it is one that has several paths or copies; `is_lost` tells it of those that it stands on,
/// and `gone` are the functions through which its own controllers are lost.
pub(crate) fn remainder(
    sysfs: &Sysfs,
    inventory: &Inventory,
    device: &Device,
    is_lost: &dyn Fn(usize) -> bool,
    gone: &[PciAddress],
) -> Option<Remainder> {
    let view = View { sysfs, inventory, device, is_lost };
    let members = match &device.name {
        name if name.starts_with("dm-") && dm_uuid(sysfs, device).starts_with("mpath-") => view.multipath(),
        name if name.starts_with("md") => view.raid()?,
        _ if device.path.contains("/nvme-subsystem/") => view.controllers(gone),
        _ => return None,
    };
    (members.lost > 0).then(|| members.judge())
}

impl Members {
    fn judge(self) -> Remainder {
        let survives = self.healthy.len() >= self.needed && !self.healthy.is_empty();
        let text = if survives { self.what_stays() } else { self.what_ends() };
        Remainder { survives, text }
    }

    fn what_stays(&self) -> String {
        let of = format!("{} of {} {}", self.lost, self.total, self.many);
        match self.healthy.as_slice() {
            [only] if self.sick.is_empty() => format!("{of}, the other is {only} and healthy"),
            [only] => format!("{of}, of the others {only} is healthy"),
            all => format!("{of}, {} others are healthy: {}", all.len(), few(all)),
        }
    }

    fn what_ends(&self) -> String {
        let name = if self.lost == 1 { self.one.to_owned() } else { format!("{} {}", self.lost, self.many) };
        match (self.healthy.is_empty(), self.sick.is_empty()) {
            (true, true) => format!("the last {name}"),
            (true, false) => format!("the last {name}: {}", few(&self.sick)),
            (false, _) => format!(
                "{} of {} {}, of which {} must stay and {} would",
                self.lost,
                self.total,
                self.many,
                self.needed,
                self.healthy.len()
            ),
        }
    }
}

fn few(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut names = names.to_vec();
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

struct View<'a> {
    sysfs: &'a Sysfs,
    inventory: &'a Inventory,
    device: &'a Device,
    is_lost: &'a dyn Fn(usize) -> bool,
}

impl View<'_> {
    /// The paths of dm-multipath: what it stands on.
    fn multipath(&self) -> Members {
        let slaves = self.sysfs.listed(&format!("{}/slaves", self.device.path));
        let asked = multipath::paths(self.sysfs, self.device.number);
        let mut paths = Members::new("path", "paths", slaves.len());
        for name in slaves {
            let Some(index) = self.inventory.block_named(&name) else {
                paths.sick.push(format!("{name} is gone"));
                continue;
            };
            let path = &self.inventory.blocks[index];
            let is_used = asked.as_ref().and_then(|paths| paths.get(&path.number));
            let health = match (is_used, self.health(path)) {
                (Some(false), _) => Health::Sick(format!("{name} has failed")),
                (Some(true), Health::Unknown) => Health::Healthy,
                // What sysfs says of the disk is known too late to speak for the path.
                (None, Health::Healthy) if !self.sysfs.is_dump() => Health::Unknown,
                (_, health) => health,
            };
            paths.add((self.is_lost)(index), &place(path), &name, health);
        }
        paths
    }

    /// The members of an md array, as many as it needs (md/level, md/raid_disks, md/dev-*/state; drivers/md/md.c shows them
    /// without a lock).
    fn raid(&self) -> Option<Members> {
        let directory = format!("{}/md", self.device.path);
        let level = self.sysfs.value(&format!("{directory}/level"))?;
        let total: usize = self.sysfs.value(&format!("{directory}/raid_disks"))?.split(' ').next()?.parse().ok()?;
        let may_miss = match level.as_str() {
            "raid1" => total.saturating_sub(1),
            "raid10" if self.copies(&directory) > 1 => 1,
            "raid4" | "raid5" => 1,
            "raid6" => 2,
            _ => return None,
        };
        let (one, many) = if level == "raid1" { ("copy", "copies") } else { ("member", "members") };
        let mut members = Members::new(one, many, total);
        members.needed = total.saturating_sub(may_miss).max(1);
        for entry in self.sysfs.listed(&directory) {
            let Some(name) = entry.strip_prefix("dev-") else { continue };
            let state = self.sysfs.value(&format!("{directory}/{entry}/state")).unwrap_or_default();
            let Some(index) = self.inventory.block_named(name) else { continue };
            let is_lost = (self.is_lost)(index);
            let has = |word: &str| state.split(',').any(|state| state == word);
            if has("journal") && is_lost {
                // Without its journal an array takes no more writes (raid5-cache.c).
                members.needed = usize::MAX;
            }
            let health = match self.health(&self.inventory.blocks[index]) {
                _ if has("faulty") || has("blocked") || !has("in_sync") => {
                    Health::Sick(format!("{name} is {}", if state.is_empty() { "unknown" } else { &state }))
                }
                Health::Unknown => Health::Healthy,
                health => health,
            };
            members.add(is_lost, &place(&self.inventory.blocks[index]), name, health);
        }
        Some(members)
    }

    /// How many copies RAID 10 keeps: near ones in the lowest byte of its layout, far ones in the next (raid10.c).
    fn copies(&self, directory: &str) -> u32 {
        let layout: u32 =
            self.sysfs.value(&format!("{directory}/layout")).and_then(|text| text.parse().ok()).unwrap_or_default();
        (layout & 0xff) * (layout >> 8 & 0xff)
    }

    /// The controllers that lead to a disk of native NVMe multipath.
    fn controllers(&self, gone: &[PciAddress]) -> Members {
        let directory = self.device.path.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
        let mut controllers = Members::new("path", "paths", 0);
        for name in self.sysfs.listed(&directory) {
            let is_controller = name.strip_prefix("nvme").is_some_and(is_number);
            let target =
                is_controller.then(|| self.sysfs.link(&format!("{directory}/{name}")).ok().flatten()).flatten();
            let Some(path) = target.and_then(|target| follow(&directory, &target)) else { continue };
            // Not every controller of the subsystem has this namespace.
            let Some(hidden) = self.sysfs.listed(&path).into_iter().find(|entry| is_path_of(entry, &self.device.name))
            else {
                continue;
            };
            controllers.total += 1;
            let address = path.rsplit('/').find_map(PciAddress::from_sysfs_name);
            let state = self.sysfs.value(&format!("{path}/state")).unwrap_or_default();
            let access = self.sysfs.value(&format!("{path}/{hidden}/ana_state"));
            let health = match (state.as_str(), access.as_deref()) {
                ("live", None | Some("" | "optimized" | "non-optimized")) => Health::Healthy,
                ("live", Some(access)) => Health::Sick(format!("{name} is {access}")),
                (state, _) => Health::Sick(format!("{name} is {}", if state.is_empty() { "unknown" } else { state })),
            };
            let is_lost = address.is_some_and(|address| gone.contains(&address));
            controllers.add(
                is_lost,
                &address.map_or_else(|| name.clone(), |address| address.to_string()),
                &name,
                health,
            );
        }
        controllers
    }

    /// Whether a disk works, as far as its transport says so.
    fn health(&self, disk: &Device) -> Health {
        let Some((above, _)) = disk.path.split_once("/block/") else { return self.controller_health(disk) };
        let Some(state) = self.sysfs.value(&format!("{above}/state")) else { return Health::Unknown };
        if state != "running" {
            return Health::Sick(format!("{} is {state}", disk.name));
        }
        let mut above = above;
        while let Some((parent, step)) = above.rsplit_once('/') {
            let (file, fine) = match step {
                _ if step.starts_with("rport-") => (format!("fc_remote_ports/{step}/port_state"), "Online"),
                _ if step.starts_with("session") => (format!("iscsi_session/{step}/state"), "LOGGED_IN"),
                _ if step.starts_with("host") => (format!("fc_host/{step}/port_state"), "Online"),
                _ => (String::new(), ""),
            };
            let state = if file.is_empty() { None } else { self.sysfs.value(&format!("{above}/{file}")) };
            if let Some(state) = state.filter(|state| state != fine) {
                return Health::Sick(format!("{} is behind {step}, which is {state}", disk.name));
            }
            if step.starts_with("host") {
                break;
            }
            above = parent;
        }
        Health::Healthy
    }

    /// An NVMe disk hangs right below its controller.
    fn controller_health(&self, disk: &Device) -> Health {
        let mut above = disk.path.as_str();
        while let Some((parent, step)) = above.rsplit_once('/') {
            if step.starts_with("nvme") && parent.ends_with("/nvme") {
                return match self.sysfs.value(&format!("{above}/state")).as_deref() {
                    Some("live") => Health::Healthy,
                    Some(state) => Health::Sick(format!("{step} is {state}")),
                    None => Health::Unknown,
                };
            }
            above = parent;
        }
        Health::Unknown
    }
}

/// Whether `nvme0c1n1` is a path to `nvme0n1`.
fn is_path_of(entry: &str, head: &str) -> bool {
    let parts = entry.split_once('c').and_then(|(subsystem, rest)| Some((subsystem, rest.split_once('n')?.1)));
    parts.is_some_and(|(subsystem, namespace)| head == format!("{subsystem}n{namespace}"))
}

#[derive(Debug)]
enum Health {
    Healthy,
    Sick(String),
    Unknown,
}

impl Members {
    fn new(one: &'static str, many: &'static str, total: usize) -> Self {
        Self { one, many, total, lost: 0, healthy: Vec::new(), sick: Vec::new(), needed: 1 }
    }

    fn add(&mut self, is_lost: bool, place: &str, name: &str, health: Health) {
        match health {
            _ if is_lost => self.lost += 1,
            Health::Healthy => self.healthy.push(place.to_owned()),
            Health::Sick(why) => self.sick.push(why),
            Health::Unknown => self.sick.push(format!("whether {name} works cannot be told")),
        }
    }
}

/// Where a disk is: its function, or its name where it has none.
fn place(device: &Device) -> String {
    let address = device.path.rsplit('/').find_map(PciAddress::from_sysfs_name);
    address.map_or_else(|| device.name.clone(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::usage::scope::Scope;

    const DISK: &str = "devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sdb";
    const MULTIPATH: &str = "devices/virtual/block/dm-0";
    const ARRAY: &str = "devices/virtual/block/md0";

    /// A machine with a disk, an array that knows it, and a device with paths of which it is the only one.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let directory = |path: &str| fs::create_dir_all(root.path().join("sys").join(path)).unwrap();
        let file = |path: String, text: &str| fs::write(root.path().join("sys").join(path), text).unwrap();
        for path in [DISK, &format!("{MULTIPATH}/slaves/sdb"), &format!("{ARRAY}/md/dev-sdb"), "dev/block"] {
            directory(path);
        }
        symlink(format!("../../{DISK}"), root.path().join("sys/dev/block/8:16")).unwrap();
        file(format!("{}/state", DISK.split_once("/block/").unwrap().0), "running\n");
        for (name, text) in [("level", "raid1"), ("raid_disks", "2"), ("dev-sdb/state", "in_sync")] {
            file(format!("{ARRAY}/md/{name}"), &format!("{text}\n"));
        }
        root
    }

    fn device(path: &str) -> Device {
        let name = path.rsplit('/').next().unwrap().to_owned();
        Device { name, path: path.to_owned(), number: (4095, 1_048_575) }
    }

    #[test]
    fn what_sysfs_says_of_a_disk_does_not_speak_for_a_path_of_a_machine() {
        let root = machine();
        let dumped = Sysfs::open(Some(root.path())).unwrap();
        let of_machine = Sysfs::mounted(fs::File::open(root.path().join("sys")).unwrap().into()).unwrap();
        let sick = |sysfs: &Sysfs| {
            let (inventory, device) = (Inventory::read(sysfs, &Scope::default()), device(MULTIPATH));
            View { sysfs, inventory: &inventory, device: &device, is_lost: &|_| false }.multipath().sick
        };
        assert_eq!(sick(&dumped), [""; 0]);
        assert_eq!(sick(&of_machine), ["whether sdb works cannot be told"]);
    }

    #[test]
    fn a_disk_is_as_sick_as_its_session() {
        let root = machine();
        let directory = root.path().join("sys/devices/platform/host3/session1/iscsi_session/session1");
        fs::create_dir_all(&directory).unwrap();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let sick = |state: &str| {
            fs::write(directory.join("state"), format!("{state}\n")).unwrap();
            let (inventory, disk) = (Inventory::default(), device(DISK));
            match (View { sysfs: &sysfs, inventory: &inventory, device: &disk, is_lost: &|_| false }).health(&disk) {
                Health::Sick(why) => Some(why),
                _ => None,
            }
        };
        assert_eq!(sick("LOGGED_IN"), None);
        assert_eq!(sick("FAILED").as_deref(), Some("sdb is behind session1, which is FAILED"));
    }

    #[test]
    fn an_array_that_loses_nothing_has_no_remainder() {
        let root = machine();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let inventory = Inventory::read(&sysfs, &Scope::default());
        let left = |is_lost: bool| remainder(&sysfs, &inventory, &device(ARRAY), &|_| is_lost, &[]);
        assert_eq!(left(false), None);
        assert_eq!(left(true).unwrap().text, "the last copy");
    }

    #[test]
    fn the_only_healthy_one_is_told_from_those_that_are_not() {
        let members = |sick: &[&str]| {
            let mut members = Members::new("copy", "copies", 3);
            members.lost = 1;
            members.healthy.push("0000:82:00.0".to_owned());
            members.sick.extend(sick.iter().map(|name| (*name).to_owned()));
            members.what_stays()
        };
        assert_eq!(members(&[]), "1 of 3 copies, the other is 0000:82:00.0 and healthy");
        assert_eq!(members(&["sdb is faulty"]), "1 of 3 copies, of the others 0000:82:00.0 is healthy");
    }

    #[test]
    fn four_are_named_and_the_others_counted() {
        let names = |all: &[&str]| few(&all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["a", "a", "b"]), "a, b");
        assert_eq!(names(&["a", "b", "c", "d"]), "a, b, c, d");
        assert_eq!(names(&["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
    }

    #[test]
    fn only_what_has_paths_or_copies_has_a_remainder() {
        let root = machine();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let inventory = Inventory::read(&sysfs, &Scope::default());
        let gone = ["0000:01:00.0".parse().unwrap()];
        let left = |path: &str| remainder(&sysfs, &inventory, &device(path), &|_| true, &gone).map(|left| left.text);
        let uuid = |text: &str| {
            fs::create_dir_all(root.path().join("sys").join(MULTIPATH).join("dm")).unwrap();
            fs::write(root.path().join("sys").join(MULTIPATH).join("dm/uuid"), text).unwrap();
        };
        assert_eq!(left(MULTIPATH), None, "of a device of dm nothing is known");
        uuid("LVM-abc\n");
        assert_eq!(left(MULTIPATH), None);
        uuid("mpath-abc\n");
        assert_eq!(left(MULTIPATH).as_deref(), Some("the last path"));
        assert_eq!(left(ARRAY).as_deref(), Some("the last copy"));
        // An array says what it is in its own directory, and no other device does.
        fs::create_dir_all(root.path().join("sys/devices/virtual/block/sdq")).unwrap();
        symlink("../md0/md", root.path().join("sys/devices/virtual/block/sdq/md")).unwrap();
        assert_eq!(left("devices/virtual/block/sdq"), None);
        // Controllers share what is below a subsystem of NVMe, and nothing else.
        let directory = |path: &str| fs::create_dir_all(root.path().join("sys").join(path)).unwrap();
        directory("devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0c0n1");
        let disk = |above: &str| {
            directory(above);
            let controller = root.path().join("sys").join(above).join("nvme0");
            symlink("../../../pci0000:00/0000:01:00.0/nvme/nvme0", controller).unwrap();
            left(&format!("{above}/nvme0n1"))
        };
        assert_eq!(disk("devices/virtual/nvme-subsystem/nvme-subsys0").as_deref(), Some("the last path"));
        assert_eq!(disk("devices/virtual/elsewhere/nvme-subsys0"), None);
    }
}
