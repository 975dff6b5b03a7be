//! The ledger: what devices were when they were removed, kept on disk so that a rescan can tell what came back.
//!
//! One file per entry, one entry per place: the latest removal of what sat there. Whoever writes an entry holds its
//! place's lock (see [`claims`](crate::lock::claims)), so entries need no lock of their own. Files are replaced whole and
//! flushed, so that after a power loss there is the old entry or the new one. An entry is kept until the function is back
//! as it was or the difference was accepted; then it moves to the place's history. A state that is worse than the one that
//! is waited for never takes its place.
//!
//! Listing changes nothing. What cannot be opened or read, is of a newer schema, or does not parse stays where it is and
//! is reported each time; only a command that changes the machine moves files that do not parse out of the way.
//!
//! Not promised: an entry says what was, not what is. A device may be back without the ledger knowing.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::order;
use crate::pci::place::Place;
use crate::state::file::{Directory, Invalid, Location};
use crate::verify::compare::keep_better;
use crate::verify::record::{RemovedDevice, SCHEMA};
use crate::verify::verdict::CloseReason;

/// How many past entries of a place are kept.
const PAST_KEPT: usize = 20;

/// No entry is this long; a longer file was not written by pcictl.
const MAX_LENGTH: u64 = 4 << 20;

const SUFFIX: &str = ".json";

/// An entry that is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClosedEntry {
    /// Why.
    #[serde(rename = "ended")]
    pub(crate) reason: CloseReason,
    /// When, in seconds since 1970.
    #[serde(rename = "ended_at")]
    pub(crate) closed_at: u64,
    /// The entry.
    pub(crate) entry: RemovedDevice,
}

#[derive(Serialize, Deserialize)]
struct History {
    schema: u32,
    /// The latest first.
    past: Vec<ClosedEntry>,
}

/// A file in the ledger that gives no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadEntry {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) why: Invalid,
}

impl std::fmt::Display for BadEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: invalid ledger entry: {}", self.path.display(), self.why)
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

    /// Every entry, and every file that gives none.
    ///
    /// # Errors
    /// The directory is there and cannot be read, or others could have written to it.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let Some(directory) = Directory::open(&self.location)? else { return Ok(listing) };
        for name in directory.names(SUFFIX)? {
            match read_entry(&directory, &name) {
                Ok(entry) => listing.entries.push(entry),
                // Closed since it was listed.
                Err(Invalid::Absent) => {}
                Err(why) => listing.bad.push(BadEntry { path: directory.join(&name), why }),
            }
        }
        order::sort_by(&mut listing.entries, |a, b| a.record.place.cmp(&b.record.place));
        Ok(listing)
    }

    /// Moves the files that do not parse to `corrupt/`; gives each with its new path.
    ///
    /// # Errors
    /// They cannot be moved. What cannot be opened, or is of a newer schema, is never touched.
    pub(crate) fn set_aside_damaged(&self) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let mut moved = Vec::new();
        let Some(directory) = Directory::open(&self.location)? else { return Ok(moved) };
        for name in directory.names(SUFFIX)? {
            if let Err(Invalid::Damaged(_)) = read_entry(&directory, &name) {
                let corrupt = Directory::make(&self.location.join("corrupt"), 0o755)?;
                let new = (0..).map(|n| if n == 0 { name.clone() } else { format!("{name}.{n}") });
                let new = new.into_iter().find(|new| !corrupt.has(new)).unwrap_or_else(|| name.clone());
                directory.rename(&name, &corrupt, &new)?;
                moved.push((directory.join(&name), corrupt.join(&new)));
            }
        }
        Ok(moved)
    }

    /// Writes entries, and moves what they replace into history. An entry that is still waited for keeps what is better
    /// in it than in the device that is removed now. All are on disk when this returns.
    ///
    /// # Errors
    /// The directory cannot be written to, or an entry of one of these places cannot be read and would be lost. Some
    /// entries may have been written then.
    pub fn save(&self, entries: &[RemovedDevice]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let directory = Directory::make(&self.location, 0o755)?;
        for entry in entries {
            let name = file_name(&entry.record.place);
            let mut entry = entry.clone();
            match read_entry(&directory, &name) {
                Ok(old) => {
                    keep_better(&mut entry.record, &old.record);
                    self.remember(old, CloseReason::Replaced, entry.removed_at)?;
                }
                Err(Invalid::Absent) => {}
                Err(why) => return Err(io::Error::other(format!("{name}: {why}"))),
            }
            write(&directory, &name, &entry)?;
        }
        Ok(())
    }

    /// Closes the entries of these places, if there are any: they move to history.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn close(&self, places: &[Place], reason: CloseReason, now: u64) -> io::Result<()> {
        let Some(directory) = Directory::open(&self.location)? else { return Ok(()) };
        for place in places {
            let name = file_name(place);
            if let Ok(entry) = read_entry(&directory, &name) {
                self.remember(entry, reason, now)?;
                directory.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Takes back what [`save`](Self::save) wrote, for functions that are there after all: what was replaced is waited for
    /// again.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn discard(&self, entries: &[RemovedDevice]) -> io::Result<()> {
        let Some(directory) = Directory::open(&self.location)? else { return Ok(()) };
        for entry in entries {
            let name = file_name(&entry.record.place);
            let is_ours = |saved: &RemovedDevice| saved.removed_at == entry.removed_at && saved.top == entry.top;
            if !read_entry(&directory, &name).is_ok_and(|saved| is_ours(&saved)) {
                continue;
            }
            let mut past = self.past(&entry.record.place);
            let replaced = past
                .first()
                .is_some_and(|closed| closed.reason == CloseReason::Replaced && closed.closed_at == entry.removed_at);
            if replaced {
                let old = past.remove(0);
                write(&directory, &name, &old.entry)?;
                self.write_history(&name, past)?;
            } else {
                directory.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Past entries of a place, the latest first.
    pub(crate) fn past(&self, place: &Place) -> Vec<ClosedEntry> {
        let history = Directory::open(&self.location.join("history")).ok().flatten();
        let history = history.and_then(|directory| parse::<History>(&directory, &file_name(place)).ok());
        history.filter(|history| history.schema == SCHEMA).map_or_else(Vec::new, |history| history.past)
    }

    fn remember(&self, entry: RemovedDevice, reason: CloseReason, closed_at: u64) -> io::Result<()> {
        let mut past = self.past(&entry.record.place);
        let name = file_name(&entry.record.place);
        past.insert(0, ClosedEntry { reason, closed_at, entry });
        past.truncate(PAST_KEPT);
        self.write_history(&name, past)
    }

    fn write_history(&self, name: &str, past: Vec<ClosedEntry>) -> io::Result<()> {
        let directory = Directory::make(&self.location.join("history"), 0o755)?;
        write(&directory, name, &History { schema: SCHEMA, past })
    }
}

/// The entry of a file.
fn read_entry(directory: &Directory, name: &str) -> Result<RemovedDevice, Invalid> {
    let entry = parse::<RemovedDevice>(directory, name)?;
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    if file_stem(&entry.record.place) != stem {
        return Err(Invalid::Damaged(format!("it is about {}, which is not what its name says", entry.record.place)));
    }
    Ok(entry)
}

/// What a file holds. A schema that is not known is told apart from damage, whatever else the file holds.
fn parse<T: DeserializeOwned>(directory: &Directory, name: &str) -> Result<T, Invalid> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let bytes = directory.read(name, MAX_LENGTH)?;
    if let Ok(Versioned { schema }) = serde_json::from_slice::<Versioned>(&bytes) {
        if schema != SCHEMA {
            return Err(Invalid::Newer { schema, expected: SCHEMA });
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Invalid::Damaged(format!("not a record that pcictl wrote (line {}, column {})", error.line(), error.column()))
    })
}

/// `pci0000:00+03.0+00.0`: a place's chain holds no plus sign.
fn file_stem(place: &Place) -> String {
    place.chain().replace('/', "+")
}

fn file_name(place: &Place) -> String {
    format!("{}{SUFFIX}", file_stem(place))
}

fn write<T: Serialize>(directory: &Directory, name: &str, content: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(content)?;
    bytes.push(b'\n');
    directory.replace(name, &bytes, 0o644)
}

#[cfg(test)]
mod tests;
