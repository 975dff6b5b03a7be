//! The only place that reads /proc, or a dumped tree of it.
//!
//! Every path is relative to the `proc` directory. What has vanished reads as `None`: a process may end while it is looked
//! at (ESRCH from an open file, then ENOENT). No link is ever followed, except where a caller knows that the file behind
//! it sits on a file system of this machine: what a descriptor leads to may sit on a server that is gone, and merely
//! asking for it would hang.
//!
//! Text is given as the kernel has it. Names in it are chosen by others and may hold anything; they are escaped where
//! they are printed, see [`text`](crate::host::text).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::host::sysfs::{Entries, each_entry};

/// The tree of /proc that is looked at. Clones share the directory.
#[derive(Clone, Debug)]
pub(crate) struct Procfs {
    directory: Arc<OwnedFd>,
    dump: bool,
}

impl Procfs {
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

    /// The one that this process sees.
    ///
    /// # Errors
    /// It is not mounted, or cannot be opened.
    pub(crate) fn live() -> io::Result<Self> {
        Self::open(Path::new("/"), false)?.ok_or_else(|| io::Error::from_raw_os_error(Errno::ENOENT as i32))
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

    /// The start of a file as text, as far as the kernel gives it at once into this buffer: for many small files.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn start_of(&self, path: &str, buffer: &mut [u8]) -> io::Result<Option<String>> {
        let read = self.open_at(path, OFlag::O_RDONLY).and_then(|file| nix::unistd::read(&file, buffer));
        Ok(present(read)?.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned()))
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

    /// A whole file as text; `None` if it is absent, or cannot be read for whatever reason.
    fn text_if_readable(&self, path: &str) -> Option<String> {
        self.text(path).ok().flatten()
    }

    /// State, parent, threads and start of a task: `path` is `PID` or `PID/task/TID`.
    pub(crate) fn stat(&self, path: &str) -> Option<TaskStat> {
        TaskStat::parse(&self.text_if_readable(&format!("{path}/stat"))?)
    }

    /// This process as /proc numbers it, which in a container may differ from its own pid.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        self.link("self").ok()??.parse().ok()
    }

    /// The processes that started this one, the nearest first.
    pub(crate) fn ancestors(&self, pid: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = Some(pid);
        // A process tree has no cycles, but it changes while it is read.
        while let Some(parent) = next
            .and_then(|pid| Some(self.stat(&pid.to_string())?.parent))
            .filter(|pid| *pid > 0 && !found.contains(pid))
        {
            found.push(parent);
            next = Some(parent);
        }
        found
    }

    /// The user who runs a process.
    pub(crate) fn uid(&self, pid: u32) -> Option<u32> {
        real_uid(&self.text_if_readable(&format!("{pid}/status"))?)
    }

    /// A task's short name: `path` is `PID` or `PID/task/TID`.
    pub(crate) fn comm(&self, path: &str) -> Option<String> {
        Some(self.text_if_readable(&format!("{path}/comm"))?.trim_end_matches('\n').to_owned())
    }

    /// A process's command line, arguments separated by spaces; empty for a thread of the kernel, and if it cannot be read.
    pub(crate) fn command(&self, pid: u32) -> String {
        words(self.text_if_readable(&format!("{pid}/cmdline")).unwrap_or_default().as_bytes())
    }

    /// The process, with its user and command line.
    pub(crate) fn process_ref(&self, pid: u32) -> ProcessRef {
        ProcessRef { pid, uid: self.uid(pid), command: self.command(pid) }
    }

    /// How long a process has been running.
    pub(crate) fn age(&self, pid: u32) -> Option<Duration> {
        /// USER_HZ, which is 100 on every architecture that has PCI (include/asm-generic/param.h).
        const TICKS_PER_SECOND: u64 = 100;
        let started = Duration::from_millis(self.stat(&pid.to_string())?.started * (1000 / TICKS_PER_SECOND));
        Some(since_boot().saturating_sub(started))
    }

    /// What each open descriptor of a process leads to, by the text of its link; `None` if that may not be asked.
    pub(crate) fn descriptor_targets(&self, pid: u32) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let process = self.process(pid).ok()??;
        let is_there = process.links("fd", |fd, target| found.push((fd.to_owned(), target.to_owned()))).ok()?;
        is_there.then_some(found)
    }
}

/// A process, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// The user it runs as; `None` if that cannot be read.
    pub(crate) uid: Option<u32>,
    /// Its command line, arguments separated by spaces; empty if it cannot be read.
    pub command: String,
}

impl ProcessRef {
    /// `pid 4711 (pcictl remove 0000:03:00.0)`: a long command line is cut.
    pub(crate) fn name(&self) -> String {
        /// Long enough to tell one virtual machine from another, short enough for one line.
        const MAX_SHOWN: usize = 120;
        let Self { pid, command, .. } = self;
        match command.char_indices().nth(MAX_SHOWN) {
            _ if command.is_empty() => format!("pid {pid}"),
            Some((cut, _)) => format!("pid {pid} ({}...)", &command[..cut]),
            None => format!("pid {pid} ({command})"),
        }
    }
}

/// What /proc/PID/stat says of a task, see proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskStat {
    /// D waits and hears no signal, S waits and does, R runs.
    pub(crate) state: char,
    /// The process that it is a child of; 0 for none.
    pub(crate) parent: u32,
    /// Threads of its process; 0 if unknown, as in a dump that lacks the field.
    pub(crate) threads: usize,
    /// When it started, in ticks since boot; 0 if unknown.
    pub(crate) started: u64,
}

impl TaskStat {
    /// `PID (COMM) STATE ...`, where COMM may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skipped: usize| fields.nth(skipped).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // The fourth, the twentieth and the twenty-second field; the state is the third.
        let (parent, threads, started) = (number(0), number(15), number(1));
        Some(Self { state, parent: u32::try_from(parent).ok()?, threads: usize::try_from(threads).ok()?, started })
    }
}

/// The time since boot, including time asleep: the clock that nobody sets.
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// The real user id in the text of /proc/PID/status.
fn real_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}

/// The arguments of a command line, which zero bytes end, separated by spaces.
fn words(cmdline: &[u8]) -> String {
    let words = cmdline.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Undoes the octal escapes of the kernel's tables: `\040` is a space.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match digits {
            Some(&[a, b, c]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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

    /// The process's user and command line. A process without a command line is named in brackets, as ps does.
    pub(crate) fn identity(&self, pid: u32, buffer: &mut Vec<u8>) -> ProcessRef {
        let status = self.read("status", buffer).is_ok_and(|is_there| is_there);
        let uid = if status { real_uid(&String::from_utf8_lossy(buffer)) } else { None };
        let cmdline = self.read("cmdline", buffer).is_ok_and(|is_there| is_there);
        let command = if cmdline { words(buffer) } else { String::new() };
        let command = if command.is_empty() { format!("[{}]", self.comm(buffer)) } else { command };
        ProcessRef { pid, uid, command }
    }

    /// The process's short name; `?` if it cannot be read.
    pub(crate) fn comm(&self, buffer: &mut Vec<u8>) -> String {
        match self.read("comm", buffer) {
            Ok(true) => String::from_utf8_lossy(buffer).trim_end_matches('\n').to_owned(),
            _ => "?".to_owned(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        assert_eq!(unescape(r"/mnt/a\040b\011c\134"), "/mnt/a b\tc\\");
        assert_eq!(unescape(r"/x\04"), r"/x\04");
    }

    #[test]
    fn a_command_name_may_hold_anything() {
        let line = "7 (a) b) c) S 3 7 7 0 -1 1 0 0 0 0 0 0 0 0 20 0 4 0 812 1 1";
        assert_eq!(TaskStat::parse(line), Some(TaskStat { state: 'S', parent: 3, threads: 4, started: 812 }));
        assert_eq!(TaskStat::parse("7 (a) S"), Some(TaskStat { state: 'S', parent: 0, threads: 0, started: 0 }));
        assert_eq!(TaskStat::parse("7 (a"), None);
    }
}
