//! What claims a disk and leaves no link in `holders/`: each of these says in a place of its own what it has.
//!
//! bcache's cache disks, members of btrfs and bcachefs, journals of ext4 on other disks, and disks that this machine serves
//! to others. It is no list of all that can claim a disk: before a change the kernel itself is asked, see
//! [`claims`](crate::usage::block::claims).

use crate::host::patience::read_all;
use crate::host::procfs::Procfs;
use crate::host::sysfs::{Sysfs, follow};
use crate::usage::block::nodes::real_node;
use crate::usage::block::stack::{Storage, holder};
use crate::usage::model::{Danger, User};
use crate::usage::scope::Inventory;

/// Who holds the disks, and what could not be looked at.
pub(crate) fn users(
    sysfs: &Sysfs,
    proc: Option<&Procfs>,
    inventory: &Inventory,
    storage: &Storage,
) -> (Vec<User>, Vec<String>) {
    if storage.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut users = Vec::new();
    for (index, reached) in storage.iter() {
        let set = format!("{}/bcache/set", inventory.blocks[index].path);
        if let Some(set) = sysfs.link_name(&set).ok().flatten() {
            users.push(holder(reached, &format!("bcache set {set}"), "caches on"));
        }
    }
    users.extend(proc.map(|proc| journals(sysfs, proc, storage)).unwrap_or_default());
    let (exports, unchecked) = exports(sysfs);
    for (what, path) in exports {
        if let Some((_, reached)) = storage.named(&real_node(sysfs, proc, path.trim())) {
            users.push(holder(reached, &what, "gives out"));
        }
    }
    users.extend(passed_through(sysfs, inventory, storage));
    (users, unchecked)
}

/// Journals of ext4 (and others that use jbd2) that are a disk of their own: /proc/fs/jbd2 calls one after its disk, and
/// one within its file system after the disk, a hyphen and an inode (fs/jbd2/journal.c, jbd2_journal_init_dev and
/// _inode). The file system goes read-only or down with it, so it counts as mounted.
fn journals(sysfs: &Sysfs, proc: &Procfs, storage: &Storage) -> Vec<User> {
    let mut names = proc.names("fs/jbd2").ok().flatten().unwrap_or_default();
    names.sort_unstable();
    let of = |name: &str| {
        let thread = format!("jbd2/{name}");
        let systems = sysfs.names("fs/ext4").ok().flatten().unwrap_or_default();
        systems.into_iter().find(|system| {
            let task = sysfs.read(&format!("fs/ext4/{system}/journal_task")).ok().flatten();
            let comm = task.and_then(|pid| proc.text(&format!("{}/comm", pid.trim())).ok().flatten());
            // Before Linux 5.17 no more than 15 bytes of a thread's name are kept.
            comm.is_some_and(|comm| {
                let comm = comm.trim_end();
                comm == thread || (comm.len() == 15 && thread.starts_with(comm))
            })
        })
    };
    let user = |name: &String| {
        let (_, reached) = storage.kernel_name(name)?;
        let whose =
            of(name).map_or_else(|| "a file system".to_owned(), |system| format!("the file system on {system}"));
        let description = format!("{} is the journal of {whose}{}", reached.label, reached.end());
        let kind = reached.danger(Danger::Mounted);
        Some(User::new(kind, reached.address, reached.label.clone(), "journal", description))
    };
    names.iter().filter_map(user).collect()
}

/// The block devices that this machine serves to others, with what serves them: LIO and nvmet by configfs, SCST by files
/// whose answers wait for one another.
fn exports(sysfs: &Sysfs) -> (Vec<(String, String)>, Vec<String>) {
    let names = |path: &str| sysfs.listed(path);
    let read = |path: &str| sysfs.value(path);
    let mut found = Vec::new();
    let targets = "kernel/config/target/core";
    for hba in names(targets) {
        for name in names(&format!("{targets}/{hba}")) {
            let device = format!("{targets}/{hba}/{name}");
            if let Some(path) = read(&format!("{device}/udev_path")) {
                found.push((format!("SCSI target {name}"), path));
            }
            let info = read(&format!("{device}/info")).unwrap_or_default();
            let after = |label: &str| info.split(label).nth(1).and_then(|rest| rest.split_whitespace().next());
            // udev_path is what whoever set it up wrote there; this is what the kernel opened
            // (iblock_show_configfs_dev_params in drivers/target/target_core_iblock.c).
            found.extend(after("iBlock device: ").map(|disk| (format!("SCSI target {name}"), format!("/dev/{disk}"))));
            // A file of the kernel's fileio may be a disk's node (drivers/target/target_core_file.c, fd_show_configfs_dev_params).
            found.extend(after("File: ").map(|path| (format!("SCSI target (file) {name}"), path.to_owned())));
        }
    }
    let subsystems = "kernel/config/nvmet/subsystems";
    for name in names(subsystems) {
        for namespace in names(&format!("{subsystems}/{name}/namespaces")) {
            let file = format!("{subsystems}/{name}/namespaces/{namespace}/device_path");
            if let Some(path) = read(&file) {
                found.push((format!("NVMe target {name}"), path));
            }
        }
    }
    let scst = "kernel/scst_tgt/devices";
    let devices = names(scst);
    let files: Vec<String> = devices.iter().map(|name| format!("{scst}/{name}/filename")).collect();
    let files: Vec<String> = files.into_iter().filter(|file| sysfs.exists(file)).collect();
    let (texts, unchecked) = read_all(sysfs, &files);
    for (file, text) in files.iter().zip(texts) {
        let name = file.rsplit('/').nth(1).unwrap_or_default();
        // A second line says whether it is the default.
        if let Some(path) = text.as_deref().and_then(|text| text.lines().next()) {
            found.push((format!("SCST device {name}"), path.to_owned()));
        }
    }
    (found, unchecked)
}

/// Disks that SCST passes through as they are: a link to the SCSI device.
fn passed_through(sysfs: &Sysfs, inventory: &Inventory, storage: &Storage) -> Vec<User> {
    let mut users = Vec::new();
    let directory = "kernel/scst_tgt/devices";
    for name in sysfs.names(directory).ok().flatten().unwrap_or_default() {
        let from = format!("{directory}/{name}");
        let target = sysfs.link(&format!("{from}/scsi_device")).ok().flatten();
        let Some(path) = target.and_then(|target| follow(&from, &target)) else { continue };
        for (index, reached) in storage.iter() {
            let disk = inventory.blocks[index].path.strip_prefix(&format!("{path}/block/"));
            if disk.is_some_and(|disk| !disk.contains('/')) {
                users.push(holder(reached, &format!("SCST device {name}"), "gives out"));
            }
        }
    }
    users
}

/// The members of each btrfs or bcachefs that is mounted: its UUID and the kernel names of its disks.
pub(crate) fn members(sysfs: &Sysfs) -> Vec<(String, Vec<String>)> {
    let names = |path: &str| sysfs.names(path).ok().flatten().unwrap_or_default();
    let mut found = Vec::new();
    for uuid in names("fs/btrfs") {
        let devices = names(&format!("fs/btrfs/{uuid}/devices"));
        if !devices.is_empty() {
            found.push((format!("btrfs {uuid}"), devices));
        }
    }
    for uuid in names("fs/bcachefs") {
        let directory = format!("fs/bcachefs/{uuid}");
        let block = |name: &String| {
            let from = format!("{directory}/{name}");
            let target = sysfs.link(&format!("{from}/block")).ok().flatten()?;
            follow(&from, &target)?.rsplit('/').next().map(str::to_owned)
        };
        let devices: Vec<String> = names(&directory).iter().filter_map(block).collect();
        if !devices.is_empty() {
            found.push((format!("bcachefs {uuid}"), devices));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sysfs::made::MadeTree;
    use crate::usage::scope::{Scope, ScopedFunction};

    const CARD: &str = "0000:01:00.0";
    const SCSI: &str = "devices/pci0000:00/0000:01:00.0/ata1/host0/target0:0:0/0:0:0:0";

    /// Who holds the one disk of a card.
    fn who(tree: &MadeTree) -> Vec<String> {
        let sysfs = tree.sysfs();
        let path = format!("devices/pci0000:00/{CARD}");
        let card = ScopedFunction { path, driver: None, physical: None, class: None };
        let inventory = Inventory::read(&sysfs, &Scope::from_functions([(CARD.parse().unwrap(), card)].into_iter()));
        let (users, unchecked) = users(&sysfs, None, &inventory, &Storage::read(&sysfs, &inventory));
        assert_eq!(unchecked, [""; 0]);
        users.into_iter().map(|user| user.by).collect()
    }

    fn with_disk() -> MadeTree {
        let tree = MadeTree::with(&[CARD]);
        tree.write(&format!("{SCSI}/block/sda/size"), "8\n");
        tree.link("dev/block/8:0", &format!("../../{SCSI}/block/sda"));
        tree
    }

    #[test]
    fn a_disk_that_is_given_out_says_to_whom() {
        for (file, text, by) in [
            ("kernel/config/target/core/iblock_0/one/udev_path", "/dev/sda\n", "SCSI target one"),
            (
                "kernel/config/target/core/iblock_0/one/info",
                "Status: x\n iBlock device: sda UDEV PATH: \n",
                "SCSI target one",
            ),
            (
                "kernel/config/target/core/fileio_0/one/info",
                "TCM FILEIO ID: 0 File: /dev/sda Size: 8\n",
                "SCSI target (file) one",
            ),
            ("kernel/config/nvmet/subsystems/nqn/namespaces/1/device_path", "/dev/sda\n", "NVMe target nqn"),
            ("kernel/scst_tgt/devices/two/filename", "/dev/sda\n[key]\n", "SCST device two"),
        ] {
            let tree = with_disk();
            assert_eq!(who(&tree), [""; 0]);
            tree.write(file, text);
            assert_eq!(who(&tree), [by], "{file}");
            tree.write(file, &text.replace("sda", "sdb"));
            assert_eq!(who(&tree), [""; 0], "{file}");
        }
    }

    #[test]
    fn a_disk_may_be_passed_through_or_cache_others() {
        let tree = with_disk();
        tree.link("kernel/scst_tgt/devices/0:0:0:0/scsi_device", &format!("../../../../{SCSI}"));
        tree.link("kernel/scst_tgt/devices/1:0:0:0/scsi_device", "../../../../devices/another");
        assert_eq!(who(&tree), ["SCST device 0:0:0:0"]);
        tree.link(&format!("{SCSI}/block/sda/bcache/set"), "../../../../../fs/bcache/1234");
        assert_eq!(who(&tree), ["bcache set 1234", "SCST device 0:0:0:0"]);
    }
}
