//! What was done to which device, when and by whom: a line at the start of each operation and one at its end.
//!
//! The file is only appended to, and never more than two files of [`LIMIT`] bytes are kept. It is for people who ask afterwards,
//! so nothing waits for it to be on disk, and an operation goes on where it cannot be written. The machine's log gets the same
//! records; this file is there because a log may be kept elsewhere, for days only, or not at all.

use std::fs::File;
use std::io::{self, ErrorKind as Io, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::host::invoker::Invoker;
use crate::lock::acquire::try_lock_file;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::state::file::{Directory, Location, ReadError};

/// The form that is written; a reader that does not know the number passes over the line.
const SCHEMA: u32 = 1;

/// A file that is longer is put aside, in place of the one that was put aside before.
const LIMIT: u64 = 4 << 20;

const FILE: &str = "history";
const OLD: &str = "history.old";

/// A device as it was at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct AuditedDevice {
    /// Where it answered.
    pub(crate) address: PciAddress,
    /// Vendor and device id.
    pub(crate) ids: Option<String>,
    /// Vendor and device by name.
    pub(crate) name: Option<String>,
    /// The driver that had it.
    pub(crate) driver: Option<String>,
    /// The slot it sat in.
    pub(crate) slot: Option<String>,
    /// Its serial number, where it tells one.
    pub(crate) serial: Option<String>,
    /// Its disks, interfaces and the like.
    pub(crate) names: Vec<String>,
}

/// An operation that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct BeginRecord {
    /// The operation's name, as its journal and its report have it.
    pub(crate) operation_id: String,
    /// RFC 3339, UTC.
    pub(crate) time: String,
    /// The boot that the machine was in.
    pub(crate) boot_id: Option<String>,
    /// The kernel's release.
    pub(crate) kernel_release: Option<String>,
    /// The version of pcictl.
    pub(crate) version: String,
    /// The process.
    pub(crate) pid: u32,
    /// The command line.
    pub(crate) command: String,
    /// Who.
    pub(crate) invoker: Invoker,
    /// The nodes that are held for their own sake.
    pub(crate) places: Vec<Place>,
    /// The devices that are written to, at most 32 of them.
    pub(crate) devices: Vec<AuditedDevice>,
    /// How many more there are.
    pub(crate) more_devices: usize,
}

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct EndRecord {
    /// The operation's name.
    pub(crate) operation_id: String,
    /// RFC 3339, UTC.
    pub(crate) time: String,
    /// The process that brought it to its end.
    pub(crate) pid: u32,
    /// The exit status; the last one of an operation that others went on with.
    pub(crate) exit_code: u8,
    /// Whether something was changed and stays so; `None` of a command that ran under locks.
    pub(crate) changed: Option<bool>,
    /// Seconds since it began.
    pub(crate) seconds: f64,
    /// The message of the error that ended it.
    pub(crate) error: Option<String>,
}

/// An operation of this process that has begun and not yet ended.
#[derive(Debug)]
pub(crate) struct OpenRecord {
    /// The operation's name.
    pub(crate) operation_id: String,
    /// The command line.
    pub(crate) command: String,
    /// The devices.
    pub(crate) devices: Vec<PciAddress>,
    /// Since when.
    pub(crate) since: Instant,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum AuditRecord {
    /// The first of an operation.
    Begin(Box<BeginRecord>),
    /// The last.
    End(EndRecord),
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Line<R> {
    schema: u32,
    #[serde(flatten)]
    record: R,
}

/// All records, the oldest first, and how many lines made no sense.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The records.
    pub(crate) records: Vec<AuditRecord>,
    /// Lines that were passed over: damaged, or of a newer pcictl.
    pub(crate) unreadable: usize,
}

/// The file with the records.
#[derive(Debug)]
pub(crate) struct AuditFile {
    directory: Location,
}

impl AuditFile {
    /// The one in the state directory.
    pub(crate) fn in_directory(state: Location) -> Self {
        Self { directory: state }
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join(FILE)
    }

    /// Adds a record at the end.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn append(&self, record: &AuditRecord) -> io::Result<()> {
        let directory = Directory::make(&self.directory, 0o755)?;
        // A struct with string keys can always be written.
        let mut line = serde_json::to_string(&Line { schema: SCHEMA, record }).unwrap_or_default();
        line.push('\n');
        let mut file = open(&directory)?;
        if file.metadata()?.len() + line.len() as u64 > LIMIT && put_aside(&directory, &file)? {
            file = open(&directory)?;
        }
        if is_torn(&file)? {
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes())
    }

    /// All records.
    ///
    /// # Errors
    /// They cannot be read, or others than root could have written them.
    pub(crate) fn read(&self) -> io::Result<Records> {
        let mut records = Records::default();
        let Some(directory) = Directory::open(&self.directory)? else { return Ok(records) };
        for name in [OLD, FILE] {
            let bytes = match directory.read(name, 2 * LIMIT) {
                Ok(bytes) => bytes,
                Err(ReadError::Absent) => continue,
                Err(ReadError::Unreadable(error)) => return Err(error),
                Err(ReadError::Foreign(why)) => return Err(io::Error::other(why)),
            };
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice::<Line<AuditRecord>>(line) {
                    Ok(Line { schema: SCHEMA, record }) => records.records.push(record),
                    _ => records.unreadable += 1,
                }
            }
        }
        Ok(records)
    }
}

/// Whether the last line has no end, as that of whoever found the file system full: this one must not become a part of it.
fn is_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn open(directory: &Directory) -> io::Result<File> {
    match directory.open_file(FILE, true) {
        Ok(file) => Ok(file),
        Err(ReadError::Absent) => match directory.create_new(FILE, 0o600, |_| Ok(())) {
            // Another operation was quicker.
            Err(error) if error.kind() == Io::AlreadyExists => open(directory),
            created => created,
        },
        Err(ReadError::Unreadable(error)) => Err(error),
        Err(ReadError::Foreign(why)) => Err(io::Error::other(why)),
    }
}

/// Makes room for a new file, unless another operation is doing so or has done so: then the old one gets a line more.
fn put_aside(directory: &Directory, file: &File) -> io::Result<bool> {
    let is_same = |name: &str| {
        let there = directory.open_file(name, false).ok().and_then(|file| file.metadata().ok());
        there.is_some_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino()))
    };
    if !try_lock_file(file)? || !is_same(FILE) {
        return Ok(!is_same(FILE));
    }
    directory.remove(OLD)?;
    directory.rename(FILE, directory, OLD)?;
    Ok(true)
}

/// A duration as the records have it.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(number: usize) -> AuditRecord {
        AuditRecord::End(EndRecord {
            operation_id: format!("{number}-1"),
            time: "2026-11-28T14:03:05.120Z".to_owned(),
            pid: 1,
            exit_code: 0,
            changed: Some(true),
            seconds: 1.5,
            error: Some("x".repeat(1000)),
        })
    }

    fn file() -> (tempfile::TempDir, AuditFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = AuditFile::in_directory(Location::own(directory.path().join("state")));
        (directory, file)
    }

    #[test]
    fn what_is_appended_is_read_and_what_makes_no_sense_is_counted() {
        let (_directory, file) = file();
        assert!(file.read().unwrap().records.is_empty());
        file.append(&end(1)).unwrap();
        let mut raw = std::fs::OpenOptions::new().append(true).open(file.path()).unwrap();
        raw.write_all(b"{\"schema\":2,\"record\":\"end\"}\nnonsense\n").unwrap();
        file.append(&end(2)).unwrap();
        let records = file.read().unwrap();
        assert_eq!((records.records, records.unreadable), (vec![end(1), end(2)], 2));
        raw.write_all(b"{\"schema\":1,\"rec").unwrap();
        file.append(&end(3)).unwrap();
        let records = file.read().unwrap();
        assert_eq!((records.records, records.unreadable), (vec![end(1), end(2), end(3)], 3));
    }

    #[test]
    fn a_long_file_is_put_aside_and_the_last_ones_are_kept() {
        let (_directory, file) = file();
        let many = usize::try_from(LIMIT).unwrap() * 5 / 2 / 1000;
        (0..many).for_each(|number| file.append(&end(number)).unwrap());
        let records = file.read().unwrap().records;
        assert!(records.len() < many && records.len() > many / 3, "{} of {many}", records.len());
        assert_eq!(records.last(), Some(&end(many - 1)));
        let length = |name: &str| std::fs::metadata(file.directory.path().join(name)).unwrap().len();
        assert!(length(FILE) <= LIMIT && length(OLD) <= LIMIT);
    }
}
