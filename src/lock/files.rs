//! The lock files: where they are, and why they can be trusted.
//!
//! The directories belong to root (or to whoever runs the tests) and nobody else may write there; a file is a plain one
//! of the same owner with mode 0600. Anything else could be a trap laid by another user, and is refused.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Result, plain};
use crate::place::Place;

/// The directory of the lock files, opened once and checked.
#[derive(Debug)]
pub struct LockDirectory {
    directory: OwnedFd,
    path: PathBuf,
}

impl LockDirectory {
    /// Opens `RUN/locks`, making both directories if they are not there.
    ///
    /// # Errors
    /// They cannot be made, or somebody else could write there.
    pub fn open(run: &Path) -> Result<Self> {
        match nix::unistd::mkdir(run, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => {
                return Err(Error::io(format!("the lock directory {} cannot be made", run.display()), &errno.into()));
            }
        }
        let run_fd = open_directory(run, |flags| open(run, flags, Mode::empty()))?;
        let path = run.join("locks");
        match mkdirat(&run_fd, "locks", Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => {
                return Err(Error::io(format!("the lock directory {} cannot be made", path.display()), &errno.into()));
            }
        }
        let directory = open_directory(&path, |flags| openat(&run_fd, "locks", flags, Mode::empty()))?;
        Ok(Self { directory, path })
    }

    /// Opens the lock directory without making it: for looking.
    ///
    /// # Errors
    /// It is there, but cannot be trusted. `None` if nobody ever locked anything.
    pub fn open_existing(run: &Path) -> Result<Option<Self>> {
        let path = run.join("locks");
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let directory = open_directory(&path, |flags| open(&path, flags, Mode::empty()))?;
        Ok(Some(Self { directory, path }))
    }

    /// The file that is held while the work goes on.
    pub(super) fn lock(&self, place: &Place) -> Result<File> {
        self.open_file(place, "lock")
    }

    /// The turnstile in front of it.
    pub(super) fn gate(&self, place: &Place) -> Result<File> {
        self.open_file(place, "gate")
    }

    fn open_file(&self, place: &Place, kind: &str) -> Result<File> {
        let name = file_name(place, kind);
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.directory, name.as_str(), flags, Mode::from_bits_truncate(0o600))
            .map(File::from)
            .map_err(|errno| match errno {
                Errno::ELOOP => distrust(&self.path.join(&name), "it is a symbolic link"),
                errno => self.trouble(place, &errno.into()),
            })?;
        let stat = fstat(&file).map_err(|errno| self.trouble(place, &errno.into()))?;
        if kind_of(&stat) != SFlag::S_IFREG {
            return Err(distrust(&self.path.join(&name), "it is no plain file"));
        }
        check_owner(&stat, &self.path.join(&name))?;
        Ok(file)
    }

    /// Device and inode of a node's two files, lock first; none for one that was never made.
    pub(super) fn inodes(&self, place: &Place) -> [Option<(u64, u64)>; 2] {
        ["lock", "gate"].map(|kind| {
            let name = file_name(place, kind);
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            let stat = nix::sys::stat::fstatat(self.directory.as_fd(), name.as_str(), flags).ok()?;
            Some((stat.st_dev, stat.st_ino))
        })
    }

    /// A call on a node's lock files that failed: nothing may be changed then.
    pub(super) fn trouble(&self, place: &Place, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::PermissionDenied {
            ErrorKind::NotPermitted
        } else {
            ErrorKind::LockFiles
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

fn open_directory(path: &Path, open: impl FnOnce(OFlag) -> nix::Result<OwnedFd>) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let directory = open(flags).map_err(|errno| match errno {
        Errno::ELOOP | Errno::ENOTDIR => distrust(path, "it is no directory"),
        errno => Error::io(format!("the lock directory {} cannot be opened", path.display()), &errno.into()),
    })?;
    let stat = fstat(&directory).map_err(|errno| Error::io(path.display(), &errno.into()))?;
    check_owner(&stat, path)?;
    Ok(directory)
}

/// Only root, and in tests the user who runs them, may own or write what the locks rest on.
fn check_owner(stat: &FileStat, path: &Path) -> Result<()> {
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        return Err(distrust(path, &format!("it belongs to user {}", stat.st_uid)));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(distrust(path, &format!("others may write there (mode {:o})", stat.st_mode & 0o7777)));
    }
    Ok(())
}

fn distrust(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::LockFiles,
        format!("{}: not to be trusted for locking: {why}; nothing was changed", path.display()),
    )
    .fact("path", path.display().to_string())
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Whether an open file still has a name.
pub(super) fn is_linked(file: &File) -> io::Result<bool> {
    Ok(fstat(file)?.st_nlink > 0)
}

/// The directory itself may have been wiped; then no new file can be made in it, and the error says so.
pub(super) fn check_still_there(directory: &LockDirectory) -> Result<()> {
    let stat = fstat(&directory.directory).map_err(|errno| Error::io(directory.path.display(), &errno.into()))?;
    if stat.st_nlink == 0 {
        return Err(distrust(&directory.path, "it was deleted while in use"));
    }
    Ok(())
}
