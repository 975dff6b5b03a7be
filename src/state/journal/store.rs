//! The journals' files: one an operation in `journal/` of the run directory, and a note in the state directory that
//! outlives a reboot and says that an operation was on its way.
//!
//! A journal appears as a whole or not at all, is only ever appended to, and has the room for its lines reserved before
//! the first write to the kernel: a full /run keeps an operation from beginning, not from ending. While anybody works on
//! the operation the file is locked, by the operation's own process and, through it, by the helpers.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Result, plain};
use crate::lock::acquire;
use crate::order;
use crate::plan::action::{Action, StepRef};
use crate::state::journal::record::{Header, JournalLine, OperationRecord};

/// How many journals of ended operations are kept.
const KEPT: usize = 64;

/// No journal is as long; what is was not written by pcictl.
const LONGEST: u64 = 8 << 20;

/// Room for one line about a step.
const LINE: usize = 512;

const SUFFIX: &str = ".journal";

/// Where journals are.
#[derive(Clone, Debug)]
pub struct Journals {
    directory: PathBuf,
    markers: PathBuf,
}

/// The journal of an operation that this process works on.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    planned: usize,
    marker: PathBuf,
}

/// A journal that was found.
#[derive(Debug)]
pub struct JournalFile {
    /// Its file.
    pub(crate) path: PathBuf,
    /// What it tells, or why it cannot be trusted.
    pub record: std::result::Result<OperationRecord, String>,
    /// Somebody works on the operation.
    pub(crate) busy: bool,
}

impl Journals {
    /// Those in these directories.
    pub fn below(run: &Path, state: &Path) -> Self {
        Self { directory: run.join("journal"), markers: state.join("operations") }
    }

    /// Writes a journal's header before anything is done, durably.
    ///
    /// # Errors
    /// It cannot be written, and nothing may be begun. That the note cannot be written is only told.
    pub(crate) fn begin(&self, mut header: Header) -> Result<(Journal, Option<String>)> {
        let trouble = |error: &io::Error| {
            let message = format!(
                "the journal in {} cannot be written: {}; nothing was changed",
                self.directory.display(),
                plain(error)
            );
            let permission = error.kind() == io::ErrorKind::PermissionDenied;
            Error::new(if permission { ErrorKind::NotPermitted } else { ErrorKind::Failed }, message)
        };
        self.check_directory().map_err(|error| trouble(&error))?;
        self.prune();
        while self.directory.join(format!("{}{SUFFIX}", header.id)).symlink_metadata().is_ok() {
            header.id.push('+');
        }
        let file = self.create(&header).map_err(|error| trouble(&error))?;
        let marker = self.markers.join(format!("{}.json", header.id));
        let warning = write_marker(&marker, &header).err().map(|error| {
            format!(
                "{}: {}; should the machine lose power now, nobody will know of this",
                marker.display(),
                plain(&error)
            )
        });
        Ok((Journal { file, planned: header.steps.len(), marker }, warning))
    }

    /// Takes over the journal of an operation that nobody works on any more.
    ///
    /// # Errors
    /// It cannot be opened. None if somebody works on it after all.
    pub(crate) fn take_over(&self, found: &JournalFile, record: &OperationRecord) -> io::Result<Option<Journal>> {
        let file = open(&found.path, true)?;
        let marker = self.markers.join(format!("{}.json", record.header.id));
        Ok(acquire::try_lock_file(&file)?.then_some(Journal { file, planned: record.header.steps.len(), marker }))
    }

    /// All journals, the oldest first.
    ///
    /// # Errors
    /// The directory cannot be read, or others may write there.
    pub fn list(&self) -> Result<Vec<JournalFile>> {
        let mut names = match fs::read_dir(&self.directory) {
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(self.directory.display(), &error)),
        };
        check_owner(&self.directory).map_err(|error| Error::io(self.directory.display(), &error))?;
        names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(SUFFIX)));
        order::sort(&mut names);
        Ok(names.into_iter().map(|name| examine(&self.directory.join(name))).collect())
    }

    /// The notes of operations that another boot has cut off, as headers; and what cannot be read.
    pub(crate) fn interrupted_by_reboot(&self, boot: &str) -> (Vec<Header>, Vec<PathBuf>) {
        let (mut headers, mut bad) = (Vec::new(), Vec::new());
        let entries = fs::read_dir(&self.markers).map(|entries| entries.flatten().collect::<Vec<_>>());
        for entry in entries.unwrap_or_default() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let header = read(&path).ok().and_then(|text| serde_json::from_str::<Header>(&text).ok());
            match header {
                Some(header) if header.boot == boot => {}
                Some(header) => headers.push(header),
                None => bad.push(path),
            }
        }
        order::sort_by(&mut headers, |a: &Header, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        (headers, bad)
    }

    /// Forgets the note of an operation.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_marker(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.markers.join(format!("{id}.json"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a file that cannot be trusted where nobody reads it; gives its new path.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".bad");
        fs::rename(path, &aside)?;
        Ok(aside.into())
    }

    fn check_directory(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        check_owner(&self.directory)
    }

    /// The file gets its name when it is complete and locked.
    fn create(&self, header: &Header) -> io::Result<File> {
        let path = self.directory.join(format!("{}{SUFFIX}", header.id));
        let temporary = self.directory.join(format!(".{}", header.id));
        let written = write_header(&temporary, header).and_then(|file| {
            fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()?;
            Ok(file)
        });
        if written.is_err() {
            // Nothing but a stray temporary file is left if this fails, too.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Drops the oldest journals of ended operations when there are many.
    fn prune(&self) {
        let count = fs::read_dir(&self.directory).map_or(0, Iterator::count);
        if count <= KEPT {
            return;
        }
        let over =
            |found: &JournalFile| !found.busy && found.record.as_ref().is_ok_and(|record| record.closed.is_some());
        let found = self.list().unwrap_or_default();
        for old in found.iter().filter(|found| over(found)).take(count - KEPT) {
            let _ = fs::remove_file(&old.path);
        }
    }
}

impl Journal {
    /// Notes that a step is about to be given to the kernel.
    ///
    /// # Errors
    /// It cannot be noted, and the step must not be begun.
    pub(crate) fn begin_step(&self, mark: StepRef, action: &Action) -> std::result::Result<(), Errno> {
        let action = (mark.step >= self.planned).then(|| action.clone());
        append(&self.file, &JournalLine::Begun { mark, action })
    }

    /// Notes how a step ended.
    ///
    /// # Errors
    /// It cannot be noted.
    pub(crate) fn end_step(&self, mark: StepRef, errno: i32) -> std::result::Result<(), Errno> {
        append(&self.file, &JournalLine::Ended { mark, errno })
    }

    /// Notes that nothing is left to be done.
    ///
    /// # Errors
    /// It cannot be noted.
    pub(crate) fn close(&self, how: &str) -> std::result::Result<(), Errno> {
        append(&self.file, &JournalLine::Closed { how: how.to_owned() })?;
        // What is left of it is told by `pcictl status`.
        let _ = fs::remove_file(&self.marker);
        Ok(())
    }

    /// For a helper.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Notes in an inherited journal how a step ended.
///
/// # Errors
/// It cannot be noted; without a journal, for one.
pub(crate) fn note_end(journal: BorrowedFd, mark: StepRef, errno: i32) -> std::result::Result<(), Errno> {
    append(journal, &JournalLine::Ended { mark, errno })
}

/// One call to write, which is whole or fails: room was reserved.
fn append(file: impl std::os::fd::AsFd, line: &JournalLine) -> std::result::Result<(), Errno> {
    let text = line.text();
    loop {
        match nix::unistd::write(&file, text.as_bytes()) {
            Ok(written) if written == text.len() => return nix::unistd::fdatasync(&file),
            Ok(_) => return Err(Errno::ENOSPC),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn write_header(path: &Path, header: &Header) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW).open(path)?;
    let text = JournalLine::Header(header.clone()).text();
    // Four lines a step: begun and ended, and the same when it is undone. Then the last line, and what was not planned.
    let room = text.len() + LINE * (4 * header.steps.len() + 16);
    match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, i64::try_from(room).unwrap_or(i64::MAX)) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
        Err(errno) => return Err(errno.into()),
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if !acquire::try_lock_file(&file)? {
        return Err(io::Error::other("somebody else has locked it"));
    }
    Ok(file)
}

fn write_marker(path: &Path, header: &Header) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(header)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

fn examine(path: &Path) -> JournalFile {
    let record = read(path).map_err(|error| plain(&error)).and_then(|text| OperationRecord::parse(&text));
    let busy = open(path, false).and_then(|file| acquire::is_locked(&file)).unwrap_or(false);
    JournalFile { path: path.to_owned(), record, busy }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = open(path, false)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != 0 && metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it is no plain file of root's"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::other("it is too long"));
    }
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn open(path: &Path, append: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(append).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)
}

/// Only root, and in tests the user who runs them, may own or write what is to be trusted.
fn check_owner(directory: &Path) -> io::Result<()> {
    let metadata = directory.symlink_metadata()?;
    let owned = metadata.uid() == 0 || metadata.uid() == geteuid().as_raw();
    if !metadata.is_dir() || !owned || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("it is no directory that only root can write to"));
    }
    Ok(())
}
