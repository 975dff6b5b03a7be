//! The lock files: where they are, and why they can be trusted.
//!
//! The directories belong to root (or to whoever runs the tests) and nobody else may write there; a file is a plain one
//! of the same owner that nobody else may even open, for whoever can open a file can lock it. Anything else could be a
//! trap laid by another user, and is refused.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat, stat};
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Result, plain};
use crate::host::procfs::Procfs;
use crate::lock::fdinfo::FileId;
use crate::lock::validate;
use crate::order;
use crate::pci::place::Place;

/// Nobody else may write to a directory.
const DIRECTORY_FORBIDS: u32 = 0o022;

/// Nobody else may open a file: a lock can be taken through any descriptor, one for reading, too.
const FILE_FORBIDS: u32 = 0o077;

/// In a directory with this bit only the owner of an entry may rename it.
const STICKY: u32 = 0o1000;

/// The directory of the lock files, opened once and checked.
#[derive(Debug)]
pub struct LockDirectory {
    directory: OwnedFd,
    path: PathBuf,
    procfs: Procfs,
}

/// An open lock file, and which one it is.
#[derive(Debug)]
pub(crate) struct LockFile {
    pub(crate) file: File,
    pub(crate) id: FileId,
}

/// What a lock that was just taken is state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockFileState {
    /// All that one hopes for.
    Valid,
    /// Nothing: the name leads to another file by now, or nowhere.
    Replaced,
    /// Nothing yet: the file is new, and somebody may hold a lock on the one before it.
    Unvalidated,
}

impl LockDirectory {
    /// Opens `RUN/locks`, making both directories if they are not there.
    ///
    /// # Errors
    /// They cannot be made, or somebody else could write there.
    pub fn open(run: &Path) -> Result<Self> {
        // A slash at the end would have a symbolic link followed.
        let run: &Path = &run.components().collect::<PathBuf>();
        check_parent(run)?;
        created(run, nix::unistd::mkdir(run, Mode::from_bits_truncate(0o755)))?;
        let run_fd = open_directory(run, |flags| open(run, flags, Mode::empty()))?;
        let path = run.join("locks");
        created(&path, mkdirat(&run_fd, "locks", Mode::from_bits_truncate(0o755)))?;
        let directory = open_directory(&path, |flags| openat(&run_fd, "locks", flags, Mode::empty()))?;
        Ok(Self { directory, path, procfs: procfs()? })
    }

    /// Opens the lock directory without making it: for looking.
    ///
    /// # Errors
    /// It is there, but cannot be trusted. `None` if nobody ever locked anything.
    pub(crate) fn open_existing(run: &Path) -> Result<Option<Self>> {
        let path = run.join("locks");
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("the lock directory {}", path.display()), &error)),
            Ok(_) => {}
        }
        let directory = open_directory(&path, |flags| open(&path, flags, Mode::empty()))?;
        Ok(Some(Self { directory, path, procfs: procfs()? }))
    }

    /// Where the kernel tells of locks and those who hold them.
    pub(crate) fn procfs(&self) -> &Procfs {
        &self.procfs
    }

    /// The file that is held while the work goes on.
    pub(crate) fn lock(&self, place: &Place) -> Result<LockFile> {
        self.open_file(place, "lock")
    }

    /// The turnstile in front of it.
    pub(crate) fn gate(&self, place: &Place) -> Result<LockFile> {
        self.open_file(place, "gate")
    }

    fn open_file(&self, place: &Place, kind: &str) -> Result<LockFile> {
        let name = file_name(place, kind);
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.directory, name.as_str(), flags, Mode::from_bits_truncate(0o600))
            .map(File::from)
            .map_err(|errno| match errno {
                Errno::ELOOP => untrusted(&self.path.join(&name), "it is a symbolic link"),
                Errno::EISDIR => untrusted(&self.path.join(&name), "it is no plain file"),
                errno => self.lock_file_error(place, &errno.into()),
            })?;
        let stat = fstat(&file).map_err(|errno| self.lock_file_error(place, &errno.into()))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(untrusted(&self.path.join(&name), "it is no plain file"));
        }
        check_owner(&stat, FILE_FORBIDS, &self.path.join(&name))?;
        Ok(LockFile { file, id: (stat.st_dev, stat.st_ino) })
    }

    /// Whether a lock that was just taken on this file keeps anybody out.
    pub(crate) fn state_of(&self, place: &Place, locked: &LockFile) -> Result<LockFileState> {
        match self.stat(&file_name(place, "lock")) {
            Err(Errno::ENOENT) => Ok(LockFileState::Replaced),
            Err(errno) => Err(self.lock_file_error(place, &errno.into())),
            Ok(named) if (named.st_dev, named.st_ino) != locked.id => Ok(LockFileState::Replaced),
            Ok(named) if named.st_size == 0 => Ok(LockFileState::Unvalidated),
            Ok(_) => Ok(LockFileState::Valid),
        }
    }

    /// Makes sure that locks on new files keep everybody out, and marks them so.
    pub(crate) fn validate(&self, new: &[(&Place, &File)]) -> Result<()> {
        let Some((first, _)) = new.first() else { return Ok(()) };
        for (place, file) in new {
            validate::check_kept_here(&self.procfs, file).map_err(|e| self.lock_file_error(place, &e))?;
        }
        let link = format!("self/fd/{}", self.directory.as_raw_fd());
        let real = self.procfs.link(&link).map_err(|e| self.lock_file_error(first, &e))?.unwrap_or_default();
        let stale = validate::stale_holders(&self.procfs, &format!("{real}/"));
        if !stale.is_empty() {
            return Err(self.stale_error(first, &stale));
        }
        new.iter()
            .try_for_each(|(place, file)| validate::mark_validated(file).map_err(|e| self.lock_file_error(place, &e)))
    }

    fn stat(&self, name: &str) -> nix::Result<FileStat> {
        fstatat(self.directory.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Device and inode of a node's two files, lock first; none for one that was never made.
    pub(crate) fn file_ids(&self, place: &Place) -> [Option<FileId>; 2] {
        ["lock", "gate"].map(|kind| self.stat(&file_name(place, kind)).ok().map(|stat| (stat.st_dev, stat.st_ino)))
    }

    /// Every node that was ever locked, in lock order.
    pub(crate) fn places(&self) -> Result<Vec<Place>> {
        let list = || -> nix::Result<Vec<Place>> {
            let directory = openat(&self.directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
            let mut places = Vec::new();
            for entry in Dir::from_fd(directory)?.iter() {
                places.extend(entry?.file_name().to_str().ok().and_then(place_of));
            }
            Ok(places)
        };
        let mut places = list().map_err(|errno| Error::io(self.path.display(), &errno.into()))?;
        order::sort(&mut places);
        Ok(places)
    }

    /// The directory itself may have been wiped; then no new file can be made in it, and the error says so.
    pub(crate) fn check_still_there(&self) -> Result<()> {
        let stat = fstat(&self.directory).map_err(|errno| Error::io(self.path.display(), &errno.into()))?;
        if stat.st_nlink == 0 {
            return Err(untrusted(&self.path, "it was deleted while in use"));
        }
        Ok(())
    }

    /// Locks on deleted files: nothing can be locked before those who hold them are done.
    fn stale_error(&self, place: &Place, pids: &[u32]) -> Error {
        let holders: Vec<String> = pids.iter().map(|pid| self.procfs.process_ref(*pid).name()).collect();
        let message = format!(
            "{place}: lock files in {} were deleted while {} still holds locks there; try again when that has ended",
            self.path.display(),
            holders.join(", ")
        );
        Error::new(ErrorKind::Locked, message).fact("place", serde_json::json!(place)).fact("pids", pids.to_vec())
    }

    /// A call on a node's lock files that failed: nothing may be changed then.
    pub(crate) fn lock_file_error(&self, place: &Place, error: &io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::NotPermitted,
            _ => ErrorKind::LockFiles,
        };
        let message = format!(
            "{place}: its lock in {} cannot be used: {}; nothing was changed",
            self.path.display(),
            plain(error)
        );
        Error::new(kind, message).fact("place", serde_json::json!(place))
    }
}

/// `root.lock`, `pci0000:00+03.0.lock`: `+` occurs in no place, so no two places share a file.
fn file_name(place: &Place, kind: &str) -> String {
    match place.chain() {
        "" => format!("root.{kind}"),
        chain => format!("{}.{kind}", chain.replace('/', "+")),
    }
}

/// The place of a `.lock` file's name.
fn place_of(name: &str) -> Option<Place> {
    match name.strip_suffix(".lock")? {
        "root" => Some(Place::root()),
        chain => Place::from_chain(&chain.replace('+', "/")),
    }
}

fn procfs() -> Result<Procfs> {
    Procfs::live().map_err(|error| Error::io("/proc, which tells of locks", &error))
}

/// Whoever may rename the run directory could put another in its place.
fn check_parent(run: &Path) -> Result<()> {
    let parent = run.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = stat(parent)
        .map_err(|errno| Error::io(format!("the lock directory {} cannot be made", run.display()), &errno.into()))?;
    if stat.st_mode & STICKY != 0 {
        return Ok(());
    }
    check_owner(&stat, DIRECTORY_FORBIDS, parent)
}

fn created(path: &Path, result: nix::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Error::io(format!("the lock directory {} cannot be made", path.display()), &errno.into())),
    }
}

fn open_directory(path: &Path, open: impl FnOnce(OFlag) -> nix::Result<OwnedFd>) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let directory = open(flags).map_err(|errno| match errno {
        Errno::ELOOP | Errno::ENOTDIR => untrusted(path, "it is no directory"),
        errno => Error::io(format!("the lock directory {} cannot be opened", path.display()), &errno.into()),
    })?;
    let stat = fstat(&directory).map_err(|errno| Error::io(path.display(), &errno.into()))?;
    check_owner(&stat, DIRECTORY_FORBIDS, path)?;
    Ok(directory)
}

/// Only root, and in tests the user who runs them, may own what the locks rest on, and others may not get at it.
fn check_owner(stat: &FileStat, forbidden: u32, path: &Path) -> Result<()> {
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        return Err(untrusted(path, &format!("it belongs to user {}", stat.st_uid)));
    }
    if stat.st_mode & forbidden != 0 {
        return Err(untrusted(path, &format!("others may get at it (mode {:o})", stat.st_mode & 0o7777)));
    }
    Ok(())
}

fn untrusted(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::LockFiles,
        format!("{}: not to be trusted for locking: {why}; nothing was changed", path.display()),
    )
    .fact("path", path.display().to_string())
}
