//! What /proc tells about a process: whose it is, what it runs, since when, and which lock files it has open.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::time::Duration;

use crate::lock::offset_tag::{Stamp, since_boot};

/// Device and inode, which is what a file is to the kernel.
pub(crate) type FileId = (u64, u64);

/// A lock file that a process has open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// Which file.
    pub(crate) file: FileId,
    /// Whether this very descriptor carries the lock.
    pub(crate) locked: bool,
    /// What the process says about it.
    pub(crate) stamp: Option<Stamp>,
}

/// The files among those that `wanted` tells which a process has open; none if we may not look or it is gone.
pub(crate) fn open_files(pid: u32, wanted: &dyn Fn(FileId) -> bool) -> Option<Vec<Open>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        let file = (metadata.st_dev(), metadata.st_ino());
        if !wanted(file) {
            continue;
        }
        let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
        let Ok(info) = fs::read_to_string(info) else { continue };
        let locked = shows_flock(&info);
        let offset = info.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
        found.push(Open { file, locked, stamp: offset.and_then(Stamp::from_offset) });
    }
    Some(found)
}

/// Whether a process has a lock on a file of this directory that was deleted under it.
pub(crate) fn holds_deleted(pid: u32, directory: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let Some(name) = target.to_str().and_then(|path| path.strip_prefix(directory)) else { return false };
        let info = || fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy()));
        name.ends_with(".lock (deleted)") && info().is_ok_and(|info| shows_flock(&info))
    })
}

/// Whether a descriptor that /proc/PID/fdinfo tells of this carries a lock of flock(2).
pub(crate) fn shows_flock(info: &str) -> bool {
    info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// This process as /proc numbers it, which in a container may be another number than its own.
pub(crate) fn this() -> Option<u32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// The processes that this one was started by, the nearest first.
pub(crate) fn ancestors() -> Vec<u32> {
    let mut found = Vec::new();
    let mut pid = this();
    while let Some(parent) = pid.and_then(parent).filter(|parent| *parent > 0 && !found.contains(parent)) {
        found.push(parent);
        pid = Some(parent);
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// The user who runs it.
pub(crate) fn uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}

/// How long it has been running.
pub(crate) fn age(pid: u32) -> Option<Duration> {
    /// USER_HZ, which is 100 on every architecture that has PCI (include/asm-generic/param.h).
    const TICKS_A_SECOND: u64 = 100;
    let started: u64 = stat_field(pid, 22)?.parse().ok()?;
    Some(since_boot().saturating_sub(Duration::from_millis(started * (1000 / TICKS_A_SECOND))))
}

/// A field of /proc/PID/stat, counted from 1 as in proc_pid_stat(5); only those after the command's name.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Its command line, arguments separated by spaces, nothing in it that could move a cursor; empty if it cannot be seen.
pub(crate) fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> =
        line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    words.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
