//! The kernel's table of locks, /proc/locks: which process has or wants which lock on which file.
//!
//! It is read in pieces of a page, and while others lock and unlock, lines are lost between two pieces (fs/seq_file.c: a
//! piece begins at the number of a line, and lines before it may have gone meanwhile). So a table of more than one piece is
//! read until two looks in a row bring nothing new.

use std::collections::HashSet;
use std::io;

use nix::errno::Errno;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::procfs::Procfs;
use crate::lock::claims::Mode;

const PROC_LOCKS: &str = "/proc/locks";

/// A table that is shorter was read in one piece, and is whole: a page, less the longest line.
const PIECE: usize = 4096 - 128;

/// Where so many looks each found something new, one more would, too.
const LOOKS: usize = 16;

/// Whether a process has the lock or stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has the lock.
    Holds,
    /// It waits for it.
    Waits,
}

/// What a file is to the kernel's locks: the device of its file system, and the inode. Either can differ from what stat(2)
/// says (btrfs, overlayfs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KernelFile {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// One line of /proc/locks (fs/locks.c, lock_get_status) that is about flock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlockLine {
    /// The process that made the call; it may have died and left the lock to its children.
    pub(crate) pid: u32,
    /// The file.
    pub(crate) file: KernelFile,
    /// Shared or exclusive.
    pub(crate) mode: Mode,
    /// Has it, or waits.
    pub(crate) role: Role,
}

impl FlockLine {
    /// Reads `12: FLOCK  ADVISORY  WRITE 4711 00:19:345 0 EOF`; a waiting one has `->` before the type.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1).peekable();
        let role = if words.next_if_eq(&"->").is_some() { Role::Waits } else { Role::Holds };
        (words.next()? == "FLOCK").then_some(())?;
        let mode = match words.nth(1)? {
            "READ" => Mode::Shared,
            "WRITE" => Mode::Exclusive,
            _ => return None,
        };
        let pid = words.next()?.parse().ok()?;
        let mut file = words.next()?.split(':');
        let major = u64::from_str_radix(file.next()?, 16).ok()?;
        let minor = u64::from_str_radix(file.next()?, 16).ok()?;
        let file = KernelFile { device: nix::sys::stat::makedev(major, minor), inode: file.next()?.parse().ok()? };
        Some(Self { pid, file, mode, role })
    }
}

/// All flock locks of the machine, and all who wait for one. Some may have ended since the first of several looks.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn all_flocks(procfs: &Procfs) -> Result<Vec<FlockLine>> {
    let (mut lines, mut known) = (Vec::new(), HashSet::new());
    let mut nothing_new = 0;
    for _ in 0..LOOKS {
        let text = procfs.text("locks").map_err(|e| Error::io(PROC_LOCKS, &e))?.unwrap_or_default();
        let before = lines.len();
        lines.extend(text.lines().filter_map(FlockLine::parse).filter(|line| known.insert(*line)));
        nothing_new = if lines.len() == before { nothing_new + 1 } else { 0 };
        if text.len() < PIECE || nothing_new == 2 {
            break;
        }
    }
    Ok(lines)
}

/// All flock locks of the machine and all who wait for one, if no line was lost; none where that cannot be told.
///
/// One piece is one picture: the reader keeps everybody from locking and unlocking while it is made (fs/locks.c, locks_start).
/// Of a longer table a line is lost only if it comes first after a piece, and a lock before it went away just then. So it is
/// read in pieces of several sizes, each of which ends elsewhere; and not trusted where many locks come and go.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn whole_table(procfs: &Procfs) -> io::Result<Option<Vec<FlockLine>>> {
    const SIZES: [usize; 4] = [4096, 2900, 1900, 3500];
    let mut flocks = HashSet::new();
    let mut last: Option<HashSet<String>> = None;
    for size in SIZES {
        let text = read_in_pieces(procfs, size)?;
        flocks.extend(text.lines().filter_map(FlockLine::parse));
        if text.len() < PIECE {
            break;
        }
        // Without the number of the line, which is its place.
        let lines = text.lines().filter_map(|line| Some(line.split_once(':')?.1.to_owned())).collect::<HashSet<_>>();
        if last.is_some_and(|last| many_went(&last, &lines)) {
            return Ok(None);
        }
        last = Some(lines);
    }
    Ok(Some(flocks.into_iter().collect()))
}

/// Whether so much went away between two readings that lines of others may have been lost.
fn many_went(before: &HashSet<String>, now: &HashSet<String>) -> bool {
    const FEW: usize = 2;
    before.difference(now).count() > FEW
}

/// The table, of which the kernel gives whole lines up to so many bytes at a time.
fn read_in_pieces(procfs: &Procfs, size: usize) -> io::Result<String> {
    let file = procfs.open_file("locks")?.ok_or(io::ErrorKind::NotFound)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; size]);
    loop {
        match nix::unistd::read(&file, &mut piece) {
            Ok(0) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::lock::claims::Mode;

    #[test]
    fn no_lock_is_overlooked_while_others_come_and_go() {
        let scratch = tempfile::tempdir().unwrap();
        let locked = |number: usize| {
            let file = File::create(scratch.path().join(number.to_string())).unwrap();
            fs2::FileExt::lock_exclusive(&file).unwrap();
            file
        };
        let held: Vec<File> = (0..100).map(locked).collect();
        let inode = held[50].metadata().unwrap().ino();
        let procfs = Procfs::live().unwrap();
        let is_over = AtomicBool::new(false);
        let mut missed = 0;
        std::thread::scope(|scope| {
            for thread in 1..4 {
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let files: Vec<File> = (0..40).map(|number| locked(thread * 100 + number)).collect();
                        drop(files);
                    }
                });
            }
            for _ in 0..100 {
                let lines = all_flocks(&procfs).unwrap();
                missed += usize::from(!lines.iter().any(|line| line.file.inode == inode));
                let whole = whole_table(&procfs).unwrap();
                missed += usize::from(whole.is_some_and(|lines| !lines.iter().any(|line| line.file.inode == inode)));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(missed, 0);
    }

    #[test]
    fn a_table_from_which_three_have_gone_is_not_trusted() {
        let lines = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<HashSet<_>>();
        let before = lines(&[1, 2, 3, 4]);
        assert!(!many_went(&before, &before) && !many_went(&before, &lines(&[3, 4, 5, 6, 7, 8])));
        assert!(many_went(&before, &lines(&[4, 5])) && many_went(&before, &lines(&[])));
    }

    #[test]
    fn reads_the_lines_of_proc_locks() {
        let line = "3: FLOCK  ADVISORY  WRITE 4711 fe:00:1572 0 EOF";
        let file = KernelFile { device: nix::sys::stat::makedev(0xfe, 0), inode: 1572 };
        let holding = FlockLine { pid: 4711, file, mode: Mode::Exclusive, role: Role::Holds };
        assert_eq!(FlockLine::parse(line), Some(holding));
        let line = "3: -> FLOCK  ADVISORY  READ 4712 fe:00:1572 0 EOF";
        let waiting = FlockLine { pid: 4712, mode: Mode::Shared, role: Role::Waits, ..holding };
        assert_eq!(FlockLine::parse(line), Some(waiting));
        assert_eq!(FlockLine::parse("1: POSIX  ADVISORY  WRITE 1 00:1a:5 0 EOF"), None);
        assert_eq!(FlockLine::parse("garbage"), None);
    }
}
