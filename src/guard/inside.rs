//! Who is inside a file of the table: has it open to write, or is about to.

use std::io;

use crate::guard::kinds::MarkedFile;
use crate::guard::opener::{Call, Opener, call_of, open_to_write};
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;

/// Somebody who has a file of the table open to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insider {
    /// Who.
    pub(crate) opener: Opener,
    /// What.
    pub(crate) file: MarkedFile,
    /// The number of the descriptor, in that process.
    pub(crate) descriptor: String,
}

/// Whether a link of /proc leads to this file, which may have been removed meanwhile.
pub(crate) fn leads_to(target: &str, file: &MarkedFile) -> bool {
    let target = target.strip_suffix(" (deleted)").unwrap_or(target);
    target.strip_suffix(&file.path).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// Whether a process has a file open to write. One that cannot be looked into for want of means counts as having it.
pub(crate) fn has_open(procfs: &Procfs, pid: u32, file: &MarkedFile) -> bool {
    open_to_write(procfs, pid, &|target| leads_to(target, file)).map_or_else(is_want, |found| !found.is_empty())
}

fn is_want(error: io::Error) -> bool {
    crate::lock::fdinfo::told::<()>(Err(error)).is_err()
}

/// Whether a thread is in open(2), or may be.
pub(crate) fn is_opening(procfs: &Procfs, tid: u32) -> bool {
    matches!(call_of(procfs, tid), Call::Open | Call::OpenToRead | Call::OpenToWrite)
}

/// Whether whoever was let go on is still on his way, or anybody has got the open file from him. One who `waits` for another
/// file is on the way to that.
pub(crate) fn is_inside(procfs: &Procfs, opener: &Opener, file: &MarkedFile, waits: bool) -> bool {
    !waits && is_opening(procfs, opener.tid) || has_open(procfs, opener.pid, file) || anybody_has(procfs, file)
}

/// Whether any process has a file open to write.
pub(crate) fn anybody_has(procfs: &Procfs, file: &MarkedFile) -> bool {
    let own = std::process::id();
    procfs.pids().map_or_else(is_want, |pids| {
        pids.into_iter()
            .filter(|pid| *pid != own && !procfs.is_kernel_thread(*pid))
            .any(|pid| has_open(procfs, pid, file))
    })
}

/// Everybody who has a file of the table open to write, other than this process, in whatever mount of sysfs; of a dumped tree
/// in that one only, for there may be others of the same machine.
///
/// # Errors
/// The processes cannot be listed.
pub(crate) fn all(procfs: &Procfs, sysfs: &Sysfs) -> io::Result<Vec<Insider>> {
    let tree = sysfs.is_dump().then(|| sysfs.display(""));
    let is_of_table = |target: &str| {
        tree.as_ref().is_none_or(|tree| target.starts_with(tree)) && MarkedFile::of_link(target).is_some()
    };
    let own = std::process::id();
    let mut found = Vec::new();
    for pid in procfs.pids()? {
        if pid == own || procfs.is_kernel_thread(pid) {
            continue;
        }
        let open = open_to_write(procfs, pid, &is_of_table).unwrap_or_default();
        found.extend(open.into_iter().filter_map(|open| {
            let file = MarkedFile::of_link(&open.target)?;
            Some(Insider { opener: Opener::of(procfs, pid), file, descriptor: open.descriptor })
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_in_whichever_mount() {
        let file = MarkedFile::of("devices/pci0000:00/0000:00:03.0/remove").unwrap();
        for target in [
            "/sys/devices/pci0000:00/0000:00:03.0/remove",
            "/sys/devices/pci0000:00/0000:00:03.0/remove (deleted)",
            "/c/sys/devices/pci0000:00/0000:00:03.0/remove",
        ] {
            assert!(leads_to(target, &file), "{target}");
        }
        assert!(!leads_to("/sys/devices/pci0000:00/0000:00:04.0/remove", &file));
        assert!(!leads_to("/sys/xdevices/pci0000:00/0000:00:03.0/remove", &file));
    }
}
