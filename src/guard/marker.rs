//! A thread that marks what is new as soon as the kernel has announced it: until then whoever opens its files is held up by
//! nobody. It does nothing else, and comes before whoever else wants to run.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::guard::marks::Marks;
use crate::host::sysfs::Sysfs;
use crate::host::uevent::Announcements;

/// Starts the thread, which ends with the process. What it cannot mark, and what was announced while it could not keep up, is
/// left to the guard, who marks all of it once more.
///
/// # Errors
/// There can be no thread, or it cannot hear.
pub(super) fn start(group: BorrowedFd<'_>, sysfs: &Sysfs) -> io::Result<()> {
    let mut marks = Marks::inherited(group.try_clone_to_owned()?);
    let sysfs = Sysfs::mounted(sysfs.top().as_fd().try_clone_to_owned()?)?;
    let announcements = Announcements::listen()?;
    std::thread::Builder::new().name("pcictl-marker".to_owned()).spawn(move || {
        come_first();
        loop {
            // A signal, or an error of poll, ends the wait like an event does.
            let _ = poll(&mut [PollFd::new(announcements.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            announcements.take_in(&mut |announced| {
                if announced.may_bring_files() {
                    let _ = marks.mark_new(&sysfs, &announced.path);
                }
            });
        }
    })?;
    Ok(())
}

/// Has this thread run as soon as it can (sched(7)); processes that are started do not inherit that. Where it may not, it waits
/// for its turn.
fn come_first() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are read during the call, which is about the calling thread alone.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
}
