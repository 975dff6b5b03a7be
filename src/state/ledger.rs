//! The ledger: what devices were when they were removed, kept on disk so that a rescan can tell what came back.
//!
//! One [file](removal_file) for each removal, however many functions it took away. An entry is kept until its function is
//! back as it was or the difference was accepted; then it is past, and when nothing of its removal is waited for any more,
//! all of it moves to history. Of several entries of a place the latest is the one that is waited for. A state that is
//! worse than the one that is waited for never takes its place.
//!
//! Files are made and replaced whole and flushed, so that after a power loss there is the old one or the new one. Whoever
//! writes about a place holds its lock (see [`claims`](crate::lock::claims)), so that what is said of a place changes in
//! nobody else's hands. But two who work at different places may change one file: whoever does that holds the ledger's own
//! lock as well, takes it last, and waits for nothing but the disk meanwhile. A removal makes a new file, and waits for
//! nobody.
//!
//! Listing changes nothing. What cannot be opened or read, is of a newer schema, or does not parse stays where it is and
//! is reported each time; only a command that changes the machine moves files that do not parse out of the way.
//!
//! Not promised: an entry says what was, not what is. A device may be back without the ledger knowing.

pub(crate) mod removal_file;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::order;
use crate::pci::place::Place;
use crate::state::file::{Directory, Invalid, Location};
use crate::state::ledger::removal_file::{ClosedEntry, MAX_LENGTH, PAST_KEPT, RemovalFile, SUFFIX, number_of, stem};
use crate::verify::compare::keep_better;
use crate::verify::record::RemovedDevice;
use crate::verify::verdict::CloseReason;

/// Locked by whoever changes files that are there.
const LOCK: &str = ".lock";

/// A file in the ledger that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadEntry {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) why: Invalid,
}

impl std::fmt::Display for BadEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.path.display(), self.what(), self.why)
    }
}

impl BadEntry {
    /// What is lost with the file, and no more.
    pub(crate) fn what(&self) -> &'static str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if number_of(name).is_some() { "invalid ledger entries of one removal" } else { "invalid ledger entry" }
    }
}

/// All entries, and the files that give none.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The entries, ordered by place.
    pub(crate) entries: Vec<RemovedDevice>,
    /// The files that cannot be used.
    pub(crate) bad: Vec<BadEntry>,
}

/// The ledger in one directory.
#[derive(Debug)]
pub struct Ledger {
    location: Location,
}

impl Ledger {
    /// The ledger below a state directory of this machine. Nothing is read or made yet.
    pub fn below(state: &Path) -> Self {
        Self::at(&Location::own(state.to_path_buf()))
    }

    /// The ledger below a state directory.
    pub(crate) fn at(state: &Location) -> Self {
        Self { location: state.join("ledger") }
    }

    /// Its directory, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.location.path()
    }

    /// Every entry that is waited for, and every file that gives none.
    ///
    /// # Errors
    /// The directory is there and cannot be read, or others could have written to it.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let Some(directory) = Directory::open(&self.location)? else { return Ok(Listing::default()) };
        let (files, bad) = read_all(&directory)?;
        let entries = latest(&files).into_values().cloned().collect();
        Ok(Listing { entries, bad })
    }

    /// Moves the files that do not parse to `corrupt/`; gives each with its new path.
    ///
    /// # Errors
    /// They cannot be moved. What cannot be opened, or is of a newer schema, is never touched.
    pub(crate) fn set_aside_damaged(&self) -> io::Result<Vec<(BadEntry, PathBuf)>> {
        let mut moved = Vec::new();
        let Some(directory) = Directory::open(&self.location)? else { return Ok(moved) };
        let (_, bad) = read_all(&directory)?;
        for bad in bad.into_iter().filter(|bad| bad.why.is_damaged()) {
            let Some(name) = bad.path.file_name().and_then(|name| name.to_str()) else { continue };
            let corrupt = Directory::make(&self.location.join("corrupt"), 0o755)?;
            let new = (0..).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
            let new = new.into_iter().find(|new| !corrupt.has(new)).unwrap_or_else(|| name.to_owned());
            directory.rename(name, &corrupt, &new)?;
            moved.push((bad, corrupt.join(&new)));
        }
        Ok(moved)
    }

    /// Writes down what one removal is about to take away: one file, which is on disk when this returns. An entry that is
    /// still waited for keeps what is better in it than in the device that is removed now, and waits again if this one is
    /// [taken back](Self::discard).
    ///
    /// # Errors
    /// The directory cannot be read or written to; then nothing is written.
    pub fn save(&self, entries: &[RemovedDevice]) -> io::Result<()> {
        let Some(RemovedDevice { top, removed_at, .. }) = entries.first() else { return Ok(()) };
        let directory = Directory::make(&self.location, 0o755)?;
        let (files, bad) = read_all(&directory)?;
        let mut entries = entries.to_vec();
        let waited_for = latest(&files);
        for entry in &mut entries {
            if let Some(old) = waited_for.get(&entry.record.place) {
                keep_better(&mut entry.record, &old.record);
            }
        }
        let number = self.next_number(&files, &bad)?.max(*removed_at);
        let mut new = RemovalFile::new(top, number, entries);
        let replaced = replaced(&files, &new);
        for mut old in replaced.iter().map(|old| (*old).clone()) {
            old.close(*removed_at, |_| Some(CloseReason::Replaced));
            new.take_over(&old);
        }
        directory.create_new(new.name(), 0o644, |file| io::Write::write_all(file, &new.bytes()?))?;
        for old in replaced {
            // One that stays, or comes back by a power loss, is replaced as it was.
            let _ = directory.unlink(old.name());
        }
        Ok(())
    }

    /// Closes the entries of these places, if there are any. An older entry of such a place, which waits no more since, is
    /// closed with it.
    ///
    /// # Errors
    /// The directory cannot be written to; some entries may be closed then.
    pub(crate) fn close(&self, closed: &[(Place, CloseReason)], now: u64) -> io::Result<()> {
        let mut reasons = order::map(closed.iter().map(|(place, reason)| (place, *reason)));
        let is_closed = order::set(closed.iter().map(|(place, _)| place));
        self.change(&|entry| is_closed.contains(&entry.record.place), &mut |file| {
            file.close(now, |place| Some(std::mem::replace(reasons.get_mut(place)?, CloseReason::Replaced)));
        })
    }

    /// Takes back what [`save`](Self::save) wrote, for functions that are there after all: what was waited for before is
    /// waited for again.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn discard(&self, entries: &[RemovedDevice]) -> io::Result<()> {
        let key = |entry: &RemovedDevice| (entry.record.place.clone(), entry.removed_at, entry.top.clone());
        let ours = order::set(entries.iter().map(key));
        let mut left = ours.clone();
        self.change(&|entry| ours.contains(&key(entry)), &mut |file| {
            // What was removed before at the same second is in an older file.
            file.entries.retain(|entry| !left.remove(&key(entry)));
            if file.is_of_one_entry() && file.entries.is_empty() {
                file.entries.extend(self.replaced_by_entry(file));
            }
        })
    }

    /// Changes the files with such entries: the latest first, but on disk the oldest first, so that none ever waits again
    /// that was replaced.
    fn change(
        &self,
        concerns: &dyn Fn(&RemovedDevice) -> bool,
        change: &mut dyn FnMut(&mut RemovalFile),
    ) -> io::Result<()> {
        let Some(directory) = Directory::open(&self.location)? else { return Ok(()) };
        let is_concerned = |file: &RemovalFile| file.entries.iter().any(concerns);
        // Nobody else writes about these places: a look without the lock tells whether there is anything to do.
        if !read_all(&directory)?.0.iter().any(is_concerned) {
            return Ok(());
        }
        let _alone = directory.lock(LOCK)?;
        let (mut files, _) = read_all(&directory)?;
        files.retain(is_concerned);
        files.iter_mut().for_each(change);
        for file in files.iter().rev() {
            if !file.entries.is_empty() {
                directory.replace(file.name(), &file.bytes()?, 0o644)?;
                continue;
            }
            if !file.past.is_empty() {
                self.remember(&file.in_history())?;
            }
            directory.remove(file.name())?;
        }
        Ok(())
    }

    /// Puts a file into history, and takes the oldest of the same place out if they are too many.
    fn remember(&self, file: &RemovalFile) -> io::Result<()> {
        let history = Directory::make(&self.location.join("history"), 0o755)?;
        let mut names = history.names(SUFFIX)?;
        names.retain(|name| number_of(name).is_some() && stem(name) == file.stem() && name != file.name());
        order::sort_by(&mut names, |a, b| number_of(b).cmp(&number_of(a)));
        for name in names.iter().skip(PAST_KEPT - 1) {
            // Before the new one is written: its room may be needed.
            history.unlink(name)?;
        }
        history.replace(file.name(), &file.bytes()?, 0o644)
    }

    /// One more than the number of any file.
    fn next_number(&self, files: &[RemovalFile], bad: &[BadEntry]) -> io::Result<u64> {
        let history = Directory::open(&self.location.join("history"))?;
        let past = history.map_or_else(|| Ok(Vec::new()), |history| history.names(SUFFIX))?;
        let bad = bad.iter().filter_map(|bad| bad.path.file_name()?.to_str());
        let numbers = bad.chain(past.iter().map(String::as_str)).filter_map(number_of);
        Ok(numbers.chain(files.iter().map(RemovalFile::number)).max().map_or(0, |highest| highest.saturating_add(1)))
    }

    /// What an entry had replaced that a version before wrote: the history of its place begins with it.
    fn replaced_by_entry(&self, file: &RemovalFile) -> Option<RemovedDevice> {
        #[derive(Deserialize)]
        struct History {
            past: Vec<ClosedEntry>,
        }
        let history = Directory::open(&self.location.join("history")).ok()??;
        let history: History = serde_json::from_slice(&history.read(file.name(), MAX_LENGTH).ok()?).ok()?;
        let last = history.past.into_iter().next()?;
        (last.reason == CloseReason::Replaced && last.closed_at == file.number()).then_some(last.entry)
    }
}

/// Every file, the latest first, and those that cannot be used.
fn read_all(directory: &Directory) -> io::Result<(Vec<RemovalFile>, Vec<BadEntry>)> {
    let (mut files, mut bad) = (Vec::new(), Vec::new());
    for name in directory.names(SUFFIX)? {
        match RemovalFile::read(directory, &name) {
            Ok(file) => files.push(file),
            // Closed since it was listed.
            Err(Invalid::Absent) => {}
            Err(why) => bad.push(BadEntry { path: directory.join(&name), why }),
        }
    }
    order::sort_by(&mut files, |a, b| b.number().cmp(&a.number()));
    Ok((files, bad))
}

/// The latest entry of each place.
fn latest(files: &[RemovalFile]) -> BTreeMap<&Place, &RemovedDevice> {
    // Of those with the same key the last one counts.
    let entries = files.iter().rev().flat_map(|file| &file.entries);
    order::map(entries.map(|entry| (&entry.record.place, entry)))
}

/// The files that nobody will need again: all in them was replaced before, and is again by the new one, which therefore
/// holds the locks of all of it.
fn replaced<'a>(files: &'a [RemovalFile], new: &RemovalFile) -> Vec<&'a RemovalFile> {
    let (new, mut later) = (order::set(new.places()), BTreeSet::new());
    let mut replaced = Vec::new();
    for file in files {
        if file.places().all(|place| new.contains(place) && later.contains(place)) {
            replaced.push(file);
        }
        later.extend(file.places());
    }
    replaced
}

#[cfg(test)]
mod tests;
