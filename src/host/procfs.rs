//! Reading of /proc, or of a dumped tree of it: the only door through which `usage` looks at processes.
//!
//! Every path is relative to the `proc` directory. What has vanished reads as `None`: a process may end while one looks
//! (ESRCH from an open file, then ENOENT). No link is ever followed: what a descriptor leads to may sit on a server that
//! is gone, and merely asking for it would hang.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::host::sysfs::{Entries, each_entry};

/// The tree of /proc that is looked at. Clones share the directory.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    directory: Arc<OwnedFd>,
    dump: bool,
}

impl Proc {
    /// Opens `proc` below a root; `None` if there is none, which for a dump is no error.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub(crate) fn open(root: &Path, dump: bool) -> io::Result<Option<Self>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let directory = present(open(&root.join("proc"), flags, Mode::empty()))?;
        Ok(directory.map(|directory| Self { directory: Arc::new(directory), dump }))
    }

    /// Whether this is a dumped tree.
    pub(crate) fn is_dump(&self) -> bool {
        self.dump
    }

    fn open_at(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if self.dump {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
            openat2(self.directory.as_fd(), path, how)
        } else {
            openat(self.directory.as_fd(), path, flags, Mode::empty())
        }
    }

    /// The directory of one process, to read more than one thing of it.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn process(&self, pid: u32) -> io::Result<Option<ProcessDirectory>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
        Ok(present(self.open_at(&pid.to_string(), flags))?.map(|fd| ProcessDirectory { fd, dump: self.dump }))
    }

    /// The ids of all processes, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        let directory = self.open_at(".", OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
        let mut pids = Vec::new();
        each_name(&directory, |name| pids.extend(name.parse::<u32>()))?;
        pids.sort_unstable();
        Ok(pids)
    }

    /// Whether this is a thread of the kernel, which has no program, and so neither memory nor open files. A process
    /// whose first thread has ended looks the same, but for its other threads. Never in a dump, which may lack the links.
    pub(crate) fn is_kernel_thread(&self, pid: u32) -> bool {
        let threads = || fstatat(self.directory.as_fd(), format!("{pid}/task").as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        // A directory has a link from each one in it (proc_task_getattr in fs/proc/base.c).
        !self.dump
            && readlinkat(self.directory.as_fd(), format!("{pid}/exe").as_str()) == Err(Errno::ENOENT)
            && threads().is_ok_and(|task| task.st_nlink == 3)
    }

    /// A whole file as text; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn text(&self, path: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = self.open_at(path, OFlag::O_RDONLY).and_then(|file| read_all(&file, &mut bytes));
        Ok(present(read)?.map(|()| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Where a link points, as written.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn link(&self, path: &str) -> io::Result<Option<String>> {
        let target = readlinkat(self.directory.as_fd(), path);
        present(target.map(|target| target.to_string_lossy().into_owned()))
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        let list = || {
            let directory = self.open_at(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
            names_in(directory)
        };
        present(list())
    }
}

/// The open directory of one process.
#[derive(Debug)]
pub(crate) struct ProcessDirectory {
    fd: OwnedFd,
    dump: bool,
}

impl ProcessDirectory {
    fn open_at(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if self.dump {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
            openat2(self.fd.as_fd(), path, how)
        } else {
            openat(self.fd.as_fd(), path, flags, Mode::empty())
        }
    }

    /// Reads a file into `bytes`, replacing what was there; false if it, or its process, is gone.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn read(&self, path: &str, bytes: &mut Vec<u8>) -> io::Result<bool> {
        bytes.clear();
        let read = self.open_at(path, OFlag::O_RDONLY).and_then(|file| read_all(&file, bytes));
        Ok(present(read)?.is_some())
    }

    /// Calls `each` with the name and the target of every link in a directory; false if it is gone.
    ///
    /// # Errors
    /// Any failure but absence.
    pub(crate) fn links(&self, path: &str, mut each: impl FnMut(&str, &str)) -> io::Result<bool> {
        let mut walk = || -> nix::Result<()> {
            let directory = self.open_at(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
            // A descriptor that was closed meanwhile is no error.
            each_name(&directory, |name| {
                if let Ok(target) = readlinkat(directory.as_fd(), name) {
                    each(name, &target.to_string_lossy());
                }
            })
        };
        Ok(present(walk())?.is_some())
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// Any failure but absence.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        present(self.open_at(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY).and_then(names_in))
    }

    /// What a descriptor leads to. Only for one that is known to sit on a file system of this machine.
    pub(crate) fn behind(&self, path: &str) -> Option<FileStat> {
        if self.dump { None } else { fstatat(self.fd.as_fd(), path, AtFlags::empty()).ok() }
    }

    /// How many entries a directory has below it, by its link count.
    pub(crate) fn directories_in(&self, path: &str) -> u64 {
        fstatat(self.fd.as_fd(), path, AtFlags::AT_SYMLINK_NOFOLLOW).map_or(0, |stat| stat.st_nlink.saturating_sub(2))
    }
}

fn names_in(directory: OwnedFd) -> nix::Result<Vec<String>> {
    let mut names = Vec::new();
    each_name(&directory, |name| names.push(name.to_owned()))?;
    Ok(names)
}

/// Gives `take` each name in a directory, in no order.
fn each_name(directory: &OwnedFd, mut take: impl FnMut(&str)) -> nix::Result<()> {
    let listed = each_entry(directory, &mut Entries::default(), |name, _| take(name));
    listed.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

fn read_all(file: &OwnedFd, bytes: &mut Vec<u8>) -> nix::Result<()> {
    /// The kernel fills at most a page a call for most of these files, and more for none.
    const STEP: usize = 32 << 10;
    let mut length = bytes.len();
    loop {
        if bytes.len() < length + STEP {
            bytes.resize(length + STEP, 0);
        }
        match nix::unistd::read(file, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(length);
    Ok(())
}

/// Turns "it has gone" into `None`.
fn present<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::ENOTDIR | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
