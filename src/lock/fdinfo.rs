//! Which lock files a process has open, and which of its descriptors carry a lock: from /proc/PID/fdinfo.

use crate::host::procfs::Procfs;
use crate::lock::offset_tag::OffsetTag;

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
    pub(crate) tag: Option<OffsetTag>,
}

/// The files among those that `wanted` names that a process has open; `None` if it is gone or may not be looked into.
pub(crate) fn open_files(procfs: &Procfs, pid: u32, wanted: &dyn Fn(FileId) -> bool) -> Option<Vec<Open>> {
    let process = procfs.process(pid).ok()??;
    let mut found = Vec::new();
    for fd in process.names("fd").ok()?? {
        let Some(stat) = process.behind(&format!("fd/{fd}")) else { continue };
        let file = (stat.st_dev, stat.st_ino);
        if !wanted(file) {
            continue;
        }
        let Ok(Some(info)) = procfs.text(&format!("{pid}/fdinfo/{fd}")) else { continue };
        let locked = shows_flock(&info);
        let offset = info.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
        found.push(Open { file, locked, tag: offset.and_then(OffsetTag::from_offset) });
    }
    Some(found)
}

/// Whether a process has a lock on a file of this directory that was deleted under it.
pub(crate) fn holds_deleted(procfs: &Procfs, pid: u32, directory: &str) -> bool {
    let targets = procfs.descriptor_targets(pid).unwrap_or_default();
    targets.iter().any(|(fd, target)| {
        let Some(name) = target.strip_prefix(directory) else { return false };
        let info = || procfs.text(&format!("{pid}/fdinfo/{fd}"));
        name.ends_with(".lock (deleted)") && info().is_ok_and(|info| info.is_some_and(|info| shows_flock(&info)))
    })
}

/// Whether a descriptor that /proc/PID/fdinfo describes like this carries a lock of flock(2).
pub(crate) fn shows_flock(info: &str) -> bool {
    info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}
