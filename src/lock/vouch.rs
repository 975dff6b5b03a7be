//! A new lock file is worth something only if nobody still holds the one that was there before it.
//!
//! Somebody may wipe the run directory while locks are held. Those locks go on as they were, on files without a name,
//! and whoever comes next would lock new files and meet the old holders in the kernel. So a file that has just been
//! made is empty, and may be relied on only when somebody who locked it has looked around, found no lock on a deleted
//! file of this directory, and written so into it. Nobody can come by such a lock later: after a lock is taken, the name
//! is looked at again, and a file that has lost it is let go.

use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::FileExt;

use super::holders::{Role, all_flocks};
use super::process;
use crate::error::Result;

/// What a file that can be relied on holds; files never get anything else.
const VOUCHED: &[u8] = b"pcictl\n";

/// Who still holds a lock on a deleted file of this directory; `directory` ends in a slash, `inode` is of a file there
/// that this process has locked.
///
/// # Errors
/// The kernel shows no such lock of this process: then it does not keep the locks of this file system itself, as with
/// network file systems, or /proc is another machine's.
pub fn orphans(directory: &str, inode: u64) -> Result<io::Result<Vec<u32>>> {
    let holding: Vec<_> = all_flocks()?.into_iter().filter(|holding| holding.role == Role::Holds).collect();
    let this = process::this();
    let Some(own) = holding.iter().find(|holding| Some(holding.pid) == this && holding.inode == inode) else {
        return Ok(Err(io::Error::new(Io::Unsupported, "this file system leaves its locks to another machine")));
    };
    let mut pids: Vec<u32> = holding.iter().filter(|holding| holding.device == own.device).map(|h| h.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.retain(|pid| Some(*pid) != this);
    if pids.iter().any(|pid| process::uid(*pid).is_none()) {
        // Who took that lock is dead, and it lives on in whoever inherited it.
        pids = process::all();
    }
    pids.retain(|pid| Some(*pid) != this && process::holds_deleted(*pid, directory));
    Ok(Ok(pids))
}

/// Marks the file as one to be relied on.
pub fn vouch(file: &File) -> io::Result<()> {
    file.write_all_at(VOUCHED, 0)
}
