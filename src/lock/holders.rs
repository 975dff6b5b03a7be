//! Who holds or waits for a node: from /proc/locks and /proc/PID, never from a note in the file.
//!
//! /proc/locks names the process that made the lock call. That process may have died and left the lock to others who
//! inherited it, so a holder is believed only if it has the locked file open, and else looked for among all processes.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::procfs::{ProcessRef, Procfs};
use crate::lock::claims::Mode;
use crate::lock::fdinfo::{Access, Fdinfo, each_descriptor};
use crate::lock::offset_tag::{GATE_TRANSIT, OffsetTag};
use crate::lock::owner::Owner;
use crate::lock::proc_locks::{FlockLine, KernelFile, Role, all_flocks};
use crate::order;
use crate::pci::place::Place;

/// Whoever has a lock that no process is found to have: he let go of it between two looks, or is of another pid namespace.
pub(crate) const UNSEEN: &str = "a process that has just ended, or cannot be seen from here";

/// A process and its part in a node's lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Which of a node's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Gate,
}

/// The processes at these nodes, node by node in lock order, those that hold first. The lock files were opened on `mount`.
pub(crate) fn of_nodes(
    procfs: &Procfs,
    places: &[Place],
    mount: Option<u64>,
    kernel_files: &dyn Fn(&Place) -> [Option<KernelFile>; 2],
) -> Result<Vec<Holder>> {
    let mut files: HashMap<KernelFile, (usize, Kind)> = HashMap::new();
    for (index, place) in places.iter().enumerate() {
        let found = kernel_files(place);
        let kinds = found.into_iter().zip([Kind::Lock, Kind::Gate]);
        files.extend(kinds.filter_map(|(file, kind)| Some((file?, (index, kind)))));
    }
    let mut table = FdTable { procfs, files: &files, mount, open: HashMap::new(), everyone: false };
    let mut holders: Vec<Holder> = Vec::new();
    for line in all_flocks(procfs)? {
        for seen in table.behind(line).map_err(|error| Error::io("who holds a lock cannot be looked for", &error))? {
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

/// A lock file that a process has open.
#[derive(Clone, Copy, Debug)]
struct OpenLockFile {
    file: KernelFile,
    /// Whether this very descriptor carries the lock.
    locked: bool,
    tag: Option<OffsetTag>,
}

/// One look at who has which lock file open.
struct FdTable<'a> {
    procfs: &'a Procfs,
    files: &'a HashMap<KernelFile, (usize, Kind)>,
    mount: Option<u64>,
    /// What the processes have open; none for one that this process may not look into.
    open: HashMap<u32, Option<Vec<OpenLockFile>>>,
    everyone: bool,
}

/// A process at a node, before the rest is read about it.
struct LockParty {
    node: usize,
    pid: u32,
    mode: Mode,
    role: Role,
    tag: Option<OffsetTag>,
}

impl FdTable<'_> {
    /// The processes behind a line of /proc/locks, if it is about one of our files.
    fn behind(&mut self, line: FlockLine) -> io::Result<Vec<LockParty>> {
        let Some(&(node, kind)) = self.files.get(&line.file) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (pid, tag) in self.processes(line)? {
            let role = if kind == Kind::Gate { Role::Waits } else { line.role };
            // At a gate the lock's own mode says nothing: everybody passes it alone.
            let mode = if kind == Kind::Gate { tag.map_or(line.mode, |tag| tag.mode) } else { line.mode };
            // Whoever just passes the gate does not wait there.
            let passes = kind == Kind::Gate && line.role == Role::Holds;
            if !(passes && tag.is_none_or(|tag| tag.age() < GATE_TRANSIT)) {
                found.push(LockParty { node, pid, mode, role, tag });
            }
        }
        Ok(found)
    }

    fn processes(&mut self, line: FlockLine) -> io::Result<Vec<(u32, Option<OffsetTag>)>> {
        let holds = line.role == Role::Holds;
        let fits = |open: &OpenLockFile| open.file == line.file && open.locked == holds;
        let found = self.opened_by(line.pid)?.map(|open| open.iter().find(|open| fits(open)).map(|open| open.tag));
        match found {
            Some(Some(tag)) => return Ok(vec![(line.pid, tag)]),
            // Somebody else's process: the kernel's word must do.
            None if self.procfs.uid(line.pid).is_some() => return Ok(vec![(line.pid, None)]),
            // Whoever waits is still there, even if the kernel does not tell which of its files it is.
            Some(None) if !holds => return Ok(vec![(line.pid, None)]),
            _ if !holds => return Ok(Vec::new()),
            _ => {}
        }
        self.look_at_everyone()?;
        let heirs = self.open.iter().filter_map(|(pid, open)| {
            let open = open.as_ref()?.iter().find(|open| fits(open))?;
            Some((*pid, open.tag))
        });
        Ok(heirs.collect())
    }

    /// Those who may open lock files first. The others can have inherited one, but could also have any number of files open
    /// to keep this from coming to an end.
    fn look_at_everyone(&mut self) -> io::Result<()> {
        const LONGEST: Duration = Duration::from_millis(200);
        if std::mem::replace(&mut self.everyone, true) {
            return Ok(());
        }
        let mut others = Vec::new();
        for pid in self.procfs.pids()? {
            match Owner::of(self.procfs, pid)? {
                Some(owner) if !owner.may_open_lock_files() => others.push(pid),
                _ => {
                    self.opened_by(pid)?;
                }
            }
        }
        let begun = Instant::now();
        for pid in others {
            if begun.elapsed() > LONGEST {
                break;
            }
            self.opened_by(pid)?;
        }
        Ok(())
    }

    fn opened_by(&mut self, pid: u32) -> io::Result<Option<&Vec<OpenLockFile>>> {
        if !self.open.contains_key(&pid) {
            let mut found = Vec::new();
            let access =
                each_descriptor(self.procfs, pid, &mut |descriptor| found.extend(self.known(&descriptor.info)))?;
            self.open.insert(pid, (access == Access::Seen).then_some(found));
        }
        Ok(self.open.get(&pid).and_then(Option::as_ref))
    }

    fn known(&self, info: &Fdinfo) -> Option<OpenLockFile> {
        let tag = info.tag;
        if let Some(file) = info.locked {
            return self.files.contains_key(&file).then_some(OpenLockFile { file, locked: true, tag });
        }
        // Without a lock the kernel names no device; the same mount is the same file system.
        let inode = info.inode.filter(|_| info.mount == self.mount)?;
        let file = KernelFile { device: self.files.keys().next()?.device, inode };
        self.files.contains_key(&file).then_some(OpenLockFile { file, locked: false, tag })
    }
}

impl LockParty {
    fn holder(&self, procfs: &Procfs, place: &Place) -> Holder {
        let age: Option<Duration> = self.tag.map(OffsetTag::age).or_else(|| procfs.age(self.pid));
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
        return UNSEEN.to_owned();
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
