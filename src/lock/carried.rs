//! The locks that a process carries: those of its open files, whoever made the call that took them.

use std::io;

use crate::lock::claims::Mode;
use crate::lock::fdinfo::each_descriptor;
use crate::lock::files::LockDirectory;
use crate::lock::validate::place_of;
use crate::pci::place::Place;

/// A lock that a process carries.
pub(crate) type Carried = (Place, Mode);

/// What a process carries of this directory's locks; empty for one that may not be looked into.
///
/// # Errors
/// This process has too few descriptors or too little memory left to look.
pub(crate) fn carried_by(directory: &LockDirectory, pid: u32) -> io::Result<Vec<Carried>> {
    let mut found = Vec::new();
    each_descriptor(directory.procfs(), pid, &mut |descriptor| {
        let (Some(locked), Some(tag)) = (descriptor.info.locked, descriptor.info.tag) else { return };
        // The name only says which file to compare it with.
        let name = descriptor.target.rsplit('/').next().and_then(place_of);
        found.extend(
            name.filter(|place| directory.kernel_files(place)[0] == Some(locked)).map(|place| (place, tag.mode)),
        );
    })?;
    Ok(found)
}
