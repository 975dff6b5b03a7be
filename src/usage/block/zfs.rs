//! ZFS: the kernel shows its pools but none of their disks; the pool cache file names them.

use crate::error::plain;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::usage::block::nodes::real_node;
use crate::usage::block::stack::{Storage, holder};
use crate::usage::model::User;

/// Where the pools that are imported at boot are told.
const CACHE: &str = "etc/zfs/zpool.cache";

/// A pool of a thousand disks takes less than 1 MiB.
const LARGEST: usize = 64 << 20;

/// Which disks are members of imported pools.
///
/// # Errors
/// Pools are imported and it cannot be told what they are made of.
pub(crate) fn members(sysfs: &Sysfs, proc: &Procfs, storage: &Storage) -> Result<Vec<User>, String> {
    let entries = proc.names("spl/kstat/zfs").ok().flatten().unwrap_or_default();
    let is_pool = |name: &&String| proc.text(&format!("spl/kstat/zfs/{name}/state")).ok().flatten().is_some();
    let pools: Vec<String> = entries.iter().filter(is_pool).cloned().collect();
    if pools.is_empty() || storage.is_empty() {
        return Ok(Vec::new());
    }
    let named = sysfs.files().display(CACHE);
    let bytes = sysfs.files().read(CACHE, LARGEST).map_err(|error| format!("{named}: {}", plain(&error)))?;
    let bytes = bytes.unwrap_or_default();
    let hidden = pools.iter().find(|pool| !has_string(&bytes, pool));
    if let Some(pool) = hidden {
        return Err(format!("ZFS pool {pool} is imported and {named} does not name its disks"));
    }
    let mut users = Vec::new();
    for path in paths(&bytes) {
        if let Some((_, reached)) = storage.named(&real_node(sysfs, Some(proc), &path)) {
            users.push(holder(reached, &format!("ZFS ({})", pools.join(", ")), "has as a member"));
        }
    }
    order::sort(&mut users);
    users.dedup();
    Ok(users)
}

/// The cache is an XDR list, in which a string lies as it is.
fn has_string(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// Every path below /dev in the cache.
fn paths(bytes: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = memchr::memmem::find_iter(bytes, b"/dev/")
        .map(|start| {
            let rest = &bytes[start..];
            let end = rest.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(rest.len());
            String::from_utf8_lossy(&rest[..end]).into_owned()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
