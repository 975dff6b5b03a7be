//! Mounts and swap: which of them stand on the disks of the functions.

use procfs_core::process::MountInfo;

use crate::host::procfs::{Procfs, unescape};
use crate::host::sysfs::Sysfs;
use crate::usage::block::stack::{StackedDevice, Storage, holder, members, on_origin};
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Inventory, number};

/// The mounts of one namespace as the kernel lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountTable {
    /// A process in it and its name; none for the namespace that pcictl itself is in.
    pub(crate) of: Option<String>,
    /// The text of mountinfo.
    pub(crate) text: String,
}

/// A mount on one of the disks, and where it can be seen.
struct Found<'a> {
    mount: MountInfo,
    reached: &'a StackedDevice,
    of: Option<&'a str>,
}

/// Who is mounted on the disks, in every namespace; those of pcictl's own namespace speak for copies in others.
///
/// # Errors
/// The line of a mount that matters and cannot be understood.
pub(crate) fn mounted(
    sysfs: &Sysfs,
    inventory: &Inventory,
    storage: &Storage,
    tables: &[MountTable],
) -> Result<Vec<User>, String> {
    let pools = members(sysfs);
    let look = Look { inventory, storage, pools: &pools };
    let mut found: Vec<Found> = Vec::new();
    for table in tables {
        for line in table.text.lines() {
            let Some((mount, reached)) = look.mount(line)? else { continue };
            let known = found.iter().any(|other| {
                other.mount.mount_point == mount.mount_point && other.mount.mount_source == mount.mount_source
            });
            if !known {
                found.push(Found { mount, reached, of: table.of.as_deref() });
            }
        }
    }
    let mut users: Vec<User> = found.iter().map(user).collect();
    users.extend(look.members_without_mount(&found));
    Ok(users)
}

struct Look<'a> {
    inventory: &'a Inventory,
    storage: &'a Storage,
    pools: &'a [(String, Vec<String>)],
}

impl<'a> Look<'a> {
    /// A line of mountinfo, if what it tells of stands on one of the disks. Most lines cost no more than their number.
    fn mount(&self, line: &str) -> Result<Option<(MountInfo, &'a StackedDevice)>, String> {
        let parse = || MountInfo::from_line(line).map_err(|_| format!("this mount cannot be understood: {line}"));
        let number = line.split(' ').nth(2).and_then(number);
        let Some(number) = number else { return Err(format!("this mount cannot be understood: {line}")) };
        if let Some((_, reached)) = self.storage.numbered(self.inventory, number) {
            return Ok(Some((parse()?, reached)));
        }
        // btrfs and its like have numbers of their own and name a disk as their source; others name a log in an option.
        if !line.split_once(" - ").is_some_and(|(_, rest)| rest.contains("/dev/")) {
            return Ok(None);
        }
        let mount = parse()?;
        Ok(self.by_name(&mount).map(|reached| (mount, reached)))
    }

    fn by_name(&self, mount: &MountInfo) -> Option<&'a StackedDevice> {
        let source = mount.mount_source.as_deref().map(unescape).unwrap_or_default();
        for path in source.split(':') {
            if let Some((_, reached)) = self.storage.named(path) {
                return Some(reached);
            }
            let name = path.rsplit('/').next()?;
            let pool = self.pools.iter().find(|(_, devices)| devices.iter().any(|device| device == name));
            let ours = pool.and_then(|(_, devices)| devices.iter().find_map(|name| self.storage.kernel_name(name)));
            if let Some((_, reached)) = ours {
                return Some(reached);
            }
        }
        let options = mount.super_options.values().flatten();
        options.filter_map(|path| self.storage.named(path)).map(|(_, reached)| reached).next()
    }

    /// A member of a file system that is in use, although none of its mounts can be seen.
    fn members_without_mount(&self, found: &[Found]) -> Vec<User> {
        let mut users = Vec::new();
        for (pool, devices) in self.pools {
            for (_, reached) in devices.iter().filter_map(|name| self.storage.kernel_name(name)) {
                let is_told = found.iter().any(|found| found.reached.label == reached.label);
                if !is_told {
                    users.push(holder(reached, pool, "has as a member"));
                }
            }
        }
        users
    }
}

fn user(found: &Found) -> User {
    let Found { mount, reached, of } = found;
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
        "{point} is mounted from {}{} ({}){seen}{what}",
        reached.label,
        on_origin(&reached.origin),
        mount.fs_type
    );
    User::new(Danger::Mounted, reached.address, reached.label.clone(), point, description)
}

/// Swap on the disks, right or in a file.
pub(crate) fn swap(
    proc: &Procfs,
    inventory: &Inventory,
    storage: &Storage,
    own: Option<&MountTable>,
) -> std::io::Result<Vec<User>> {
    let mut users = Vec::new();
    for line in proc.text("swaps")?.unwrap_or_default().lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(path), Some(kind)) = (words.next().map(unescape), words.next()) else { continue };
        let found = if kind == "file" {
            own.and_then(|table| below(&path, &table.text)).and_then(|number| storage.numbered(inventory, number))
        } else {
            storage.named(&path)
        };
        if let Some((_, reached)) = found {
            let description = format!("{path} is in use as swap, on {}{}", reached.label, on_origin(&reached.origin));
            users.push(User::new(Danger::Swap, reached.address, reached.label.clone(), path, description));
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
    use super::*;

    #[test]
    fn a_file_lies_on_the_deepest_mount_above_it() {
        let table = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - ext4 /dev/sda2 rw\n\
                     3 2 8:3 / /srv/swap rw - ext4 /dev/sda3 rw\n";
        assert_eq!(below("/srv/swap/file", table), Some((8, 3)));
        assert_eq!(below("/srv/swapfile", table), Some((8, 2)));
        assert_eq!(below("/swapfile", table), Some((8, 1)));
    }
}
