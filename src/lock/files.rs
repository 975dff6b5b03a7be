//! The lock files: where they are, and why they can be trusted.
//!
//! The directories belong to root (or to whoever runs the tests) and nobody else may write there; a file is a plain one
//! of the same owner that nobody else may even open, for whoever can open a file can lock it. Anything else could be a
//! trap laid by another user, and is refused.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf, absolute};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, lstat, makedev, mkdirat, stat};
use nix::unistd::geteuid;

use crate::error::{Error, ErrorKind, Result, plain, rights_hint};
use crate::host::procfs::Procfs;
use crate::lock::fdinfo::Fdinfo;
use crate::lock::host_view::HostView;
use crate::lock::proc_locks::KernelFile;
use crate::lock::protocol;
use crate::lock::validate::{self, FileId, Searched, StaleHolders, file_name, place_of};
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
    /// Where the kernel says that it is.
    real: String,
    /// The kernel's device of its file system.
    device: u64,
    /// The mount that it was opened on.
    mount: Option<u64>,
    /// If these are the locks of this machine: what its first process sees.
    host: Option<HostView>,
    procfs: Procfs,
}

/// An open lock file, and which one it is.
#[derive(Debug)]
pub(crate) struct LockFile {
    pub(crate) file: File,
    pub(crate) id: FileId,
}

/// What a lock that was just taken is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockFileState {
    /// It keeps everybody out.
    Valid,
    /// Nothing: the name leads to another file by now, or nowhere.
    Replaced,
    /// Nothing yet: the file is new under its name, and somebody may hold a lock on the one before it.
    Unvalidated,
}

impl LockDirectory {
    /// Opens `RUN/locks`, making both directories if they are not there. For locks that need not mean anything to others on
    /// this machine.
    ///
    /// # Errors
    /// They cannot be made, somebody else could write there, or others lock there by another protocol.
    pub fn open(run: &Path) -> Result<Self> {
        Self::open_with(run, None)
    }

    /// The same for locks of this machine.
    ///
    /// # Errors
    /// Also if this process does not see the directory that the rest of the machine sees.
    pub fn open_on_host(run: &Path, host: HostView) -> Result<Self> {
        host.check(run)?;
        Self::open_with(run, Some(host))
    }

    fn open_with(run: &Path, host: Option<HostView>) -> Result<Self> {
        // A slash at the end would have a symbolic link followed.
        let run: &Path = &run.components().collect::<PathBuf>();
        check_ancestors(run)?;
        created(run, nix::unistd::mkdir(run, Mode::from_bits_truncate(0o755)))?;
        let run_fd = open_directory(run, |flags| open(run, flags, Mode::empty()))?;
        let path = run.join("locks");
        created(&path, mkdirat(&run_fd, "locks", Mode::from_bits_truncate(0o755)))?;
        let directory = open_directory(&path, |flags| openat(&run_fd, "locks", flags, Mode::empty()))?;
        protocol::agree(&directory, &path)?;
        Self::of(directory, path, host)
    }

    /// Opens the lock directory without making it: for looking.
    ///
    /// # Errors
    /// It is there, but cannot be trusted, or its locks follow another protocol. `None` if nobody ever locked anything.
    pub(crate) fn open_existing(run: &Path) -> Result<Option<Self>> {
        let path = run.join("locks");
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("the lock directory {}", path.display()), &error)),
            Ok(_) => {}
        }
        let directory = open_directory(&path, |flags| open(&path, flags, Mode::empty()))?;
        protocol::check(&directory, &path)?;
        Self::of(directory, path, None).map(Some)
    }

    fn of(directory: OwnedFd, path: PathBuf, host: Option<HostView>) -> Result<Self> {
        let procfs = Procfs::live().map_err(|error| Error::io("/proc, which tells of locks", &error))?;
        let descriptor = directory.as_raw_fd();
        let asked = |error: io::Error| Error::io(format!("the lock directory {}", path.display()), &error);
        let real = procfs.link(&format!("self/fd/{descriptor}")).map_err(asked)?.unwrap_or_default();
        let mount = Fdinfo::own(&procfs, descriptor).map_err(asked)?.mount;
        let device = match mount.and_then(|mount| device_of_mount(&procfs, mount)) {
            Some(device) => device,
            None => fstat(&directory).map_err(|errno| asked(errno.into()))?.st_dev,
        };
        Ok(Self { directory, path, real, device, mount, host, procfs })
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
        let name = file_name(place, "lock");
        match self.stat(&name) {
            Err(Errno::ENOENT) => Ok(LockFileState::Replaced),
            Err(errno) => Err(self.lock_file_error(place, &errno.into())),
            Ok(named) if (named.st_dev, named.st_ino) != locked.id => Ok(LockFileState::Replaced),
            Ok(_) => match validate::is_marked(&locked.file, &validate::mark(&self.real, &name, locked.id)) {
                Ok(true) => Ok(LockFileState::Valid),
                Ok(false) => Ok(LockFileState::Unvalidated),
                Err(error) => Err(self.lock_file_error(place, &error)),
            },
        }
    }

    /// Makes sure that locks on new files keep everybody out, and marks them so.
    pub(crate) fn validate(&self, new: &[(&Place, &LockFile)]) -> Result<()> {
        let Some((first, _)) = new.first() else { return Ok(()) };
        for (place, file) in new {
            validate::check_kept_here(&self.procfs, &file.file).map_err(|e| self.lock_file_error(place, &e))?;
        }
        let file_named = |name: &str| self.stat(name).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let ids: Vec<FileId> = new.iter().map(|(_, file)| file.id).collect();
        let searched = Searched {
            procfs: &self.procfs,
            device: self.device,
            directory: &self.real,
            is_of_host: self.host.is_some(),
            file_named: &file_named,
            new: &ids,
        };
        let found = searched.stale_holders().map_err(|error| self.cannot_look(first, &error))?;
        if !found.stale.is_empty() || !found.hidden.is_empty() {
            return Err(self.stale_error(first, &found));
        }
        new.iter().try_for_each(|(place, file)| {
            let mark = validate::mark(&self.real, &file_name(place, "lock"), file.id);
            validate::mark_validated(&file.file, &mark).map_err(|e| self.lock_file_error(place, &e))
        })
    }

    fn stat(&self, name: &str) -> nix::Result<FileStat> {
        fstatat(self.directory.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// A node's two files as the kernel's locks name them, lock first; none for one that was never made.
    pub(crate) fn kernel_files(&self, place: &Place) -> [Option<KernelFile>; 2] {
        ["lock", "gate"].map(|kind| {
            let name = file_name(place, kind);
            let stat = self.stat(&name).ok()?;
            let inode =
                if stat.st_dev == self.device { stat.st_ino } else { self.kernel_inode(&name).unwrap_or(stat.st_ino) };
            Some(KernelFile { device: self.device, inode })
        })
    }

    /// The inode of a file on a file system that tells stat(2) another one than the kernel has.
    fn kernel_inode(&self, name: &str) -> Option<u64> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(&self.directory, name, flags, Mode::empty()).ok()?;
        Fdinfo::own(&self.procfs, file.as_raw_fd()).ok()?.inode
    }

    /// The mount that the directory was opened on.
    pub(crate) fn mount(&self) -> Option<u64> {
        self.mount
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

    /// Whether the directory is still what its name leads to, for this process and for the first one of the machine: it
    /// may have been moved, covered by a mount or deleted since it was opened.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        let ids = |stat: FileStat| (stat.st_dev, stat.st_ino);
        let opened = fstat(&self.directory).map(ids).map_err(|errno| Error::io(self.path.display(), &errno.into()))?;
        if lstat(&self.path).map(ids) != Ok(opened) {
            return Err(untrusted(&self.path, "it was deleted, moved or covered while in use"));
        }
        self.host.as_ref().map_or(Ok(()), |host| host.check(&self.path))
    }

    /// Whether every file that was locked is still what its name leads to.
    pub(crate) fn check_all_in_place<'a>(&self, locked: impl Iterator<Item = (&'a Place, &'a LockFile)>) -> Result<()> {
        self.check_in_place()?;
        for (place, file) in locked {
            let named = self.stat(&file_name(place, "lock")).map_err(|e| self.lock_file_error(place, &e.into()))?;
            if (named.st_dev, named.st_ino) != file.id {
                let path = self.path.join(file_name(place, "lock"));
                return Err(untrusted(&path, "it was replaced while in use"));
            }
        }
        Ok(())
    }

    /// Locks on older files: nothing can be locked before those who hold them are done.
    fn stale_error(&self, place: &Place, found: &StaleHolders) -> Error {
        let names = |pids: &[u32]| {
            let names: Vec<String> = pids.iter().map(|pid| self.procfs.process_ref(*pid).name()).collect();
            names.join(", ")
        };
        let path = self.path.display();
        let error = if found.stale.is_empty() {
            let message = format!(
                "its locks in {path} are new, and it cannot be told whether {} holds locks on files that were there before",
                names(&found.hidden)
            );
            let hint = format!("{} (CAP_SYS_PTRACE)", rights_hint());
            Error::new(ErrorKind::NotPermitted, message).hint(hint).fact("pids", found.hidden.clone())
        } else {
            let message = format!(
                "its locks in {path} are new, and {} still {} locks on files that were there before",
                names(&found.stale),
                if found.stale.len() == 1 { "holds" } else { "hold" }
            );
            let error = Error::new(ErrorKind::Locked, message).hint("try again when that has ended");
            error.fact("pids", found.stale.clone())
        };
        error.fact("place", serde_json::json!(place))
    }

    fn cannot_look(&self, place: &Place, error: &io::Error) -> Error {
        let message = format!(
            "its locks in {} are new, and who holds locks on files that were there before cannot be looked for: {}",
            self.path.display(),
            plain(error)
        );
        Error::new(ErrorKind::LockFiles, message).fact("place", serde_json::json!(place))
    }

    /// A call on a node's lock files that failed: nothing may be changed then.
    pub(crate) fn lock_file_error(&self, place: &Place, error: &io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::NotPermitted,
            _ => ErrorKind::LockFiles,
        };
        let message =
            format!("its lock in {} cannot be used: {}; nothing was changed", self.path.display(), plain(error));
        Error::new(kind, message).fact("place", serde_json::json!(place))
    }
}

/// The kernel's device of a mount; none if it is not there any more.
fn device_of_mount(procfs: &Procfs, mount: u64) -> Option<u64> {
    // `36 35 98:0 /mnt1 /mnt2 rw,noatime ...`, see proc_pid_mountinfo(5).
    let text = procfs.text("self/mountinfo").ok()??;
    text.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next()?.parse::<u64>().ok()? == mount).then_some(())?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some(makedev(major.parse().ok()?, minor.parse().ok()?))
    })
}

/// Whoever may rename a directory on the way to the run directory could put another in its place.
fn check_ancestors(run: &Path) -> Result<()> {
    let cannot = |error: io::Error| Error::io(format!("the lock directory {} cannot be made", run.display()), &error);
    let run = absolute(run).map_err(cannot)?;
    // By the names that were given, and by where these lead if that is elsewhere: a link on the way has its own way.
    let parent = run.parent().unwrap_or(&run);
    let real = parent.canonicalize().map_err(cannot)?;
    let elsewhere = real.ancestors().filter(|_| real != parent);
    for path in parent.ancestors().chain(elsewhere) {
        let stat = stat(path).map_err(|errno| cannot(errno.into()))?;
        let forbidden = if stat.st_mode & STICKY == 0 { DIRECTORY_FORBIDS } else { 0 };
        check_owner(&stat, forbidden, path)?;
    }
    Ok(())
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
