//! The journals' files: one per operation in `journal/` of the run directory, and a marker in the state directory that
//! outlives a reboot and says that an operation was under way.
//!
//! A journal appears as a whole or not at all, is only ever appended to, and has the room for its lines reserved before
//! the first write to the kernel: a full /run keeps an operation from starting, not from ending. What is left of the room
//! is given back at the end. While anybody works on the operation the file is locked, by the operation's own process and,
//! through it, by the writer.

use std::fs::File;
use std::io::{self, ErrorKind as Io, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::error::{Error, ErrorKind, Result, plain};
use crate::lock::acquire;
use crate::order;
use crate::plan::action::{Action, Step, StepRef};
use crate::state::file::{Directory, Invalid, Location};
use crate::state::journal::record::{Header, JournalLine, OperationRecord};

/// How many journals of closed operations are kept.
const KEPT: usize = 64;

/// No journal is this long; a longer file was not written by pcictl.
const MAX_LENGTH: u64 = 8 << 20;

/// Room for one line about a step.
const LINE: usize = 512;

/// How often a journal that seems to be worked on is asked again.
const LOOKS: usize = 20;

const JOURNAL: &str = ".journal";
const MARKER: &str = ".json";

/// Where journals are.
#[derive(Clone, Debug)]
pub struct Journals {
    journals: Location,
    markers: Location,
}

/// The journal of an operation that this process works on.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    markers: Location,
    id: String,
    began: u64,
}

/// A journal that was found.
#[derive(Debug)]
pub struct JournalFile {
    /// Its file.
    pub(crate) path: PathBuf,
    name: String,
    /// What it says, or why it says nothing.
    pub record: std::result::Result<OperationRecord, Invalid>,
    /// Somebody works on the operation.
    pub(crate) busy: bool,
}

/// Markers of operations whose journals are gone.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    /// Operations that a reboot interrupted.
    pub(crate) rebooted: Vec<Header>,
    /// Operations of this boot: somebody removed the journal.
    pub(crate) lost: Vec<Header>,
    /// Markers that cannot be read, with the reason, and whether they make no sense and may be set aside.
    pub(crate) bad: Vec<(PathBuf, Invalid)>,
}

impl Journals {
    /// Those in these directories of this machine.
    pub fn below(run: &Path, state: &Path) -> Self {
        Self::at(&Location::own(run.to_path_buf()), &Location::own(state.to_path_buf()))
    }

    /// Those in these directories.
    pub(crate) fn at(run: &Location, state: &Location) -> Self {
        Self { journals: run.join("journal"), markers: state.join("operations") }
    }

    /// Writes a journal's header before anything is done, durably. That the marker cannot be written is only a warning.
    ///
    /// # Errors
    /// It cannot be written, and nothing may be started.
    pub(crate) fn begin(&self, mut header: Header) -> Result<(Journal, Option<String>)> {
        let failed = |error: &io::Error| {
            let path = self.journals.path().display();
            let message = format!("cannot write the journal in {path}: {}; nothing was changed", plain(error));
            let permission = error.kind() == Io::PermissionDenied;
            Error::new(if permission { ErrorKind::NotPermitted } else { ErrorKind::Failed }, message)
        };
        let directory = Directory::make(&self.journals, 0o700).map_err(|error| failed(&error))?;
        self.prune(&directory, KEPT);
        while directory.has(&format!("{}{JOURNAL}", header.id)) {
            header.id.push('+');
        }
        let file = match create(&directory, &header) {
            // Journals of closed operations are worth less than the next one.
            Err(error) if matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded) => {
                self.prune(&directory, 0);
                create(&directory, &header)
            }
            result => result,
        };
        let file = file.map_err(|error| failed(&error))?;
        let journal = self.journal(file, &header);
        let warning = self.write_marker(&header).err().map(|error| {
            let path = self.markers.path().display();
            format!("{path}: {}; a power loss now would leave no trace of this operation", plain(&error))
        });
        Ok((journal, warning))
    }

    /// Takes over the journal of an operation that nobody works on any more, and reads it again: somebody else may have
    /// gone on with it since it was found. `None` if somebody works on it after all.
    ///
    /// # Errors
    /// It cannot be opened, or gives no record any more.
    pub(crate) fn take_over(&self, found: &JournalFile) -> io::Result<Option<(Journal, OperationRecord)>> {
        let directory = Directory::open(&self.journals)?.ok_or(Io::NotFound)?;
        let file = directory
            .open_file(&found.name, true)
            .map_err(|error| io::Error::other(Invalid::from(error).to_string()))?;
        if !lock_soon(&file, pause)? {
            return Ok(None);
        }
        let record = read(&directory, &found.name).map_err(|invalid| io::Error::other(invalid.to_string()))?;
        cut_torn_line(&file)?;
        Ok(Some((self.journal(file, &record.header), record)))
    }

    /// The same journal, when a moment has passed or nobody works on it any more.
    ///
    /// # Errors
    /// The directory cannot be read, or others may write there.
    pub(crate) fn look_again(&self, found: &JournalFile) -> io::Result<JournalFile> {
        let directory = Directory::open(&self.journals)?.ok_or(Io::NotFound)?;
        if let Ok(file) = directory.open_file(&found.name, false) {
            lock_soon(&file, pause)?;
        }
        Ok(examine(&directory, found.name.clone()))
    }

    /// Gives a journal back to an operation of this boot that lost it: every step but those that bring back counts
    /// as started, and the tree tells which of them are done.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn restore(&self, header: &Header) -> io::Result<(Journal, OperationRecord)> {
        let directory = Directory::make(&self.journals, 0o700)?;
        let journal = self.journal(create(&directory, header)?, header);
        let record = OperationRecord::all_started(header.clone());
        for mark in record.ends.keys() {
            journal.begin_step(*mark, &record.steps[mark.step].action)?;
        }
        Ok((journal, record))
    }

    fn journal(&self, file: File, header: &Header) -> Journal {
        Journal { file, markers: self.markers.clone(), id: header.id.clone(), began: header.began }
    }

    /// All journals, the oldest first.
    ///
    /// # Errors
    /// The directory cannot be read, or others may write there.
    pub fn list(&self) -> Result<Vec<JournalFile>> {
        let failed = |error: &io::Error| Error::io(self.journals.path().display(), error);
        let Some(directory) = Directory::open(&self.journals).map_err(|error| failed(&error))? else {
            return Ok(Vec::new());
        };
        let names = names_by_age(&directory).map_err(|error| failed(&error))?;
        Ok(names.into_iter().map(|name| examine(&directory, name)).collect())
    }

    /// Markers without a journal: of operations that a reboot interrupted, and of some of this boot whose journal
    /// disappeared. A marker is written after its journal and removed before it, so that the journal is asked for last.
    pub(crate) fn orphans(&self, boot: &str) -> Orphans {
        let mut orphans = Orphans::default();
        let directory = match Directory::open(&self.markers) {
            Ok(Some(directory)) => directory,
            Ok(None) => return orphans,
            Err(error) => {
                orphans.bad.push((self.markers.path().to_path_buf(), Invalid::Unreadable(plain(&error))));
                return orphans;
            }
        };
        let has_journal = |header: &Header| {
            let journals = Directory::open(&self.journals).ok().flatten();
            journals.is_some_and(|journals| journals.has(&format!("{}{JOURNAL}", header.id)))
        };
        for name in directory.names(MARKER).unwrap_or_default() {
            match read_marker(&directory, &name) {
                // Also one of an earlier boot, where the run directory is on a disk.
                Ok(header) if has_journal(&header) => {}
                Ok(header) if header.boot != boot => orphans.rebooted.push(header),
                Ok(header) => orphans.lost.push(header),
                // It was removed since it was listed: its operation is over.
                Err(Invalid::Absent) => {}
                Err(invalid) => orphans.bad.push((directory.join(&name), invalid)),
            }
        }
        for headers in [&mut orphans.rebooted, &mut orphans.lost] {
            order::sort_by(headers, |a: &Header, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        }
        orphans
    }

    /// Removes the marker of an operation.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_marker(&self, id: &str) -> io::Result<()> {
        remove_marker(&self.markers, id)
    }

    /// Moves a journal or marker that makes no sense out of the way; returns its new path.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let is_journal = path.parent() == Some(self.journals.path());
        let location = if is_journal { &self.journals } else { &self.markers };
        let directory = Directory::open(location)?.ok_or(Io::NotFound)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(Io::InvalidInput)?;
        let new = (0..).map(|n| if n == 0 { format!("{name}.bad") } else { format!("{name}.{n}.bad") });
        let new = new.into_iter().find(|new| !directory.has(new)).unwrap_or_default();
        directory.rename(name, &directory, &new)?;
        Ok(directory.join(&new))
    }

    /// Drops the oldest journals of closed operations when there are more than so many.
    fn prune(&self, directory: &Directory, kept: usize) {
        let names = names_by_age(directory).unwrap_or_default();
        let surplus = names.len().saturating_sub(kept);
        let is_over =
            |found: &JournalFile| !found.busy && found.record.as_ref().is_ok_and(|record| record.closed.is_some());
        let found = names.into_iter().map(|name| examine(directory, name));
        for old in found.filter(is_over).take(surplus) {
            // Its marker may have been left behind by a kill right after the last line, and would say that a journal was lost.
            // One that stays is only one more.
            let _ = remove_marker(&self.markers, old.id()).and_then(|()| directory.remove(&old.name).map(|_| ()));
        }
    }

    fn write_marker(&self, header: &Header) -> io::Result<()> {
        let directory = Directory::make(&self.markers, 0o755)?;
        directory.replace(&format!("{}{MARKER}", header.id), &serde_json::to_vec(header)?, 0o600)
    }
}

/// The files of all journals, the oldest first. Two of one second and one process differ in what their IDs end with; the
/// names of the files would not do, for their suffix sorts behind that.
fn names_by_age(directory: &Directory) -> io::Result<Vec<String>> {
    let mut names = directory.names(JOURNAL)?;
    order::sort_by(&mut names, |a: &String, b| a.strip_suffix(JOURNAL).cmp(&b.strip_suffix(JOURNAL)));
    Ok(names)
}

impl JournalFile {
    /// Its operation's name, by the name of the file.
    pub(crate) fn id(&self) -> &str {
        self.name.strip_suffix(JOURNAL).unwrap_or(&self.name)
    }
}

impl Journal {
    /// The operation's name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// When its operation began, in seconds since 1970.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// Adds steps to the plan, before the first of them is started.
    ///
    /// # Errors
    /// They cannot be noted, and none of them must be started.
    pub(crate) fn extend(&self, steps: &[Step]) -> std::result::Result<(), Errno> {
        append(&self.file, &JournalLine::Extended { steps: steps.to_vec() })
    }

    /// Notes that a step is about to be given to the kernel.
    ///
    /// # Errors
    /// It cannot be noted, and the step must not be started.
    pub(crate) fn begin_step(&self, mark: StepRef, action: &Action) -> std::result::Result<(), Errno> {
        let action = mark.undo.then(|| action.clone());
        append(&self.file, &JournalLine::Begun { mark, action })
    }

    /// Notes how a step ended.
    ///
    /// # Errors
    /// It cannot be noted.
    pub(crate) fn end_step(&self, mark: StepRef, errno: i32) -> std::result::Result<(), Errno> {
        append(&self.file, &JournalLine::Ended { mark, errno })
    }

    /// Notes that nothing is left to be done, and gives back the room that was reserved.
    ///
    /// # Errors
    /// It cannot be noted.
    pub(crate) fn close(&self, how: &str) -> std::result::Result<(), Errno> {
        append(&self.file, &JournalLine::Closed { how: how.to_owned() })?;
        if let Ok(metadata) = self.file.metadata() {
            // Cutting a file to the length that it has frees what was allocated behind its end.
            let _ = self.file.set_len(metadata.len());
        }
        // What is left of it is reported by `pcictl status`.
        let _ = remove_marker(&self.markers, &self.id);
        Ok(())
    }

    /// For the writer.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

#[cfg(test)]
impl Journal {
    /// One that nothing can be noted in.
    pub(crate) fn on_a_full_disk() -> Self {
        let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        Self { file, markers: Location::own(PathBuf::from("/dev/full")), id: String::new(), began: 0 }
    }
}

/// Notes in an inherited journal how a step ended.
///
/// # Errors
/// It cannot be noted, for example because there is no journal.
pub(crate) fn note_end(journal: BorrowedFd, mark: StepRef, errno: i32) -> std::result::Result<(), Errno> {
    append(journal, &JournalLine::Ended { mark, errno })
}

/// One call to write, which is whole or fails: room was reserved.
fn append(file: impl std::os::fd::AsFd, line: &JournalLine) -> std::result::Result<(), Errno> {
    let text = line.text();
    loop {
        match nix::unistd::write(&file, text.as_bytes()) {
            Ok(written) if written == text.len() => return nix::unistd::fdatasync(&file),
            Ok(_) => {
                // What cannot be cut is cut by whoever takes the journal over.
                let _ = file.as_fd().try_clone_to_owned().and_then(|file| cut_torn_line(&File::from(file)));
                return Err(Errno::ENOSPC);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Takes away a last line without its end, which counts as never written: the next line must not become a part of it, or
/// nothing in the journal could be trusted any more.
fn cut_torn_line(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut bytes = vec![0; usize::try_from(length.min(MAX_LENGTH)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1) as u64;
    if end == length {
        return Ok(());
    }
    file.set_len(end)?;
    file.sync_data()
}

/// The file gets its name when it is complete and locked.
fn create(directory: &Directory, header: &Header) -> io::Result<File> {
    let text = JournalLine::Header(header.clone()).text();
    // Begun and ended, noted by the writer and by its parent, and the same when a step is undone, which may take three
    // writes. Then the last line, and what was not planned.
    let room = text.len() + LINE * (12 * header.steps.len() + 16);
    directory.create_new(&format!("{}{JOURNAL}", header.id), 0o600, |file| {
        match fallocate(&*file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, i64::try_from(room).unwrap_or(i64::MAX)) {
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            Err(errno) => return Err(errno.into()),
        }
        file.write_all(text.as_bytes())?;
        if !acquire::try_lock_file(file)? {
            return Err(io::Error::other("somebody else has locked it"));
        }
        Ok(())
    })
}

fn remove_marker(markers: &Location, id: &str) -> io::Result<()> {
    match Directory::open(markers)? {
        Some(directory) => directory.remove(&format!("{id}{MARKER}")).map(|_| ()),
        None => Ok(()),
    }
}

/// Whether somebody works on it is asked first: what is being written to may be of any form.
fn examine(directory: &Directory, name: String) -> JournalFile {
    let file = directory.open_file(&name, false);
    let busy = file.is_ok_and(|file| acquire::is_locked(&file).unwrap_or(false));
    JournalFile { path: directory.join(&name), record: read(directory, &name), busy, name }
}

/// Locks a journal that nobody works on; false if somebody does. Whoever looks at a process's descriptors keeps its files
/// open for an instant after the process has closed them or was killed (proc_fd_link in fs/proc/fd.c), and their locks
/// with them; that is nobody who works on anything.
fn lock_soon(file: &File, mut pause: impl FnMut()) -> io::Result<bool> {
    for _ in 0..LOOKS {
        if acquire::try_lock_file(file)? {
            return Ok(true);
        }
        pause();
    }
    acquire::try_lock_file(file)
}

fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn read(directory: &Directory, name: &str) -> std::result::Result<OperationRecord, Invalid> {
    OperationRecord::parse(&text(directory, name)?)
}

fn read_marker(directory: &Directory, name: &str) -> std::result::Result<Header, Invalid> {
    Header::parse(&text(directory, name)?)
}

fn text(directory: &Directory, name: &str) -> std::result::Result<String, Invalid> {
    let bytes = directory.read(name, MAX_LENGTH)?;
    String::from_utf8(bytes).map_err(|_| Invalid::Damaged("not text".to_owned()))
}

#[cfg(test)]
mod tests;
