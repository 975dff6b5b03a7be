//! The fanotify group: which files are marked, who waits to open one, and what he is answered.
//!
//! Each file has a mark of its own: a mark of all of sysfs would have each event open a file that may only be read with the
//! flags of the group, which fails. Who waits is known by the number of a descriptor that the kernel opened for the event.
//! The kernel looks for that number alone when it is answered (process_access_response in
//! fs/notify/fanotify/fanotify_user.c), so that a guard can answer for the one before it, too.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

use crate::error::{Error, ErrorKind, Result, rights_hint};
use crate::guard::kinds;
use crate::host::sysfs::Sysfs;
use crate::topology::paths::{BUSES, DEVICES};

const DRIVERS: &str = "bus/pci/drivers";

const SLOTS: &str = "bus/pci/slots";

/// Bytes of struct fanotify_event_metadata, and where its members lie.
const EVENT: usize = 24;
const EVENT_LENGTH: std::ops::Range<usize> = 0..4;
const EVENT_MASK: std::ops::Range<usize> = 8..16;
const EVENT_FD: std::ops::Range<usize> = 16..20;
const EVENT_TID: std::ops::Range<usize> = 20..24;

/// Where the errno of an answer lies (FAN_DENY_ERRNO in include/uapi/linux/fanotify.h, Linux 6.14).
const ERRNO_SHIFT: u32 = 24;

/// The group.
#[derive(Debug)]
pub(crate) struct Marks {
    group: Fanotify,
    /// How many files are marked, as far as this process did it.
    pub(crate) count: usize,
    /// The kernel can give the opener another error than EPERM.
    tells_why: bool,
}

/// A thread that waits in open(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    /// The number that it is answered by, which is also a descriptor of this process to the same file.
    pub(crate) number: RawFd,
    /// The thread.
    pub(crate) tid: u32,
}

/// What a waiting thread is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may open the file.
    Allow,
    /// It may not.
    Deny,
}

impl Marks {
    /// A new group, in which nothing is marked.
    ///
    /// # Errors
    /// The kernel has no such thing, or this process may not have it.
    pub(crate) fn new() -> Result<Self> {
        // Only of this class an answer may have another error than EPERM (process_access_response).
        let flags = InitFlags::FAN_CLASS_PRE_CONTENT
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::FAN_UNLIMITED_QUEUE
            | InitFlags::FAN_UNLIMITED_MARKS
            | InitFlags::FAN_REPORT_TID;
        // What is written cannot be opened to read.
        let opened = EventFFlags::O_WRONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC;
        match Fanotify::init(flags, opened) {
            Ok(group) => Ok(Self { group, count: 0, tells_why: true }),
            Err(errno) => Err(unusable(errno)),
        }
    }

    /// The group of a guard that has ended.
    pub(crate) fn inherited(group: OwnedFd) -> Self {
        // SAFETY: the descriptor is that of the group which `group` lent to the keeper, and the one owner of it is this.
        Self { group: unsafe { Fanotify::from_owned_fd(group) }, count: 0, tells_why: true }
    }

    /// Marks every file of the table that is there.
    ///
    /// # Errors
    /// A file cannot be marked: for want of memory, or because the file system takes no marks.
    pub(crate) fn mark_all(&mut self, sysfs: &Sysfs) -> Result<()> {
        self.mark_each(sysfs, "bus/pci", &kinds::names_in("bus/pci"))?;
        for top in [DEVICES, BUSES, DRIVERS, SLOTS] {
            let names = kinds::names_in(top);
            for entry in sysfs.names(top).map_err(|error| Error::io(sysfs.display(top), &error))?.unwrap_or_default() {
                self.mark_each(sysfs, &format!("{top}/{entry}"), &names)?;
            }
        }
        Ok(())
    }

    /// Marks what is of the table in the directory of something that was announced.
    ///
    /// # Errors
    /// As [`mark_all`](Self::mark_all).
    pub(crate) fn mark_new(&mut self, sysfs: &Sysfs, directory: &str) -> Result<()> {
        self.mark_each(sysfs, directory, &kinds::names_below(directory))
    }

    fn mark_each(&mut self, sysfs: &Sysfs, directory: &str, names: &[&str]) -> Result<()> {
        for name in names {
            let path = format!("{directory}/{name}");
            let (flags, mask) = (MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_PERM);
            match self.group.mark(flags, mask, sysfs.top(), Some(path.as_str())) {
                Ok(()) => self.count += 1,
                // It is not there, or not any more.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV) => {}
                Err(errno) => {
                    let what = format!("{} cannot be marked", sysfs.display(&path));
                    return Err(Error::io(what, &errno.into()));
                }
            }
        }
        Ok(())
    }

    /// Takes in who has come to wait, so many at most; empty if nobody has.
    ///
    /// # Errors
    /// The group cannot be read, as for want of descriptors.
    pub(crate) fn take_in(&self, most: usize) -> io::Result<Vec<Waits>> {
        /// A few at a time.
        const MOST: usize = 64;
        let mut buffer = [0; MOST * EVENT];
        match rustix::io::read(self.group.as_fd(), &mut buffer[..most.min(MOST) * EVENT]) {
            Ok(length) => Ok(parse(&buffer[..length])),
            // The file of the first one is gone, and its opener was told so by the kernel.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NODEV | rustix::io::Errno::NOENT) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Answers somebody who waits; false if he does not wait any more. His number means nothing from then on.
    pub(crate) fn answer(&mut self, number: RawFd, answer: Answer) -> bool {
        let code = match answer {
            Answer::Allow => libc::FAN_ALLOW,
            Answer::Deny if self.tells_why => libc::FAN_DENY | (libc::EBUSY as u32) << ERRNO_SHIFT,
            Answer::Deny => libc::FAN_DENY,
        };
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&number.to_ne_bytes());
        bytes[4..].copy_from_slice(&code.to_ne_bytes());
        match rustix::io::write(self.group.as_fd(), &bytes) {
            Ok(_) => true,
            Err(rustix::io::Errno::INVAL) if answer == Answer::Deny && self.tells_why => {
                self.tells_why = false;
                self.answer(number, answer)
            }
            Err(_) => false,
        }
    }

    /// What the opener sees who is denied.
    pub(crate) fn denial(&self) -> &'static str {
        if self.tells_why { "EBUSY" } else { "EPERM" }
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// The events in what one read brings, see fanotify(7); those without a file are left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Waits> {
    let mut found = Vec::new();
    let mut rest = bytes;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or_default();
    while rest.len() >= EVENT {
        let mask = rest[EVENT_MASK].try_into().map(u64::from_ne_bytes).unwrap_or_default();
        let fd = number(&rest[EVENT_FD]) as RawFd;
        if mask & libc::FAN_OPEN_PERM != 0 && fd >= 0 {
            found.push(Waits { number: fd, tid: number(&rest[EVENT_TID]) });
        }
        let length = number(&rest[EVENT_LENGTH]) as usize;
        rest = rest.get(length.max(EVENT)..).unwrap_or_default();
    }
    found
}

fn unusable(errno: Errno) -> Error {
    match errno {
        Errno::EPERM => {
            let message = "opens of files cannot be held up: the kernel gives that to root of the whole machine only";
            Error::new(ErrorKind::NotPermitted, message).hint(format!("{} (CAP_SYS_ADMIN)", rights_hint()))
        }
        Errno::EINVAL | Errno::ENOSYS => {
            let message = "this kernel cannot hold up opens of files (CONFIG_FANOTIFY_ACCESS_PERMISSIONS)";
            Error::new(ErrorKind::Unsupported, message)
        }
        errno => Error::io("opens of files cannot be held up", &errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_one_after_the_other() {
        let event = |mask: u64, fd: i32, tid: u32| {
            let mut bytes = [0; EVENT];
            bytes[EVENT_LENGTH].copy_from_slice(&(EVENT as u32).to_ne_bytes());
            bytes[EVENT_MASK].copy_from_slice(&mask.to_ne_bytes());
            bytes[EVENT_FD].copy_from_slice(&fd.to_ne_bytes());
            bytes[EVENT_TID].copy_from_slice(&tid.to_ne_bytes());
            bytes
        };
        let open = libc::FAN_OPEN_PERM;
        let bytes = [event(open, 7, 100), event(libc::FAN_Q_OVERFLOW, -1, 0), event(open, 8, 101)].concat();
        assert_eq!(parse(&bytes), [Waits { number: 7, tid: 100 }, Waits { number: 8, tid: 101 }]);
        assert_eq!(parse(&bytes[..EVENT + 3]), [Waits { number: 7, tid: 100 }]);
    }
}
