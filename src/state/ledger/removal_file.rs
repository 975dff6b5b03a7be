//! One file of the ledger: what one removal took away, and what of that is no longer waited for.
//!
//! `pci0000:00+03.0@1764400000.json` was written by the removal of that place, of the first one if there were several. The
//! number is the time, or one more than any number so far, so that of two files with an entry of one place it tells the
//! later one. A file of the versions before holds a single entry, and is called by its place without a number: it counts
//! by its time. What is past of a file stays in it until it waits for nothing any more, and goes to history with it.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::pci::place::Place;
use crate::state::file::{Directory, Invalid};
use crate::verify::record::{RemovedDevice, SCHEMA as SCHEMA_OF_ENTRY};
use crate::verify::verdict::CloseReason;

/// How many past entries of a place are kept, and how many files of one name in history.
pub(crate) const PAST_KEPT: usize = 20;

/// No file is this long; a longer one was not written by pcictl.
pub(crate) const MAX_LENGTH: u64 = 16 << 20;

/// What names end with.
pub(crate) const SUFFIX: &str = ".json";

const SCHEMA: u32 = 2;

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

/// A file with its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemovalFile {
    schema: u32,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    number: u64,
    /// What is waited for, unless a later file has an entry of its place.
    pub(crate) entries: Vec<RemovedDevice>,
    /// What is not, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) past: Vec<ClosedEntry>,
}

impl RemovalFile {
    /// The file of a removal at this place.
    pub(crate) fn new(top: &Place, number: u64, entries: Vec<RemovedDevice>) -> Self {
        Self { schema: SCHEMA, name: numbered(&stem_of(top), number), number, entries, past: Vec::new() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is of a newer schema, or makes no sense.
    pub(crate) fn read(directory: &Directory, name: &str) -> Result<Self, Invalid> {
        Self::parse(name, &directory.read(name, MAX_LENGTH)?)
    }

    /// What a file of this name holds. A schema that is not known is told apart from damage, whatever else the file holds.
    ///
    /// # Errors
    /// It is of a newer schema, or makes no sense.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let schema = serde_json::from_slice::<Versioned>(bytes).map_or(SCHEMA_OF_ENTRY, |versioned| versioned.schema);
        let file = match schema {
            SCHEMA => serde_json::from_slice(bytes),
            SCHEMA_OF_ENTRY => serde_json::from_slice(bytes)
                .map(|entry: RemovedDevice| Self { entries: vec![entry], ..Self::new(&Place::root(), 0, Vec::new()) }),
            _ => return Err(Invalid::Newer { schema, expected: SCHEMA }),
        };
        let file = file.map_err(|error| {
            Invalid::Damaged(format!(
                "not a record that pcictl wrote (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if let ([RemovedDevice { record, .. }], SCHEMA_OF_ENTRY) = (file.entries.as_slice(), schema) {
            if format!("{}{SUFFIX}", stem_of(&record.place)) != name {
                let why = format!("it is about {}, which is not what its name says", record.place);
                return Err(Invalid::Damaged(why));
            }
        }
        let latest = || file.entries.iter().map(|entry| entry.removed_at).max();
        let number = number_of(name).or_else(latest).unwrap_or_default();
        Ok(Self { name: name.to_owned(), number, ..file })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What tells the later of two files.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a version wrote it that gave each entry a file.
    pub(crate) fn is_of_one_entry(&self) -> bool {
        number_of(&self.name).is_none()
    }

    /// The places of what is waited for.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.entries.iter().map(|entry| &entry.record.place)
    }

    /// Closes the entries for which there is a reason.
    pub(crate) fn close(&mut self, now: u64, mut reason: impl FnMut(&Place) -> Option<CloseReason>) {
        let mut closed = Vec::new();
        self.entries.retain(|entry| {
            let Some(reason) = reason(&entry.record.place) else { return true };
            closed.push(ClosedEntry { reason, closed_at: now, entry: entry.clone() });
            false
        });
        closed.append(&mut self.past);
        self.keep(closed);
    }

    /// Takes over what is past of another file, which is to go.
    pub(crate) fn take_over(&mut self, other: &Self) {
        let past = std::mem::take(&mut self.past);
        self.keep(past.into_iter().chain(other.past.iter().cloned()));
    }

    fn keep(&mut self, past: impl IntoIterator<Item = ClosedEntry>) {
        let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
        self.past.extend(past);
        self.past.retain(|closed| {
            let count = counts.entry(closed.entry.record.place.clone()).or_default();
            *count += 1;
            *count <= PAST_KEPT
        });
    }

    /// The same under the name that it has in history, which is never that of a file of the versions before: theirs hold the
    /// past of a place.
    pub(crate) fn in_history(&self) -> Self {
        Self { name: numbered(self.stem(), self.number), ..self.clone() }
    }

    /// Its name without the number.
    pub(crate) fn stem(&self) -> &str {
        stem(&self.name)
    }

    /// As it is written. What is past gives way where the file would be too long to be read again.
    ///
    /// # Errors
    /// It is too long without that.
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        match bytes.len() as u64 {
            length if length <= MAX_LENGTH => Ok(bytes),
            _ if self.past.is_empty() => Err(io::ErrorKind::FileTooLarge.into()),
            _ => Self { past: Vec::new(), ..self.clone() }.bytes(),
        }
    }
}

/// The number in a name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.rsplit_once('@')?.1.parse().ok()
}

/// A name without its number.
pub(crate) fn stem(name: &str) -> &str {
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    name.rsplit_once('@').map_or(name, |(stem, _)| stem)
}

/// `pci0000:00+03.0+00.0`: a place's chain holds no plus sign, and no at sign.
fn stem_of(place: &Place) -> String {
    place.chain().replace('/', "+")
}

fn numbered(stem: &str, number: u64) -> String {
    format!("{stem}@{number}{SUFFIX}")
}
