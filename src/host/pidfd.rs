//! A process by a descriptor, which never becomes that of another one with the same number (pidfd_open(2)).

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Readable when the process has ended; none if it has, or cannot be watched.
pub(crate) fn of(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}
