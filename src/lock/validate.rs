//! A new lock file is state something only if nobody still holds the one that was there before it.
//!
//! Somebody may wipe the run directory while locks are held. Those locks go on as they were, on files without a name,
//! and whoever comes next would lock new files and meet the old holders in the kernel. So a file that has just been
//! made is empty, and may be relied on only when somebody who locked it has looked around, found no lock on a deleted
//! file of this directory, and written so into it. Nobody can come by such a lock later: after a lock is taken, the name
//! is looked at again, and a file that has lost it is let go.
//!
//! All processes are asked for what they have open. /proc/locks would be quicker, but it is read in pieces of a page, and
//! while others lock and unlock, lines are lost between two pieces.

use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use crate::host::procfs::Procfs;
use crate::lock::fdinfo;

/// What a file that can be relied on holds; files never get anything else.
const VALIDATED: &[u8] = b"pcictl\n";

/// Makes sure that the kernel here knows of a lock that this process has on the file.
///
/// # Errors
/// It does not, as with network file systems, which keep locks elsewhere.
pub(crate) fn check_kept_here(procfs: &Procfs, file: &File) -> io::Result<()> {
    let info = procfs.text(&format!("self/fdinfo/{}", file.as_raw_fd()))?.unwrap_or_default();
    if fdinfo::shows_flock(&info) {
        return Ok(());
    }
    Err(io::Error::new(Io::Unsupported, "this file system does not keep its locks on this machine"))
}

/// Who still holds a lock on a deleted file of this directory; its path ends in a slash.
pub(crate) fn stale_holders(procfs: &Procfs, directory: &str) -> Vec<u32> {
    let pids = procfs.pids().unwrap_or_default();
    pids.into_iter().filter(|pid| fdinfo::holds_deleted(procfs, *pid, directory)).collect()
}

/// Marks the file as one to be relied on.
pub(crate) fn mark_validated(file: &File) -> io::Result<()> {
    file.write_all_at(VALIDATED, 0)
}
