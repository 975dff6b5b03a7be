//! A thread of the keeper that marks what is new as soon as the kernel has announced it: until then whoever opens its files is held up
//! by nobody. It does nothing else, and comes before whoever else wants to run.
//!
//! It is the keeper's, so that what comes while a guard was killed and the next one has not begun waits for that one, too.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::guard::link;
use crate::guard::marks::Marks;
use crate::host::sysfs::Sysfs;
use crate::host::uevent::Announcements;

/// The sysfs of each network namespace that is known, by a name of the guard's choice.
type Views = Arc<Mutex<Vec<(String, Sysfs)>>>;

/// The thread, which ends with this, and its copy of the group with it.
#[derive(Debug)]
pub(super) struct Marker {
    views: Views,
    /// The thread has the other end, and hears that this one is closed.
    _line: OwnedFd,
}

impl Marker {
    /// Starts the thread, which marks nothing yet. What it cannot mark, and what was announced while it could not keep up, is left to
    /// the guard, who marks all of it once more.
    ///
    /// # Errors
    /// There can be no thread, or it cannot hear.
    pub(super) fn start(group: BorrowedFd<'_>) -> io::Result<Self> {
        let mut marks = Marks::inherited(group.try_clone_to_owned()?);
        let announcements = Announcements::listen()?;
        let (line, end) = link::pair()?;
        let views = Views::default();
        let marked = Arc::clone(&views);
        let run = move || {
            come_first();
            while is_announced(&announcements, &end) {
                mark(&mut marks, &announcements, &marked);
            }
        };
        std::thread::Builder::new().name("pcictl-marker".to_owned()).spawn(run)?;
        Ok(Self { views, _line: line })
    }

    /// Has it mark what is new in this sysfs as well, which takes the place of one with the same name.
    pub(super) fn add(&self, name: String, sysfs: Sysfs) {
        self.change(|views| {
            views.retain(|(known, _)| *known != name);
            views.push((name, sysfs));
        });
    }

    /// Has it forget one.
    pub(super) fn remove(&self, name: &str) {
        self.change(|views| views.retain(|(known, _)| known != name));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<(String, Sysfs)>)) {
        change(&mut self.views.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Waits until something was announced; false once there is nobody any more who wants to know.
fn is_announced(announcements: &Announcements, end: &OwnedFd) -> bool {
    let mut watched = [announcements.as_fd(), end.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // A signal, or an error of poll, ends the wait like an event does.
    let _ = poll(&mut watched, PollTimeout::NONE);
    watched[1].revents().is_none_or(|events| events.is_empty())
}

fn mark(marks: &mut Marks, announcements: &Announcements, views: &Views) {
    let views = views.lock().unwrap_or_else(PoisonError::into_inner);
    announcements.take_in(&mut |announced| {
        if announced.may_bring_files() {
            for (_, sysfs) in &*views {
                let _ = marks.mark_new(sysfs, &announced.path);
            }
        }
    });
}

/// Has this thread run as soon as it can (sched(7)); processes that are started do not inherit that. Where it may not, it waits
/// for its turn.
fn come_first() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are read during the call, which is about the calling thread alone.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
}
