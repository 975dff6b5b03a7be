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
    let mut pools: Vec<String> = entries.iter().filter(is_pool).cloned().collect();
    pools.sort_unstable();
    if pools.is_empty() || storage.is_empty() {
        return Ok(Vec::new());
    }
    let named = sysfs.files().display(CACHE);
    let bytes = sysfs.files().read(CACHE, LARGEST).map_err(|error| format!("{named}: {}", plain(&error)))?;
    let bytes = bytes.unwrap_or_default();
    let names = pool_names(&bytes);
    if let Some(pool) = pools.iter().find(|pool| !names.contains(pool)) {
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

/// DATA_TYPE_STRING (include/sys/nvpair.h).
const STRING: u32 = 9;

/// The encoding of the list (XDR), whose machine wrote it, and two bytes that are left out (module/nvpair/nvpair.c).
const HEADER: [u8; 4] = [1, 1, 0, 0];

/// The pools that the cache names. It is a packed list of pairs in XDR: numbers of four bytes, the highest first, and strings
/// after their length, filled up to four bytes. A pair is two sizes, its name, its type, how many values, and the value. A
/// pool's list has its name in the pair `name`, and no other list has that: features, hosts and kinds of disks are strings
/// that may look like a pool's name. Where there is no such pair, as in a tree made by hand, the first word is the pool.
pub(crate) fn pool_names(bytes: &[u8]) -> Vec<String> {
    let number = |at: usize| -> Option<u32> { Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    let string = |at: usize| -> Option<(&str, usize)> {
        let length = number(at)? as usize;
        let text = std::str::from_utf8(bytes.get(at + 4..(at + 4).checked_add(length)?)?).ok()?;
        Some((text, at + 4 + length.next_multiple_of(4)))
    };
    let name = |at: usize| -> Option<String> {
        let (key, after) = string(at).filter(|(key, _)| *key == "name")?;
        (!key.is_empty() && number(after)? == STRING && number(after + 4)? == 1).then_some(())?;
        string(after + 8).map(|(name, _)| name.to_owned())
    };
    let mut found: Vec<String> = (0..bytes.len()).step_by(4).filter_map(name).collect();
    if found.is_empty() {
        let words = bytes.split(|byte| !byte.is_ascii_graphic()).filter(|word| !word.is_empty());
        found.extend(words.take(1).map(|word| String::from_utf8_lossy(word).into_owned()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A cache that names these pools and these disks, and nothing else.
pub(crate) fn packed(pools: &[String], paths: &[String]) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    let mut put = |text: &[u8]| bytes.extend_from_slice(text);
    // The list's version, and that names are unique, which they are not here.
    put(&[0, 0, 0, 0, 0, 0, 0, 1]);
    let pairs = pools.iter().map(|pool| ("name", pool)).chain(paths.iter().map(|path| ("path", path)));
    for (key, value) in pairs {
        let mut pair: Vec<u8> = Vec::new();
        let string = |pair: &mut Vec<u8>, text: &str| {
            pair.extend_from_slice(&(text.len() as u32).to_be_bytes());
            pair.extend_from_slice(text.as_bytes());
            pair.resize(pair.len().next_multiple_of(4), 0);
        };
        string(&mut pair, key);
        pair.extend_from_slice(&STRING.to_be_bytes());
        pair.extend_from_slice(&1u32.to_be_bytes());
        string(&mut pair, value);
        let size = (pair.len() as u32 + 8).to_be_bytes();
        put(&size);
        put(&size);
        put(&pair);
    }
    put(&[0; 8]);
    bytes
}

/// Every path below /dev in the cache.
pub(crate) fn paths(bytes: &[u8]) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_pool_is_named_by_the_whole_string_of_its_name() {
        let cache = packed(&strings(&["tank2", "rpool"]), &strings(&["/dev/disk/by-id/ata-data-part1", "/dev/sdroot"]));
        assert_eq!(pool_names(&cache), ["rpool", "tank2"]);
        assert_eq!(paths(&cache), ["/dev/disk/by-id/ata-data-part1", "/dev/sdroot"]);
        assert!((40..cache.len()).all(|length| !pool_names(&cache[..length]).contains(&"tank".to_owned())));
    }

    #[test]
    fn a_list_made_by_hand_has_the_pool_first() {
        let words = b"\x01\x01\0\0rpool\0version\0hostname\0node1\0type\0root\0com.delphix:embedded_data\0";
        assert_eq!(pool_names(words), ["rpool"]);
        assert_eq!(pool_names(b""), [""; 0]);
    }
}
