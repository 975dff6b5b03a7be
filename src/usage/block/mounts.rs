//! Mounts and swap: which of them stand on the disks of the functions.
//!
//! Anybody can mount in a namespace of his own, as often as the kernel lets him and under any name. So a mount counts by
//! its device number, or by its name if its file system is one that lies on block devices, and what is read of other
//! namespaces is looked at line by line and not kept.

use std::collections::{HashMap, HashSet};

use procfs_core::process::MountInfo;

use crate::host::procfs::Procfs;
use crate::host::procfs::texts::unescape;
use crate::host::sysfs::Sysfs;
use crate::usage::block::file_systems::{FileSystems, Kinds, Mount};
use crate::usage::block::holders::members;
use crate::usage::block::nodes::real_node;
use crate::usage::block::stack::{StackedDevice, Storage, holder};
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Inventory, number};
use crate::usage::shares::Shares;

/// So many mounts of one device in a namespace that is not pcictl's own are told each; of the others their number.
const TOLD: usize = 8;

/// A mount on one of the disks, and where it can be seen.
struct Found<'a> {
    mount: MountInfo,
    reached: &'a StackedDevice,
    of: Option<String>,
}

/// What the tables of mounts tell, line by line. Those of pcictl's own namespace come first and speak for copies in
/// others.
pub(crate) struct MountSurvey<'a> {
    sysfs: &'a Sysfs,
    proc: &'a Procfs,
    inventory: &'a Inventory,
    storage: &'a Storage,
    kinds: Kinds,
    pools: Vec<(String, Vec<String>)>,
    /// Which pool a disk is a member of.
    pool_of: HashMap<String, usize>,
    found: Vec<Found<'a>>,
    known: HashSet<(String, String)>,
    /// How many mounts of one device were found in the namespace that is being read.
    here: HashMap<String, usize>,
    of: Option<String>,
    more: Vec<User>,
    /// The first line that cannot be understood.
    unclear: Option<String>,
    file_systems: FileSystems,
    /// Mounts that lie on no disk.
    shares: Shares,
}

impl<'a> MountSurvey<'a> {
    /// For mounts on these disks.
    pub(crate) fn new(sysfs: &'a Sysfs, proc: &'a Procfs, inventory: &'a Inventory, storage: &'a Storage) -> Self {
        let pools = if storage.is_empty() { Vec::new() } else { members(sysfs) };
        let mut pool_of = HashMap::new();
        for (index, (_, devices)) in pools.iter().enumerate() {
            pool_of.extend(devices.iter().map(|device| (device.clone(), index)));
        }
        let kinds = Kinds::read(proc);
        let file_systems = FileSystems::new(&kinds, proc);
        Self {
            sysfs,
            proc,
            inventory,
            storage,
            kinds,
            pools,
            pool_of,
            found: Vec::new(),
            known: HashSet::new(),
            here: HashMap::new(),
            of: None,
            more: Vec::new(),
            unclear: None,
            file_systems,
            shares: Shares::default(),
        }
    }

    /// Looks for mounts of these, too.
    pub(crate) fn with_shares(self, shares: Shares) -> Self {
        Self { shares, ..self }
    }

    /// What comes now is of another namespace: a process in it, or where it is pinned; none for pcictl's own.
    pub(crate) fn enter(&mut self, of: Option<String>) {
        self.leave();
        self.of = of;
    }

    /// Says how many mounts of the namespace were found besides those that are told.
    fn leave(&mut self) {
        let of = self.of.clone().unwrap_or_default();
        for (label, count) in std::mem::take(&mut self.here) {
            let first = self.found.iter().rev().find(|found| found.reached.label == label);
            let Some(reached) = first.filter(|_| count > TOLD).map(|found| found.reached) else { continue };
            let more = count - TOLD;
            let description = format!("{more} more mounts are from {label} in the mount namespace of {of}");
            self.more.push(User::new(
                reached.danger(Danger::Mounted),
                reached.address,
                label,
                format!("{more} mounts"),
                description,
            ));
        }
    }

    /// Takes in a line of mountinfo. Most cost no more than their numbers and their kind.
    pub(crate) fn line(&mut self, line: &str) {
        let Some(mount) = Mount::parse(line) else {
            self.unclear(line);
            return;
        };
        self.file_systems.note(&mount);
        self.shares.line(line, self.of.as_deref());
        if self.storage.is_empty() {
            return;
        }
        let Mount { number, kind, rest, .. } = mount;
        let by_number = self.storage.numbered(self.inventory, number).map(|(_, reached)| reached);
        // btrfs and its like have numbers of their own and name a disk as their source; others name a log in an option.
        if by_number.is_none() && !(rest.contains("/dev/") && self.kinds.lies_on_disks(kind)) {
            return;
        }
        let Ok(mount) = MountInfo::from_line(line) else {
            self.unclear(line);
            return;
        };
        if let Some(reached) = by_number.or_else(|| self.by_name(&mount)) {
            self.add(mount, reached);
        }
    }

    fn unclear(&mut self, line: &str) {
        self.unclear.get_or_insert_with(|| format!("this mount cannot be understood: {line}"));
    }

    fn add(&mut self, mount: MountInfo, reached: &'a StackedDevice) {
        let key = (mount.mount_point.display().to_string(), mount.mount_source.clone().unwrap_or_default());
        if self.known.contains(&key) {
            return;
        }
        if self.of.is_some() {
            let here = self.here.entry(reached.label.clone()).or_default();
            *here += 1;
            if *here > TOLD {
                return;
            }
        }
        self.known.insert(key);
        self.found.push(Found { mount, reached, of: self.of.clone() });
    }

    fn by_name(&self, mount: &MountInfo) -> Option<&'a StackedDevice> {
        let source = mount.mount_source.as_deref().map(unescape).unwrap_or_default();
        for path in source.split(':') {
            if let Some((_, reached)) = self.storage.named(path) {
                return Some(reached);
            }
            let name = path.rsplit('/').next()?;
            let members = self.pool_of.get(name).map(|index| &self.pools[*index].1);
            let ours = members.and_then(|devices| devices.iter().find_map(|name| self.storage.kernel_name(name)));
            if let Some((_, reached)) = ours {
                return Some(reached);
            }
        }
        // As whoever mounted it wrote them: `logdev=/dev/disk/by-id/...`.
        let options = mount.super_options.values().flatten().filter(|value| value.starts_with("/dev/"));
        let named = |path: &String| self.storage.named(&real_node(self.sysfs, Some(self.proc), path));
        options.filter_map(named).map(|(_, reached)| reached).next()
    }

    /// Who is mounted on the disks, what could not be understood, and what file systems there are.
    pub(crate) fn end(mut self) -> (Vec<User>, Option<String>, FileSystems) {
        self.leave();
        let mut users: Vec<User> = self.found.iter().map(user).collect();
        users.extend(self.members_without_mount());
        users.append(&mut self.more);
        users.extend(self.shares.end());
        (users, self.unclear, self.file_systems)
    }

    /// A member of a file system that is in use, although none of its mounts can be seen.
    fn members_without_mount(&self) -> Vec<User> {
        let told: HashSet<&str> = self.found.iter().map(|found| found.reached.label.as_str()).collect();
        let mut users = Vec::new();
        for (pool, devices) in &self.pools {
            for (_, reached) in devices.iter().filter_map(|name| self.storage.kernel_name(name)) {
                if !told.contains(reached.label.as_str()) {
                    users.push(holder(reached, pool, "has as a member"));
                }
            }
        }
        users
    }
}

fn user(found: &Found) -> User {
    let Found { mount, reached, of } = found;
    let of = of.as_deref();
    let point = unescape(&mount.mount_point.display().to_string());
    let what = match point.as_str() {
        "/" => ": the root file system",
        "/usr" => ": the system's programs",
        point if point == "/boot" || point.starts_with("/boot/") => ": what the machine boots from",
        _ => "",
    };
    let what = if of.is_some() { "" } else { what };
    let seen = of.map_or_else(String::new, |of| format!(" in the mount namespace of {of}"));
    let description = format!(
        "{point} is mounted from {}{} ({}){seen}{what}{}",
        reached.label,
        reached.place(),
        mount.fs_type,
        reached.left()
    );
    User::new(reached.danger(Danger::Mounted), reached.address, reached.label.clone(), point, description)
}

/// Swap on the disks, right or in a file.
pub(crate) fn swap(
    proc: &Procfs,
    inventory: &Inventory,
    storage: &Storage,
    own: Option<&str>,
) -> std::io::Result<Vec<User>> {
    let mut users = Vec::new();
    for line in proc.text("swaps")?.unwrap_or_default().lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(path), Some(kind)) = (words.next().map(unescape), words.next()) else { continue };
        let found = if kind == "file" {
            own.and_then(|table| below(&path, table)).and_then(|number| storage.numbered(inventory, number))
        } else {
            storage.named(&path)
        };
        if let Some((_, reached)) = found {
            let description = format!("{path} is in use as swap, on {}{}", reached.label, reached.end());
            users.push(User::new(
                reached.danger(Danger::Swap),
                reached.address,
                reached.label.clone(),
                path,
                description,
            ));
        }
    }
    Ok(users)
}

/// The number of the file system that a path lies on: that of the last of the longest mount points above it.
fn below(path: &str, mountinfo: &str) -> Option<(u32, u32)> {
    let mut best: Option<(usize, (u32, u32))> = None;
    for line in mountinfo.lines() {
        let mut words = line.split(' ').skip(2);
        let (Some(device), Some(point)) = (words.next().and_then(number), words.nth(1).map(unescape)) else { continue };
        let point = point.trim_end_matches('/');
        let is_above = path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'));
        if is_above && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), device));
        }
    }
    best.map(|(_, device)| device)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::topology::fields::Fields;
    use crate::topology::model::Topology;
    use crate::usage::scope::Scope;

    /// What a machine with one disk (253:0, vda) finds in these tables, pcictl's own first; the number of lines is
    /// bounded by time.
    fn found(filesystems: &str, tables: &[(&str, &[String])]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let path = "devices/pci0000:00/0000:00:03.0";
        let make = |directory: &str| std::fs::create_dir_all(root.path().join(directory)).unwrap();
        let link = |target: &str, from: &str| std::os::unix::fs::symlink(target, root.path().join(from)).unwrap();
        make(&format!("sys/{path}/block/vda"));
        make("sys/bus/pci/devices");
        make("sys/dev/block");
        make("proc");
        link(&format!("../../../{path}"), "sys/bus/pci/devices/0000:00:03.0");
        link(&format!("../../{path}/block/vda"), "sys/dev/block/253:0");
        std::fs::write(root.path().join("proc/filesystems"), filesystems).unwrap();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let proc = Procfs::open(sysfs.files()).unwrap().unwrap();
        let topology = Topology::load_around(&sysfs, &["0000:00:03.0".parse().unwrap()], Fields::default()).unwrap();
        let scope = Scope::of(&topology, topology.by_address());
        let inventory = Inventory::read(&sysfs, &scope);
        let storage = Storage::read(&sysfs, &inventory);
        let mut survey = MountSurvey::new(&sysfs, &proc, &inventory, &storage);
        let begun = Instant::now();
        for (of, lines) in tables {
            survey.enter((!of.is_empty()).then(|| (*of).to_owned()));
            lines.iter().for_each(|line| survey.line(line));
        }
        let (users, unclear, _) = survey.end();
        assert!(unclear.is_none() && begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        users.into_iter().map(|user| user.description).collect()
    }

    const KINDS: &str = "nodev\ttmpfs\nnodev\tfuse\nnodev\tnfs4\n\text4\n\tbtrfs\n\tfuseblk\n";

    #[test]
    fn a_file_system_that_is_only_called_after_a_disk_does_not_count() {
        let lines = |kinds: &[&str]| -> Vec<String> {
            kinds.iter().map(|kind| format!("9 1 0:44 / /m rw - {kind} rw")).collect()
        };
        let fakes = lines(&["tmpfs /dev/vda", "fuse.x /dev/vda", "nfs4 host:/dev/vda", "overlay /dev/vda"]);
        for filesystems in [KINDS, ""] {
            assert_eq!(found(filesystems, &[("pid 7 (x)", &fakes)]), [""; 0]);
        }
        for kind in ["btrfs /dev/vda", "fuseblk.ntfs /dev/vda", "bcachefs /dev/vdb:/dev/vda"] {
            assert_eq!(found(KINDS, &[("", &lines(&[kind]))]).len(), 1, "{kind}");
        }
        let numbered = ["9 1 253:0 / /m rw - ext4 /dev/root rw".to_owned()];
        assert_eq!(found(KINDS, &[("", &numbered)]), ["/m is mounted from vda (ext4)"]);
    }

    #[test]
    fn a_hundred_thousand_mounts_take_no_time_and_no_room() {
        let lines: Vec<String> =
            (0..100_000).map(|n| format!("{n} 22 253:0 / /m{n} rw,relatime - ext4 /dev/vda rw")).collect();
        assert_eq!(found(KINDS, &[("", &lines)]).len(), lines.len());
        let told = found(KINDS, &[("pid 7 (x)", &lines)]);
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[TOLD], "99992 more mounts are from vda in the mount namespace of pid 7 (x)");
    }

    #[test]
    fn a_file_lies_on_the_deepest_mount_above_it() {
        let table = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - ext4 /dev/sda2 rw\n\
                     3 2 8:3 / /srv/swap rw - ext4 /dev/sda3 rw\n";
        assert_eq!(below("/srv/swap/file", table), Some((8, 3)));
        assert_eq!(below("/srv/swapfile", table), Some((8, 2)));
        assert_eq!(below("/swapfile", table), Some((8, 1)));
    }
}
