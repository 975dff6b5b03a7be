//! The ledger: what devices were when they were removed, kept on disk so that a rescan can tell what came back.
//!
//! One file per entry, one entry per place: the latest removal of what sat there. Whoever writes an entry holds its
//! place's lock (see [`claims`](crate::lock::claims)), so entries need no lock of their own. Files are replaced whole and
//! flushed, so that after a power loss there is the old entry or the new one. An entry is kept until the function is back
//! as it was or the difference was accepted; then it moves to the place's history. A file that cannot be read as an entry
//! is set aside and reported, never taken for one.
//!
//! Not promised: an entry says what was, not what is. A device may be back without the ledger knowing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NOFOLLOW;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::order;
use crate::pci::place::Place;
use crate::verify::record::{RemovedDevice, SCHEMA};
use crate::verify::verdict::CloseReason;

/// How many past entries of a place are kept.
pub(crate) const PAST_KEPT: usize = 20;

/// No entry is as long; what is was not written by pcictl.
const LONGEST: u64 = 4 << 20;

const SUFFIX: &str = ".json";

/// An entry that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClosedEntry {
    /// How it ended.
    pub(crate) ended: CloseReason,
    /// When, in seconds since 1970.
    pub(crate) ended_at: u64,
    /// The entry.
    pub(crate) entry: RemovedDevice,
}

#[derive(Serialize, Deserialize)]
struct History {
    schema: u32,
    /// The latest first.
    past: Vec<ClosedEntry>,
}

/// All entries, and what was found that is none.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The entries, ordered by place.
    pub(crate) entries: Vec<RemovedDevice>,
    /// What could not be used, a line each, for people.
    pub(crate) notes: Vec<String>,
}

/// The ledger in one directory.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    /// The ledger below a state directory. Nothing is read or made yet.
    pub fn below(state: &Path) -> Self {
        Self { directory: state.join("ledger") }
    }

    /// Every entry. Files that are none are moved to `corrupt/` if that can be done, and reported in any case.
    ///
    /// # Errors
    /// The directory is there and cannot be read, or others could have written to it.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
            entries => entries?,
        };
        self.check_trust()?;
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let Some(stem) = name.strip_suffix(SUFFIX) else { continue };
            match self.read_entry(&name, stem) {
                Ok(entry) => listing.entries.extend(entry),
                Err(why) => listing.notes.push(self.set_aside(&name, &why)),
            }
        }
        order::sort_by(&mut listing.entries, |a, b| a.record.place.cmp(&b.record.place));
        Ok(listing)
    }

    /// Writes entries, and what they replace into history. All are on disk when this returns.
    ///
    /// # Errors
    /// The directory cannot be written to. Some entries may have been written then.
    pub fn save(&self, entries: &[RemovedDevice], now: u64) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        make_directory(&self.directory)?;
        self.check_trust()?;
        for entry in entries {
            let name = file_name(&entry.record.place);
            if let Ok(Some(old)) = self.read_entry(&name, stem(&name)) {
                self.remember(old, CloseReason::Replaced, now)?;
            }
            write_whole(&self.directory, &name, entry)?;
        }
        File::open(&self.directory)?.sync_all()
    }

    /// Ends the entries of these places, if there are any: they move to history.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn close(&self, places: &[Place], how: CloseReason, now: u64) -> io::Result<()> {
        for place in places {
            let name = file_name(place);
            if let Ok(Some(entry)) = self.read_entry(&name, stem(&name)) {
                self.remember(entry, how, now)?;
                fs::remove_file(self.directory.join(name))?;
            }
        }
        match File::open(&self.directory) {
            Ok(directory) => directory.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back what [`save`](Self::save) wrote, for functions that are there after all.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(crate) fn discard(&self, entries: &[RemovedDevice]) -> io::Result<()> {
        for entry in entries {
            match fs::remove_file(self.directory.join(file_name(&entry.record.place))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Past entries of a place, the latest first.
    pub(crate) fn past(&self, place: &Place) -> Vec<ClosedEntry> {
        let path = self.directory.join("history").join(file_name(place));
        read_json::<History>(&path)
            .ok()
            .flatten()
            .filter(|history| history.schema == SCHEMA)
            .map_or(Vec::new(), |h| h.past)
    }

    fn remember(&self, entry: RemovedDevice, ended: CloseReason, ended_at: u64) -> io::Result<()> {
        let directory = self.directory.join("history");
        make_directory(&directory)?;
        let mut past = self.past(&entry.record.place);
        let name = file_name(&entry.record.place);
        past.insert(0, ClosedEntry { ended, ended_at, entry });
        past.truncate(PAST_KEPT);
        write_whole(&directory, &name, &History { schema: SCHEMA, past })
    }

    /// The entry of a file; none if there is no such file.
    fn read_entry(&self, name: &str, stem: &str) -> Result<Option<RemovedDevice>, String> {
        let path = self.directory.join(name);
        let Some(entry) = read_json::<RemovedDevice>(&path)? else { return Ok(None) };
        if entry.schema != SCHEMA {
            return Err(format!("its schema is {}, and this pcictl knows {SCHEMA}", entry.schema));
        }
        if file_stem(&entry.record.place) != stem {
            return Err(format!("it is about {}, which is not what its name says", entry.record.place));
        }
        Ok(Some(entry))
    }

    /// Moves a file out of the way, and says so.
    fn set_aside(&self, name: &str, why: &str) -> String {
        let (from, to) = (self.directory.join(name), self.directory.join("corrupt"));
        let moved = make_directory(&to).and_then(|()| fs::rename(&from, to.join(name)));
        let what = format!("{}: no ledger entry: {why}", from.display());
        match moved {
            Ok(()) => format!("{what}; moved to {}", to.display()),
            Err(error) => format!("{what}; left where it is ({})", crate::error::plain(&error)),
        }
    }

    /// What is in the ledger is written back by `--restore`: it must come from root, or from whoever runs this.
    fn check_trust(&self) -> io::Result<()> {
        let metadata = fs::symlink_metadata(&self.directory)?;
        let owned = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
        if metadata.is_dir() && owned && metadata.mode() & 0o022 == 0 {
            return Ok(());
        }
        let message = "others than root can write to it, or it is no directory: not trusted";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

/// `pci0000:00+03.0+00.0`: a place's chain holds no plus sign.
fn file_stem(place: &Place) -> String {
    place.chain().replace('/', "+")
}

fn file_name(place: &Place) -> String {
    format!("{}{SUFFIX}", file_stem(place))
}

fn stem(name: &str) -> &str {
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Replaces a file as a whole: afterwards it holds the old content or the new, whatever happens.
fn write_whole<T: Serialize>(directory: &Path, name: &str, content: &T) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644).custom_flags(O_NOFOLLOW);
    let written = options.open(&temporary).and_then(|mut file| {
        let mut bytes = serde_json::to_vec_pretty(content)?;
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&temporary, directory.join(name)));
    if placed.is_err() {
        // Nothing but a stray temporary file is left if this fails, too.
        let _ = fs::remove_file(&temporary);
    }
    placed
}

/// What a file holds; none if it is not there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let opened = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(crate::error::plain(&error)),
        Ok(file) => file,
    };
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| crate::error::plain(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
