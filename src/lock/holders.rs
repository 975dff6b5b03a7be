//! Who holds or waits for a node: from /proc/locks and /proc/PID, never from a note in the file.

use std::fmt::Write as _;
use std::fs;
use std::os::linux::fs::MetadataExt;

use serde::Serialize;

use super::LockDirectory;
use crate::claims::Mode;
use crate::error::{Error, Result};
use crate::place::Place;

/// Whether a process has the lock or stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has the lock.
    Holds,
    /// It waits for it.
    Waits,
}

/// A process and its part in a node's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command line, arguments separated by spaces; empty if it cannot be seen.
    pub command: String,
    /// Shared or exclusive.
    pub mode: Mode,
    /// Has it, or waits.
    pub role: Role,
}

/// One line of /proc/locks (fs/locks.c, lock_get_status) that is about flock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The process that made the call; it may have died and left the lock to its children.
    pub pid: u32,
    /// Device and inode.
    pub file: (u64, u64),
    /// Shared or exclusive.
    pub mode: Mode,
    /// Has it, or waits.
    pub role: Role,
}

impl Holding {
    /// Reads `12: FLOCK  ADVISORY  WRITE 4711 00:19:345 0 EOF`; a waiting one has `->` before the type.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1).peekable();
        let role = if words.next_if_eq(&"->").is_some() { Role::Waits } else { Role::Holds };
        (words.next()? == "FLOCK").then_some(())?;
        let mode = match words.nth(1)? {
            "READ" => Mode::Shared,
            "WRITE" => Mode::Exclusive,
            _ => return None,
        };
        let pid = words.next()?.parse().ok()?;
        let mut file = words.next()?.split(':');
        let major = u64::from_str_radix(file.next()?, 16).ok()?;
        let minor = u64::from_str_radix(file.next()?, 16).ok()?;
        let inode = file.next()?.parse().ok()?;
        Some(Self { pid, file: (nix::sys::stat::makedev(major, minor), inode), mode, role })
    }
}

/// The processes at one node, those that hold first.
pub fn of_node(directory: &LockDirectory, place: &Place) -> Result<Vec<Holder>> {
    let [lock, gate] = directory.inodes(place);
    let path = "/proc/locks";
    let text = fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
    let mut holders: Vec<Holder> = Vec::new();
    for holding in text.lines().filter_map(Holding::parse) {
        // In the gate one waits for the lock: who has it is next in line, who waits for it comes after.
        let at_gate = Some(holding.file) == gate;
        if !at_gate && Some(holding.file) != lock {
            continue;
        }
        let role = if at_gate { Role::Waits } else { holding.role };
        for pid in living(holding) {
            if !holders.iter().any(|known| known.pid == pid) {
                holders.push(Holder { pid, command: command(pid), mode: holding.mode, role });
            }
        }
    }
    holders.sort_by_key(|holder| (holder.role == Role::Waits, holder.pid));
    Ok(holders)
}

/// The process of a line, or those that inherited its lock when it has died.
fn living(holding: Holding) -> Vec<u32> {
    if has_open(holding.pid, holding.file) {
        return vec![holding.pid];
    }
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| has_open(*pid, holding.file)).collect()
}

fn has_open(pid: u32, file: (u64, u64)) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .flatten()
        .any(|entry| fs::metadata(entry.path()).is_ok_and(|metadata| (metadata.st_dev(), metadata.st_ino()) == file))
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> =
        line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    words.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// "pid 4711 (pcictl remove 0000:03:00.0)", for messages.
pub fn in_words(holders: &[Holder]) -> String {
    let mut words = String::new();
    for holder in holders.iter().filter(|holder| holder.role == Role::Holds) {
        let separator = if words.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(words, "{separator}pid {} ({})", holder.pid, holder.command);
    }
    if words.is_empty() { "a process that cannot be seen from here".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_proc_locks() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fe:00:1572 0 EOF";
        let file = (nix::sys::stat::makedev(0xfe, 0), 1572);
        assert_eq!(Holding::parse(line), Some(Holding { pid: 4711, file, mode: Mode::Exclusive, role: Role::Holds }));
        let line = "3: -> FLOCK  ADVISORY  READ 4712 fe:00:1572 0 EOF";
        assert_eq!(Holding::parse(line), Some(Holding { pid: 4712, file, mode: Mode::Shared, role: Role::Waits }));
        assert_eq!(Holding::parse("1: POSIX  ADVISORY  WRITE 1 00:1a:5 0 EOF"), None);
        assert_eq!(Holding::parse("garbage"), None);
    }
}
