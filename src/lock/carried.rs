//! The locks that a process carries: those of its open files, whoever made the call that took them.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::host::pidfd;
use crate::lock::claims::Mode;
use crate::lock::fdinfo::{Descriptor, Fdinfo, each_descriptor};
use crate::lock::files::LockDirectory;
use crate::lock::validate::place_of;
use crate::order;
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
        found.extend(carried(directory, descriptor));
    })?;
    Ok(found)
}

/// Copies of the locks that a process carries: they last as long as the copies do, whatever becomes of that process. Empty for one
/// that may not be looked into.
///
/// # Errors
/// As [`carried_by`].
pub(crate) fn copies_of(directory: &LockDirectory, pid: u32) -> io::Result<Vec<(Carried, OwnedFd)>> {
    let Some(process) = pidfd::of(pid) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    each_descriptor(directory.procfs(), pid, &mut |descriptor| {
        let Some(carried) = carried(directory, descriptor) else { return };
        let number = descriptor.number.parse().ok();
        let copy = number.and_then(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
        let Some(copy) = copy else { return };
        // The number may have become that of another file.
        let info = Fdinfo::own(directory.procfs(), copy.as_raw_fd()).unwrap_or_default();
        if info.locked.is_some() && info.locked == descriptor.info.locked {
            found.push((carried, copy));
        }
    })?;
    Ok(found)
}

/// The lock that a descriptor carries, if it is one of this directory's.
fn carried(directory: &LockDirectory, descriptor: &Descriptor<'_>) -> Option<Carried> {
    let (locked, tag) = (descriptor.info.locked?, descriptor.info.tag?);
    // The name only says which file to compare it with.
    let place = descriptor.target.rsplit('/').next().and_then(place_of)?;
    (directory.kernel_files(&place)[0] == Some(locked)).then_some((place, tag.mode))
}

/// Whether a process carries an exclusive lock of a node or of one above it, by as few looks as will do.
pub(crate) fn is_covered_by(directory: &LockDirectory, pid: u32, node: &Place) -> bool {
    let procfs = directory.procfs();
    let mut found: Vec<(Place, String)> = Vec::new();
    for number in procfs.names(&format!("{pid}/fd")).ok().flatten().unwrap_or_default() {
        let target = procfs.link(&format!("{pid}/fd/{number}")).ok().flatten();
        let place = target.and_then(|target| place_of(target.rsplit('/').next()?));
        found.extend(place.filter(|place| node.is_at_or_below(place)).map(|place| (place, number)));
    }
    // The lowest of them is the likely one: all above it are held shared.
    order::sort_by(&mut found, |a, b| b.0.cmp(&a.0));
    found.iter().any(|(place, number)| {
        let text = procfs.start_of(&format!("{pid}/fdinfo/{number}"), &mut [0; 2048]).ok().flatten();
        let info = text.map(|text| Fdinfo::parse(&text)).unwrap_or_default();
        info.tag.is_some_and(|tag| tag.mode == Mode::Exclusive)
            && info.locked.is_some()
            && directory.kernel_files(place)[0] == info.locked
    })
}
