//! Who holds or waits for a node: from /proc/locks and /proc/PID, never from a note in the file.
//!
//! /proc/locks names the process that made the lock call. That process may have died and left the lock to others who
//! inherited it, so a holder is believed only if it has the locked file open, and else looked for among all processes.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::procfs::{ProcessRef, Procfs};
use crate::lock::claims::Mode;
use crate::lock::fdinfo::{self, FileId, Open};
use crate::lock::offset_tag::GATE_TRANSIT;
use crate::order;
use crate::pci::place::Place;

const PROC_LOCKS: &str = "/proc/locks";

/// Whether a process has the lock or stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has the lock.
    Holds,
    /// It waits for it.
    Waits,
}

/// A process and its part in a node's lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Holder {
    /// The node.
    pub(crate) place: Place,
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// Shared or exclusive.
    pub(crate) mode: Mode,
    /// Has it, or waits.
    pub role: Role,
    /// Set if it is not about this node itself: the process works somewhere below it, or reads something above.
    pub(crate) intention: bool,
    /// For how many seconds it has held or waited.
    pub(crate) age_seconds: Option<f64>,
}

/// One line of /proc/locks (fs/locks.c, lock_get_status) that is about flock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlockLine {
    /// The process that made the call; it may have died and left the lock to its children.
    pub(crate) pid: u32,
    /// The device, as the file system knows it; stat(2) may say otherwise (btrfs, overlayfs).
    pub(crate) device: u64,
    /// The inode.
    pub(crate) inode: u64,
    /// Shared or exclusive.
    pub(crate) mode: Mode,
    /// Has it, or waits.
    pub(crate) role: Role,
}

impl FlockLine {
    /// Reads `12: FLOCK  ADVISORY  WRITE 4711 00:19:345 0 EOF`; a waiting one has `->` before the type.
    pub(crate) fn parse(line: &str) -> Option<Self> {
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
        Some(Self { pid, device: nix::sys::stat::makedev(major, minor), inode, mode, role })
    }
}

/// All flock locks of the machine, and all who wait for one.
pub(crate) fn all_flocks(procfs: &Procfs) -> Result<Vec<FlockLine>> {
    let text = procfs.text("locks").map_err(|e| Error::io(PROC_LOCKS, &e))?.unwrap_or_default();
    Ok(text.lines().filter_map(FlockLine::parse).collect())
}

/// Which of a node's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Gate,
}

/// The processes at these nodes, node by node in lock order, those that hold first.
pub(crate) fn of_nodes(
    procfs: &Procfs,
    places: &[Place],
    file_ids: &dyn Fn(&Place) -> [Option<FileId>; 2],
) -> Result<Vec<Holder>> {
    let mut files: HashMap<FileId, (usize, Kind)> = HashMap::new();
    for (index, place) in places.iter().enumerate() {
        let ids = file_ids(place);
        files.extend(ids.into_iter().zip([Kind::Lock, Kind::Gate]).filter_map(|(id, kind)| Some((id?, (index, kind)))));
    }
    let mut survey = FdTable { procfs, files: &files, open: HashMap::new(), everyone: false };
    let mut holders: Vec<Holder> = Vec::new();
    for holding in all_flocks(procfs)? {
        for seen in survey.behind(holding) {
            let known = holders
                .iter()
                .any(|h| h.process.pid == seen.pid && h.place == places[seen.node] && h.role <= seen.role);
            if !known {
                holders.push(seen.holder(procfs, &places[seen.node]));
            }
        }
    }
    // Who waits in the gate for the lock appears in both lines.
    order::sort_by(&mut holders, |a, b| (&a.place, a.role, a.process.pid).cmp(&(&b.place, b.role, b.process.pid)));
    holders.dedup_by(|b, a| (&a.place, a.role, a.process.pid) == (&b.place, b.role, b.process.pid));
    Ok(holders)
}

/// One look at who has which lock file open.
struct FdTable<'a> {
    procfs: &'a Procfs,
    files: &'a HashMap<FileId, (usize, Kind)>,
    /// What the processes have open; none for one that we may not look into.
    open: HashMap<u32, Option<Vec<Open>>>,
    everyone: bool,
}

/// A process at a node, before the rest is read about it.
struct LockParty {
    node: usize,
    pid: u32,
    mode: Mode,
    role: Role,
    tag: Option<crate::lock::offset_tag::OffsetTag>,
}

impl FdTable<'_> {
    /// The processes behind a line of /proc/locks, if it is about one of our files.
    fn behind(&mut self, holding: FlockLine) -> Vec<LockParty> {
        let inodes: Vec<FileId> = self.files.keys().copied().filter(|(_, inode)| *inode == holding.inode).collect();
        let mut found = Vec::new();
        for file in inodes {
            let (node, kind) = self.files[&file];
            for (pid, tag) in self.processes(holding, file) {
                let role = if kind == Kind::Gate { Role::Waits } else { holding.role };
                // At a gate the lock's own mode says nothing: everybody passes it alone.
                let mode = if kind == Kind::Gate { tag.map_or(holding.mode, |tag| tag.mode) } else { holding.mode };
                // Whoever just passes the gate does not wait there.
                let passes = kind == Kind::Gate && holding.role == Role::Holds;
                if !(passes && tag.is_none_or(|tag| tag.age() < GATE_TRANSIT)) {
                    found.push(LockParty { node, pid, mode, role, tag });
                }
            }
        }
        found
    }

    fn processes(
        &mut self,
        holding: FlockLine,
        file: FileId,
    ) -> Vec<(u32, Option<crate::lock::offset_tag::OffsetTag>)> {
        let holds = holding.role == Role::Holds;
        let fits = |open: &Open| open.file == file && open.locked == holds;
        let procfs = self.procfs;
        match self.opened_by(holding.pid) {
            Some(open) => {
                if let Some(open) = open.iter().find(|open| fits(open)) {
                    return vec![(holding.pid, open.tag)];
                }
            }
            // Somebody else's process: the kernel's word must do, if it is about this file system at all.
            None if holding.device == file.0 && procfs.uid(holding.pid).is_some() => {
                return vec![(holding.pid, None)];
            }
            None => {}
        }
        if !holds {
            return Vec::new();
        }
        if !self.everyone {
            self.everyone = true;
            for pid in self.procfs.pids().unwrap_or_default() {
                self.opened_by(pid);
            }
        }
        let heirs = self.open.iter().filter_map(|(pid, open)| {
            let open = open.as_ref()?.iter().find(|open| fits(open))?;
            Some((*pid, open.tag))
        });
        heirs.collect()
    }

    fn opened_by(&mut self, pid: u32) -> Option<&Vec<Open>> {
        let (procfs, files) = (self.procfs, self.files);
        let open =
            self.open.entry(pid).or_insert_with(|| fdinfo::open_files(procfs, pid, &|file| files.contains_key(&file)));
        open.as_ref()
    }
}

impl LockParty {
    fn holder(&self, procfs: &Procfs, place: &Place) -> Holder {
        let age: Option<Duration> =
            self.tag.map(crate::lock::offset_tag::OffsetTag::age).or_else(|| procfs.age(self.pid));
        Holder {
            place: place.clone(),
            process: procfs.process_ref(self.pid),
            mode: self.mode,
            role: self.role,
            intention: self.tag.is_some_and(|tag| tag.intention),
            // Tenths are all that anybody can read.
            age_seconds: age.map(|age| (age.as_secs_f64() * 10.0).round() / 10.0),
        }
    }
}

/// Those of the processes at a node that keep somebody out who wants it in this mode; if it is free of such, those in line.
pub(crate) fn conflicting(holders: &[Holder], wanted: Mode) -> Vec<&Holder> {
    let excludes = |holder: &&Holder| wanted == Mode::Exclusive || holder.mode == Mode::Exclusive;
    let holding: Vec<&Holder> = holders.iter().filter(|h| h.role == Role::Holds).filter(excludes).collect();
    if holding.is_empty() { holders.iter().filter(|h| h.role == Role::Waits).collect() } else { holding }
}

/// "pid 4711 (pcictl remove 0000:03:00.0) for 12 s", for messages.
pub(crate) fn describe_holders(holders: &[Holder]) -> String {
    /// More than these nobody reads.
    const SHOWN: usize = 3;
    if holders.is_empty() {
        return "a process that cannot be seen from here".to_owned();
    }
    let age = |holder: &Holder| holder.age_seconds.map(|age| format!(" for {}", age_in_words(age))).unwrap_or_default();
    let mut words: Vec<String> =
        holders.iter().take(SHOWN).map(|h| format!("{}{}", h.process.name(), age(h))).collect();
    if holders.len() > SHOWN {
        words.push(format!("{} more", holders.len() - SHOWN));
    }
    words.join(", ")
}

/// "12 s", "3 min", "2 h 5 min".
pub(crate) fn age_in_words(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    match minutes {
        ..1.0 => format!("{} s", seconds.floor()),
        ..60.0 => format!("{minutes} min"),
        _ => format!("{} h {} min", (minutes / 60.0).floor(), minutes % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::claims::Mode;

    #[test]
    fn reads_the_lines_of_proc_locks() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fe:00:1572 0 EOF";
        let (device, inode) = (nix::sys::stat::makedev(0xfe, 0), 1572);
        let holding = FlockLine { pid: 4711, device, inode, mode: Mode::Exclusive, role: Role::Holds };
        assert_eq!(FlockLine::parse(line), Some(holding));
        let line = "3: -> FLOCK  ADVISORY  READ 4712 fe:00:1572 0 EOF";
        let waiting = FlockLine { pid: 4712, mode: Mode::Shared, role: Role::Waits, ..holding };
        assert_eq!(FlockLine::parse(line), Some(waiting));
        assert_eq!(FlockLine::parse("1: POSIX  ADVISORY  WRITE 1 00:1a:5 0 EOF"), None);
        assert_eq!(FlockLine::parse("garbage"), None);
    }
}
