//! The one opener of everything that is looked at below a root: this machine's `/`, or a dumped tree.
//!
//! A dumped tree is foreign input. The kernel itself resolves every path in it (`openat2` with `RESOLVE_BENEATH`), so no
//! link leads out of it, and only directories and regular files are opened: opening a FIFO can wait for ever, and opening
//! a device can do anything. What is read has a limit. On this machine files are opened without waiting and are regular,
//! too; the kernel's own file systems, of which [`sysfs`](crate::host::sysfs) and [`procfs`](crate::host::procfs) are
//! the readers, are spared the question.
//!
//! It does NOT promise that a read ends in time: a dumped tree may lie on a server.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, ResolveFlags, Stat};
use rustix::io::Errno;

/// Longer than any path that the kernel takes or gives.
const LONGEST_PATH: usize = 4096;

/// One call brings as many names of a directory as fit in here: about 2,000 functions.
const ENTRIES: usize = 64 * 1024;

/// How often the kernel is asked again when something was renamed or mounted while it resolved a path with `..`.
const ATTEMPTS: usize = 64;

/// The root that files of the system are found under.
#[derive(Debug)]
pub struct Root {
    directory: Directory,
    path: PathBuf,
}

impl Root {
    /// Opens `/`, or the top of a dumped tree.
    ///
    /// # Errors
    /// It is missing, or may not be entered.
    pub fn open(sysroot: Option<&Path>) -> io::Result<Self> {
        let path = sysroot.unwrap_or(Path::new("/")).to_path_buf();
        if sysroot.is_some() && rustix::fs::stat("/proc/self").is_err() {
            return Err(io::Error::other("no dumped tree can be read while /proc is not mounted"));
        }
        Ok(Self { directory: Directory::top(&path, sysroot.is_some())?, path })
    }

    /// Whether this is a dumped tree, in which nothing may be changed.
    pub(crate) fn is_dump(&self) -> bool {
        self.directory.is_dump
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where something below it is, for messages.
    pub(crate) fn display(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Opens a regular file; `None` if it is missing.
    ///
    /// # Errors
    /// Any other failure, and a file that is not regular.
    pub(crate) fn file(&self, path: &str) -> io::Result<Option<File>> {
        present(self.directory.regular_file(path).map(File::from))
    }

    /// Reads a regular file of at most `limit` bytes; `None` if it is missing.
    ///
    /// # Errors
    /// Any other failure, a file that is not regular, and one that is larger.
    pub(crate) fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = self.directory.regular_file(path).and_then(|file| read_to_end(&file, &mut bytes, limit));
        Ok(present(read)?.map(|()| bytes))
    }

    /// Reads a regular file of at most `limit` bytes as text; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn text(&self, path: &str, limit: usize) -> io::Result<Option<String>> {
        Ok(self.read(path, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, in no order; `None` if it is missing.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        let Some(directory) = present(self.directory.open(path))? else { return Ok(None) };
        let mut names = Vec::new();
        each_entry(&directory, &mut Entries::default(), |name, _| names.push(name.to_owned()))?;
        Ok(Some(names))
    }

    /// Where a link points, as written; `None` if it is missing or is not a link.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn link(&self, path: &str) -> io::Result<Option<String>> {
        self.directory.link(path, |target| String::from_utf8_lossy(target).into_owned())
    }

    /// Whether something is there under that path, links not followed. What cannot be told counts as there: whoever
    /// reads it is told why it cannot be read.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.directory.exists(path)
    }
}

/// An open directory of a tree, below which everything else is opened.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    is_dump: bool,
}

/// Room for the names of a directory, to be used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Entries(Vec<u8>);

impl Directory {
    /// Opens the top of a tree by its path.
    ///
    /// # Errors
    /// It is missing, is not a directory, or may not be entered.
    pub(crate) fn top(path: &Path, is_dump: bool) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, is_dump })
    }

    /// A directory of this machine that is open already.
    pub(crate) fn opened(fd: OwnedFd) -> Self {
        Self { fd, is_dump: false }
    }

    /// Whether it belongs to a dumped tree.
    pub(crate) fn is_dump(&self) -> bool {
        self.is_dump
    }

    /// Opens a directory below, to be listed or to look at what is in it.
    ///
    /// # Errors
    /// It is missing, is not a directory, leads out of a dumped tree, or may not be read.
    pub(crate) fn open(&self, path: &str) -> io::Result<Self> {
        // The kernel looks whether it is a directory before it opens it.
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Self { fd, is_dump: self.is_dump })
    }

    /// Opens a file below that is the kernel's own, or, in a dumped tree, a regular one. Opening does not wait.
    ///
    /// # Errors
    /// It is missing, is not regular, leads out of a dumped tree, or may not be read.
    pub(crate) fn kernel_file(&self, path: &str) -> io::Result<OwnedFd> {
        if self.is_dump { self.regular_file(path) } else { self.open_at(path, READ) }
    }

    /// Opens a regular file below.
    ///
    /// # Errors
    /// As [`kernel_file`](Self::kernel_file).
    fn regular_file(&self, path: &str) -> io::Result<OwnedFd> {
        if !self.is_dump {
            let file = self.open_at(path, READ)?;
            require_regular(&rustix::fs::fstat(&file)?)?;
            return Ok(file);
        }
        // Merely opening a device can have effects, so it is looked at first. What was looked at is what is opened.
        let found = self.open_at(path, OFlags::PATH)?;
        require_regular(&rustix::fs::fstat(&found)?)?;
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(rustix::fs::open(again, READ | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let (flags, mode) = (flags | OFlags::CLOEXEC, Mode::empty());
        if !self.is_dump {
            return Ok(rustix::fs::openat(&self.fd, path, flags, mode)?);
        }
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.fd, path, flags, mode, ResolveFlags::BENEATH) {
                Err(Errno::AGAIN) => {}
                Err(Errno::XDEV) => return Err(io::Error::other("it leads out of the dumped tree")),
                result => return Ok(result?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Whether a path names something right in this directory, so that no other link can be on its way.
    fn is_own(path: &str) -> bool {
        !path.contains('/') && path != ".."
    }

    /// Gives `take` where a link points, as written; `None` if it is missing or is not a link.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn link<T>(&self, path: &str, take: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
        let mut buffer = [MaybeUninit::uninit(); LONGEST_PATH];
        let target = if !self.is_dump || Self::is_own(path) {
            rustix::fs::readlinkat_raw(&self.fd, path, &mut buffer)
        } else {
            let Some(link) = present(self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW))? else { return Ok(None) };
            match rustix::fs::readlinkat_raw(&link, "", &mut buffer) {
                // What the kernel says of an open file that is not a link.
                Err(Errno::NOENT) => Err(Errno::INVAL),
                target => target,
            }
        };
        match target {
            Ok((target, _)) => Ok(Some(take(target))),
            Err(Errno::INVAL) => Ok(None),
            Err(errno) => present(Err(errno.into())),
        }
    }

    /// What is there under that path, links not followed.
    ///
    /// # Errors
    /// It is missing, or it cannot be told.
    pub(crate) fn stat(&self, path: &str) -> io::Result<Stat> {
        if !self.is_dump || Self::is_own(path) {
            return Ok(rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW)?);
        }
        Ok(rustix::fs::fstat(self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?)?)
    }

    /// Whether something is there under that path, links not followed. What cannot be told for want of memory or
    /// descriptors counts as there: whoever reads it is told why it cannot be read.
    pub(crate) fn exists(&self, path: &str) -> bool {
        match self.stat(path) {
            Ok(_) => true,
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::ACCESS))
            }
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// To read, without waiting for a writer or becoming the owner of a terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

fn require_regular(stat: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode).is_file() {
        return Ok(());
    }
    Err(io::Error::other("not a regular file"))
}

/// Reads an open file to its end, behind what is in `bytes` already.
///
/// # Errors
/// It cannot be read, or holds more than `limit` bytes.
pub(crate) fn read_to_end(file: &OwnedFd, bytes: &mut Vec<u8>, limit: usize) -> io::Result<()> {
    /// The kernel fills at most a page a call for most of its files, and more for none.
    const STEP: usize = 32 << 10;
    let mut length = bytes.len();
    loop {
        if bytes.len() < length + STEP {
            bytes.resize(length + STEP, 0);
        }
        match rustix::io::read(file, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if length > limit {
            return Err(io::Error::other(format!("larger than {} KiB", limit >> 10)));
        }
    }
    bytes.truncate(length);
    Ok(())
}

/// Gives `take` each name in an open directory, in no order; names that are not text are left out. A directory can be gone
/// through once.
///
/// # Errors
/// The directory cannot be read, or what it belongs to is gone.
pub(crate) fn each_entry(
    directory: impl AsFd,
    entries: &mut Entries,
    mut take: impl FnMut(&str, &RawDirEntry<'_>),
) -> rustix::io::Result<()> {
    entries.0.reserve(ENTRIES);
    let mut entries = RawDir::new(directory, entries.0.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok(name) if !matches!(name, "." | "..") => take(name, &entry),
            _ => {}
        }
    }
    Ok(())
}

/// Turns "it is missing" into `None`; what is gone reads so, too (ENODEV from an open file of sysfs, ESRCH from one of
/// /proc).
pub(crate) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NOTDIR | Errno::SRCH) => Ok(None),
            _ => Err(error),
        },
    }
}
