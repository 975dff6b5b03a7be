//! Files that outlive the process: directories that only root can change, files replaced as a whole, and everything on
//! disk before it counts.
//!
//! A directory is opened once and checked, and its files are reached from its descriptor, so that nothing can be put in
//! its place meanwhile. Only plain files are read, never through a link, and none that could make the reader wait. A
//! directory in a dumped tree is opened without leaving the tree; whose it is does not matter there, as nothing in it is
//! acted upon.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind as Io, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat, stat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use crate::lock::acquire;

/// Only the owner may change a directory whose files are trusted.
const OTHERS_WRITE: u32 = 0o022;

/// In a directory with this bit only the owner of an entry may rename it.
const STICKY: u32 = 0o1000;

/// How long is waited for somebody else who writes: that takes a few flushes.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where a directory is, and whether it is this machine's own.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    path: PathBuf,
    /// The root of the dumped tree that it must not lead out of.
    dump: Option<PathBuf>,
    way: Arc<Way>,
}

/// The way to a directory and to all that are below it. Who could change what is above is looked at once, and not for each file of
/// an operation: only root can make it worse meanwhile.
#[derive(Debug)]
struct Way {
    to: PathBuf,
    is_trusted: AtomicBool,
}

/// A directory that is open and was checked.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    foreign: bool,
}

/// Why a file gave no content.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is not there.
    Absent,
    /// It could not be read to its end, for a reason that says nothing about its content.
    Unreadable(io::Error),
    /// It is not a plain file of root's, or longer than any that pcictl writes.
    Foreign(&'static str),
}

/// Why a file of state gives no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is not there.
    Absent,
    /// It cannot be read, for a reason that says nothing about its content.
    Unreadable(String),
    /// A newer pcictl wrote it, in this schema.
    Newer {
        /// The schema that it is in.
        schema: u32,
        /// The schema that is known.
        expected: u32,
    },
    /// It was read to its end and makes no sense.
    Damaged(String),
}

impl Invalid {
    /// Whether the file may be moved out of the way: nothing that anybody could still use is lost with it.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("it is not there"),
            Self::Unreadable(why) | Self::Damaged(why) => f.write_str(why),
            Self::Newer { schema, expected } => write!(f, "unsupported schema {schema} (expected {expected})"),
        }
    }
}

impl From<ReadError> for Invalid {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Absent => Self::Absent,
            ReadError::Unreadable(error) => Self::Unreadable(crate::error::plain(&error)),
            ReadError::Foreign(why) => Self::Unreadable(why.to_owned()),
        }
    }
}

impl Location {
    /// A directory of this machine.
    pub(crate) fn own(path: PathBuf) -> Self {
        Self { way: Way::to(&path), path, dump: None }
    }

    /// The same in a dumped tree with this root.
    pub(crate) fn in_dump(path: PathBuf, root: &Path) -> Self {
        Self { way: Way::to(&path), path, dump: Some(root.to_path_buf()) }
    }

    /// A directory below it.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self { path: self.path.join(name), ..self.clone() }
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn above(&self) -> Option<Self> {
        Some(Self { path: self.path.parent()?.to_path_buf(), ..self.clone() })
    }
}

impl Way {
    fn to(path: &Path) -> Arc<Self> {
        Arc::new(Self { to: path.to_path_buf(), is_trusted: AtomicBool::new(false) })
    }

    /// Whoever may rename a directory above could put another one in its place.
    fn check(&self, path: &Path) -> io::Result<()> {
        let Ok(below) = path.strip_prefix(&self.to) else { return check_above(path, usize::MAX) };
        check_above(path, below.components().count())?;
        if !self.is_trusted.load(Ordering::Relaxed) {
            check_above(&self.to, usize::MAX)?;
            self.is_trusted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Directory {
    /// Opens a directory; `None` if it is not there.
    ///
    /// # Errors
    /// It cannot be opened, or others could have written there.
    pub(crate) fn open(location: &Location) -> io::Result<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = location.path.clone();
        let opened = match &location.dump {
            None => open(&path, flags | OFlag::O_NOFOLLOW, Mode::empty()),
            Some(root) => open_in_dump(root, &path, flags),
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV) => return Err(untrusted(&path, "it is not a directory")),
            Err(errno) => return Err(errno.into()),
        };
        let directory = Self { fd, path, foreign: location.dump.is_some() };
        if !directory.foreign {
            check_owner(&fstat(&directory.fd)?, &directory.path)?;
            location.way.check(&directory.path)?;
        }
        Ok(Some(directory))
    }

    /// Opens a directory of this machine, and makes what is missing of its path; that it is there is on disk when this
    /// returns.
    ///
    /// # Errors
    /// It cannot be made or opened, or others could write there.
    pub(crate) fn make(location: &Location, mode: u32) -> io::Result<Self> {
        if let Some(directory) = Self::open(location)? {
            return Ok(directory);
        }
        let (Some(above), Some(name)) = (location.above(), location.path.file_name()) else {
            return Err(Io::NotFound.into());
        };
        let parent = Self::make(&above, 0o755)?;
        match mkdirat(&parent.fd, name, Mode::from_bits_truncate(mode)) {
            Ok(()) => parent.sync()?,
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        Self::open(location)?.ok_or_else(|| Io::NotFound.into())
    }

    /// The path of a file in it, for messages.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names in it that end like this, in order.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn names(&self, suffix: &str) -> io::Result<Vec<String>> {
        let listed = openat(&self.fd, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(listed)?.iter() {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            names.extend(name.into_string().ok().filter(|name| name.ends_with(suffix) && !name.starts_with('.')));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a plain file of root's for reading, for appending as well if that is asked for.
    ///
    /// # Errors
    /// It is absent, cannot be opened, or is not such a file.
    pub(crate) fn open_file(&self, name: &str, append: bool) -> Result<File, ReadError> {
        let access = if append { OFlag::O_RDWR | OFlag::O_APPEND } else { OFlag::O_RDONLY };
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::empty()).map(File::from).map_err(|errno| match errno {
            Errno::ENOENT => ReadError::Absent,
            Errno::ELOOP => ReadError::Foreign("it is a symbolic link"),
            errno => ReadError::Unreadable(errno.into()),
        })?;
        let stat = fstat(&file).map_err(|errno| ReadError::Unreadable(errno.into()))?;
        let is_trusted = self.foreign || owned(&stat) && stat.st_mode & OTHERS_WRITE == 0;
        match kind(&stat) {
            SFlag::S_IFREG if is_trusted => Ok(file),
            SFlag::S_IFREG => Err(ReadError::Foreign("others than root can write to it")),
            _ => Err(ReadError::Foreign("it is not a plain file")),
        }
    }

    /// The content of a file of at most so many bytes.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file); or it is longer, or reading fails.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let file = self.open_file(name, false)?;
        file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadError::Unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::Foreign("it is too long"));
        }
        Ok(bytes)
    }

    /// Replaces a file as a whole: whatever happens, it holds the old content or the new, and the new is on disk when this
    /// returns.
    ///
    /// # Errors
    /// It cannot be written; then the old content stays.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.place(name, mode, RenameFlags::empty(), |file| file.write_all(bytes)).map(|_| ())
    }

    /// Makes a file that appears under its name when `prepare` has filled it, and is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written, `prepare` fails, or the name is taken (EEXIST).
    pub(crate) fn create_new(
        &self,
        name: &str,
        mode: u32,
        prepare: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<File> {
        self.place(name, mode, RenameFlags::NOREPLACE, prepare)
    }

    fn place(
        &self,
        name: &str,
        mode: u32,
        how: RenameFlags,
        prepare: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<File> {
        let temporary = format!(".{name}.{}", std::process::id());
        // One that is left over was this process's number's before.
        let _ = unlinkat(&self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        let flags =
            OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.fd, temporary.as_str(), flags, Mode::from_bits_truncate(mode))?);
        let written = prepare(&mut file).and_then(|()| file.sync_all());
        let placed = written.and_then(|()| self.rename_within(&temporary, self, name, how));
        if let Err(error) = placed {
            // Nothing but a stray temporary file is left if this fails, too.
            let _ = unlinkat(&self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            return Err(error);
        }
        self.sync()?;
        Ok(file)
    }

    fn rename_within(&self, name: &str, to: &Self, new: &str, how: RenameFlags) -> io::Result<()> {
        match renameat_with(&self.fd, name, &to.fd, new, how) {
            // Not every file system can refuse by itself; only root writes here, so looking first will do.
            Err(rustix::io::Errno::INVAL) if to.has(new) => Err(Io::AlreadyExists.into()),
            Err(rustix::io::Errno::INVAL) => Ok(rustix::fs::renameat(&self.fd, name, &to.fd, new)?),
            result => Ok(result?),
        }
    }

    /// Removes a file; that it is gone is on disk with the next change here that is.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Waits until nobody else has locked the directory by a file of this name, and keeps it locked while the file is open.
    ///
    /// # Errors
    /// The file cannot be made or locked, or somebody has it for long.
    pub(crate) fn lock(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        // Who may not write here may not open it either, and so keeps nobody waiting.
        let file = File::from(openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let until = Instant::now() + LOCK_WAIT;
        while !acquire::try_lock_file(&file)? {
            if Instant::now() >= until {
                let message = format!("somebody else has been writing there for {} s", LOCK_WAIT.as_secs());
                return Err(io::Error::new(Io::TimedOut, message));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(file)
    }

    /// Removes a file; that it is gone is on disk when this returns. False if it was not there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives a file another name, in this directory or another one of the same file system.
    ///
    /// # Errors
    /// It cannot be renamed; a file of that name is never replaced.
    pub(crate) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        self.rename_within(name, to, new, RenameFlags::NOREPLACE)?;
        to.sync()?;
        self.sync()
    }

    /// Whether something is there under that name, links not followed.
    pub(crate) fn has(&self, name: &str) -> bool {
        fstatat(self.fd.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    fn sync(&self) -> io::Result<()> {
        match nix::unistd::fsync(&self.fd) {
            // A file system without directories on disk (EINVAL) has nothing to lose.
            Ok(()) | Err(Errno::EINVAL | Errno::EROFS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn open_in_dump(root: &Path, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    // A directory that the environment names is the caller's own choice, wherever it is.
    let Ok(relative) = path.strip_prefix(root) else { return open(path, flags | OFlag::O_NOFOLLOW, Mode::empty()) };
    let top = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
    openat2(top.as_fd(), relative, how)
}

/// So many directories above, the nearest first.
fn check_above(path: &Path, count: usize) -> io::Result<()> {
    for ancestor in path.ancestors().skip(1).take(count) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        let stat = stat(ancestor)?;
        if stat.st_mode & STICKY == 0 {
            check_owner(&stat, ancestor)?;
        }
    }
    Ok(())
}

/// Only root, and in tests the user who runs them, may own what is trusted, and others may not write there.
fn check_owner(stat: &FileStat, path: &Path) -> io::Result<()> {
    if kind(stat) != SFlag::S_IFDIR {
        return Err(untrusted(path, "it is not a directory"));
    }
    if !owned(stat) {
        return Err(untrusted(path, &format!("it belongs to user {}", stat.st_uid)));
    }
    if stat.st_mode & OTHERS_WRITE != 0 {
        return Err(untrusted(path, &format!("others than root can write to it (mode {:o})", stat.st_mode & 0o7777)));
    }
    Ok(())
}

fn owned(stat: &FileStat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn untrusted(path: &Path, why: &str) -> io::Error {
    io::Error::new(Io::InvalidData, format!("{} is not trusted: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn scratch() -> (tempfile::TempDir, Directory) {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::make(&Location::own(scratch.path().join("a/b")), 0o700).unwrap();
        (scratch, directory)
    }

    #[test]
    fn a_file_holds_the_old_content_or_the_new() {
        let (_scratch, directory) = scratch();
        directory.replace("file", b"old", 0o600).unwrap();
        directory.replace("file", b"new", 0o600).unwrap();
        assert_eq!(directory.read("file", 3).unwrap(), b"new");
        assert_eq!(directory.names("").unwrap(), ["file"], "no temporary file is left");
        assert!(matches!(directory.read("file", 2), Err(ReadError::Foreign(_))));
        assert!(directory.create_new("file", 0o600, |_| Ok(())).is_err(), "a name is never taken from another");
        assert!(directory.create_new("other", 0o600, |_| Err(Io::Other.into())).is_err());
        assert_eq!(directory.names("").unwrap(), ["file"]);
        assert!(directory.remove("file").unwrap() && !directory.remove("file").unwrap());
        assert!(matches!(directory.read("file", 2), Err(ReadError::Absent)));
    }

    #[test]
    fn only_plain_files_are_read() {
        let (scratch, directory) = scratch();
        symlink("/etc/passwd", scratch.path().join("a/b/link")).unwrap();
        nix::unistd::mkfifo(&scratch.path().join("a/b/fifo"), Mode::S_IRWXU).unwrap();
        for name in ["link", "fifo"] {
            assert!(matches!(directory.read(name, 9), Err(ReadError::Foreign(_))), "{name}");
        }
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_trusted_however_far_above() {
        let (scratch, directory) = scratch();
        let location = Location::own(directory.path.clone());
        for (path, mode) in [("a", 0o777), ("a/b", 0o770)] {
            let path = scratch.path().join(path);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(Directory::open(&location).is_err(), "{}", path.display());
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Directory::open(&location).unwrap().unwrap();
    }

    #[test]
    fn what_is_above_is_looked_at_once_and_what_is_between_each_time() {
        let (scratch, directory) = scratch();
        directory.replace("file", b"x", 0o600).unwrap();
        let forbid = |path: &str| {
            std::fs::set_permissions(scratch.path().join(path), std::fs::Permissions::from_mode(0o777)).unwrap();
        };
        let top = Location::own(scratch.path().join("a"));
        Directory::open(&top).unwrap().unwrap();
        forbid("");
        assert!(Directory::open(&top.join("b")).is_ok(), "looked at before");
        assert!(Directory::open(&Location::own(scratch.path().join("a/b"))).is_err(), "another way");
        forbid("a");
        assert!(Directory::open(&top.join("b")).is_err(), "on the way from there");
    }

    #[test]
    fn a_dumped_tree_is_never_left() {
        let (scratch, _directory) = scratch();
        let root = scratch.path().join("a");
        symlink("/etc", root.join("out")).unwrap();
        let open = |name: &str| Directory::open(&Location::in_dump(root.join(name), &root));
        assert!(open("out").is_err() && open("b").unwrap().is_some() && open("c").unwrap().is_none());
    }
}
