//! The only place that reads /proc, or a dumped tree of it.
//!
//! Every path is relative to the `proc` directory; in a dumped tree none leads out of it, see [`root`](crate::host::root).
//! What has vanished reads as `None`: a process may end while it is looked at (ESRCH from an open file, then ENOENT). No
//! link is ever followed, except where a caller knows that the file behind it sits on a file system of this machine: what a
//! descriptor leads to may sit on a server that is gone, and merely asking for it would hang.
//!
//! Text is given as the kernel has it. Names in it are chosen by others and may hold anything; they are escaped where
//! they are printed, see [`text`](crate::host::text).

pub(crate) mod texts;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, Statx, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::host::procfs::texts::{TaskStat, real_uid, since_boot, uptime, words};
use crate::host::root::{Directory, Entries, Root, each_entry, present, read_to_end};

/// The largest table that is read whole: the routes of the whole Internet are a fifth of it.
const LARGEST: usize = 1 << 30;

/// The same of a dumped tree, which somebody else made.
const LARGEST_DUMPED: usize = 32 << 20;

/// No line of a table is longer: mount points and options are paths.
const LONGEST_LINE: usize = 1 << 20;

/// The first namespace of process ids has a fixed number (PROC_PID_INIT_INO, include/linux/proc_ns.h).
pub(crate) const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The tree of /proc that is looked at. Clones share the directory.
#[derive(Clone, Debug)]
pub(crate) struct Procfs {
    directory: Arc<Directory>,
}

impl Procfs {
    /// Opens `proc` below a root; `None` if there is none, which for a dump is no error. Where it is not mounted there is still
    /// a directory, in which nobody could be seen.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub(crate) fn open(root: &Root) -> io::Result<Option<Self>> {
        let directory = present(root.directory().open("proc"))?.filter(|found| found.is_dump() || is_mounted(found));
        Ok(directory.map(|directory| Self { directory: Arc::new(directory) }))
    }

    /// Whether this is a dumped tree.
    pub(crate) fn is_dump(&self) -> bool {
        self.directory.is_dump()
    }

    /// The descriptor that everything is opened from.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The directory of one process, to read more than one thing of it.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn process(&self, pid: u32) -> io::Result<Option<ProcessDirectory>> {
        self.task(&pid.to_string())
    }

    /// The same of one task: `path` is `PID` or `PID/task/TID`.
    fn task(&self, path: &str) -> io::Result<Option<ProcessDirectory>> {
        Ok(gone(self.directory.open(path))?.map(|directory| ProcessDirectory { directory }))
    }

    /// The one that this process sees.
    ///
    /// # Errors
    /// It is not mounted, or cannot be opened.
    pub(crate) fn live() -> io::Result<Self> {
        Self::open(&Root::open(None)?)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not mounted"))
    }

    /// The ids of all processes, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        let directory = self.directory.open(".")?;
        let mut pids = Vec::new();
        each_name(&directory, |name| pids.extend(name.parse::<u32>()))?;
        pids.sort_unstable();
        Ok(pids)
    }

    /// Whether this is a thread of the kernel, which has no program, and so neither memory nor open files. A process
    /// whose first thread has ended looks the same, but for its other threads. Never in a dump, which may lack the links.
    pub(crate) fn is_kernel_thread(&self, pid: u32) -> bool {
        let program = || self.directory.link(&format!("{pid}/exe"), |_| ());
        let threads = || self.directory.stat(&format!("{pid}/task"));
        // A directory has a link from each one in it (proc_task_getattr in fs/proc/base.c).
        !self.is_dump() && matches!(program(), Ok(None)) && threads().is_ok_and(|task| task.st_nlink == 3)
    }

    /// A whole file as text; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn text(&self, path: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = read_whole(&self.directory, path, &mut bytes);
        Ok(gone(read)?.map(|()| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Gives `take` a file line by line, however long it is; false if it is absent. It ends early when `take` says so.
    ///
    /// # Errors
    /// Any failure but absence, and a line that is too long for any table of the kernel.
    pub(crate) fn lines(&self, path: &str, take: &mut dyn FnMut(&str) -> Next) -> io::Result<bool> {
        let mut piece = |piece: &[u8]| {
            let lines = piece.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let stops = lines.map(|line| take(&String::from_utf8_lossy(line))).any(|next| next == Next::Stop);
            if stops { Next::Stop } else { Next::Go }
        };
        let read = self.directory.kernel_file(path).and_then(|file| each_piece(&file, &mut Vec::new(), &mut piece));
        Ok(gone(read)?.is_some())
    }

    /// The start of a file as text, as far as the kernel gives it at once into this buffer: for many small files.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn start_of(&self, path: &str, buffer: &mut [u8]) -> io::Result<Option<String>> {
        let file = self.directory.kernel_file(path);
        let read = file.and_then(|file| nix::unistd::read(&file, buffer).map_err(io::Error::from));
        Ok(gone(read)?.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned()))
    }

    /// Opens a file of a process to be read at offsets.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn open_file(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        gone(self.directory.kernel_file(path))
    }

    /// Where a link points, as written.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn link(&self, path: &str) -> io::Result<Option<String>> {
        match gone(self.directory.link(path, |target| String::from_utf8_lossy(target).into_owned())) {
            // Also said of a process that ended in this moment: proc_ns_readlink and proc_pid_readlink in fs/proc.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.has_ended(path) => Ok(None),
            found => found.map(Option::flatten),
        }
    }

    /// Whether the process that a path leads through is not there any more.
    fn has_ended(&self, path: &str) -> bool {
        let process = path.split('/').next().unwrap_or_default();
        matches!(present(self.directory.open(process)), Ok(None))
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        gone(self.directory.open(path).and_then(|directory| names_in(&directory)))
    }

    /// A whole file as text; `None` if it is absent, or cannot be read for whatever reason.
    fn text_if_readable(&self, path: &str) -> Option<String> {
        self.text(path).ok().flatten()
    }

    /// State, parent, threads and start of a task: `path` is `PID` or `PID/task/TID`.
    pub(crate) fn stat(&self, path: &str) -> Option<TaskStat> {
        // Fifty numbers at most, in one piece: the second read, which says that there is no more, would be a call a thread.
        TaskStat::parse(&self.start_of(&format!("{path}/stat"), &mut [0; 2048]).ok()??)
    }

    /// Whether this process is in the machine's first namespace of process ids; none where that cannot be told.
    pub(crate) fn is_in_first_pid_namespace(&self) -> Option<bool> {
        Some(self.link("self/ns/pid").ok()?? == FIRST_PID_NAMESPACE)
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

    /// A task's command line, arguments separated by spaces; empty for a thread of the kernel, and if it cannot be read.
    /// `path` is `PID` or `PID/task/TID`.
    pub(crate) fn command(&self, path: &str) -> String {
        words(self.text_if_readable(&format!("{path}/cmdline")).unwrap_or_default().as_bytes())
    }

    /// The process, with its user and command line.
    pub(crate) fn process_ref(&self, pid: u32) -> ProcessRef {
        ProcessRef { pid, uid: self.uid(pid), command: self.command(&pid.to_string()) }
    }

    /// How long a process has been running.
    pub(crate) fn age(&self, pid: u32) -> Option<Duration> {
        let stat = self.stat(&pid.to_string())?;
        let now = if self.is_dump() { uptime(&self.text("uptime").ok()??)? } else { since_boot() };
        Some(stat.age(now))
    }

    /// What each open descriptor of a task leads to, by the text of its link; `None` if that may not be asked. `path` is `PID`
    /// or `PID/task/TID`.
    pub(crate) fn descriptor_targets(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let is_there = self.task(path).ok()??.links("fd", |fd, target| {
            found.push((fd.to_owned(), target.to_owned()));
            Next::Go
        });
        let is_there = is_there.ok()?;
        is_there.then_some(found)
    }
}

/// A process, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

fn is_mounted(proc: &Directory) -> bool {
    rustix::fs::fstatfs(proc).is_ok_and(|found| found.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// The open directory of one process.
#[derive(Debug)]
pub(crate) struct ProcessDirectory {
    directory: Directory,
}

impl ProcessDirectory {
    /// Reads a file into `bytes`, replacing what was there; false if it, or its process, is gone.
    ///
    /// # Errors
    /// Any failure but its absence.
    pub(crate) fn read(&self, path: &str, bytes: &mut Vec<u8>) -> io::Result<bool> {
        bytes.clear();
        Ok(gone(read_whole(&self.directory, path, bytes))?.is_some())
    }

    /// Gives `take` a file in pieces of whole lines, however long it is; false if it, or its process, is gone. It ends
    /// early when `take` says so.
    ///
    /// # Errors
    /// Any failure but absence, and a line that is too long for any table of the kernel.
    pub(crate) fn pieces(
        &self,
        path: &str,
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]) -> Next,
    ) -> io::Result<bool> {
        Ok(gone(self.directory.kernel_file(path).and_then(|file| each_piece(&file, buffer, take)))?.is_some())
    }

    /// Calls `each` with the name and the target of every link in a directory, one after the other, until it says that
    /// it is enough; false if the directory is gone.
    ///
    /// # Errors
    /// Any failure but absence.
    pub(crate) fn links(&self, path: &str, mut each: impl FnMut(&str, &str) -> Next) -> io::Result<bool> {
        let mut walk = || -> io::Result<()> {
            let directory = self.directory.open(path)?;
            let mut next = Next::Go;
            each_name(&directory, |name| {
                if matches!(next, Next::Stop) {
                    return;
                }
                // A descriptor that was closed meanwhile is no error.
                let link = directory.link(name, |target| each(name, &String::from_utf8_lossy(target)));
                next = link.ok().flatten().unwrap_or(Next::Go);
            })
        };
        Ok(gone(walk())?.is_some())
    }

    /// The names in a directory.
    ///
    /// # Errors
    /// Any failure but absence.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        gone(self.directory.open(path).and_then(|directory| names_in(&directory)))
    }

    /// Where a link points, as written; `None` if it is absent or cannot be read.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        self.directory.link(path, |target| String::from_utf8_lossy(target).into_owned()).ok().flatten()
    }

    /// Whether it is one of this machine's, and not of a dump.
    pub(crate) fn is_live(&self) -> bool {
        !self.directory.is_dump()
    }

    /// What a descriptor or a mapping leads to, as far as the kernel knows without asking anybody else: only for one that
    /// sits on a file system of which that is known to be so.
    pub(crate) fn behind(&self, path: &str) -> Option<Statx> {
        if !self.is_live() {
            return None;
        }
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statx(&self.directory, path, flags, StatxFlags::TYPE).ok()
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

    /// Whether more than one thread is in it, by the link count of their directory.
    pub(crate) fn has_threads(&self) -> bool {
        self.directory.stat("task").is_ok_and(|stat| stat.st_nlink > 3)
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There may be more.
    Go,
    /// Enough was seen.
    Stop,
}

fn names_in(directory: &Directory) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    each_name(directory, |name| names.push(name.to_owned()))?;
    Ok(names)
}

/// Gives `take` each name in a directory, in no order.
fn each_name(directory: &Directory, mut take: impl FnMut(&str)) -> io::Result<()> {
    Ok(each_entry(directory, &mut Entries::default(), |name, _| take(name))?)
}

fn read_whole(directory: &Directory, path: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
    let limit = if directory.is_dump() { LARGEST_DUMPED } else { LARGEST };
    read_to_end(&directory.kernel_file(path)?, bytes, limit)
}

/// Gives `take` an open file in pieces that end with a line. The memory that it takes does not depend on the length of the
/// file.
fn each_piece(file: &OwnedFd, buffer: &mut Vec<u8>, take: &mut dyn FnMut(&[u8]) -> Next) -> io::Result<()> {
    const PIECE: usize = 64 << 10;
    if buffer.len() < PIECE {
        buffer.resize(PIECE, 0);
    }
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            if filled > LONGEST_LINE {
                return Err(io::Error::other("a line of it is too long"));
            }
            buffer.resize(filled * 2, 0);
        }
        let length = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer[filled..]))?;
        if length == 0 {
            if filled > 0 {
                take(&buffer[..filled]);
            }
            return Ok(());
        }
        let searched = filled;
        filled += length;
        if let Some(end) = memchr::memrchr(b'\n', &buffer[searched..filled]).map(|end| searched + end + 1) {
            if take(&buffer[..end]) == Next::Stop {
                return Ok(());
            }
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }
}

/// Turns "it is gone" into `None`; the table of mounts of a process that has ended cannot be opened for EINVAL.
fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(None),
        result => present(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_comes_in_pieces_of_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let lines: Vec<String> =
            (0..50_000).map(|number| format!("line {number} {}", "x".repeat(number % 97))).collect();
        std::fs::create_dir(directory.path().join("proc")).unwrap();
        std::fs::write(directory.path().join("proc/table"), lines.join("\n")).unwrap();
        let procfs = Procfs::open(&Root::open(Some(directory.path())).unwrap()).unwrap().unwrap();
        let mut read = Vec::new();
        let mut take = |line: &str| {
            read.push(line.to_owned());
            Next::Go
        };
        assert!(procfs.lines("table", &mut take).unwrap());
        assert_eq!(read, lines);
        let mut count = 0;
        let mut first = |_: &str| {
            count += 1;
            Next::Stop
        };
        procfs.lines("table", &mut first).unwrap();
        assert_eq!(count, 1);
        std::fs::write(directory.path().join("proc/table"), vec![b'x'; LONGEST_LINE * 3]).unwrap();
        assert!(procfs.lines("table", &mut |_| Next::Go).is_err());
    }

    #[test]
    fn a_process_that_was_waited_for_has_ended() {
        let procfs = Procfs::open(&Root::open(None).unwrap()).unwrap().unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let path = format!("{}/ns/mnt", child.id());
        assert!(!procfs.has_ended(&path));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(procfs.has_ended(&path));
        assert_eq!(procfs.link(&path).unwrap(), None);
    }

    #[test]
    fn a_directory_in_which_proc_is_not_mounted_is_none() {
        let empty = tempfile::tempdir().unwrap();
        assert!(!is_mounted(&Directory::top(empty.path(), false).unwrap()));
        assert!(is_mounted(&Directory::top(std::path::Path::new("/proc"), false).unwrap()));
    }
}
