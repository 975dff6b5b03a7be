//! How a guard begins: with what the one before left, or with those who are inside already.

use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::fcntl_dupfd_cloexec;

use crate::error::{Error, Result};
use crate::guard::grants::Locks;
use crate::guard::inside::is_opening;
use crate::guard::keeping::Legacy;
use crate::guard::link::{Message, Waiting};
use crate::guard::marks::Answer;
use crate::guard::state::Guard;

/// No guard has more descriptors at a time, as far as those go that the kernel opens for it.
const NUMBERS: RawFd = 8192;

impl Guard<'_> {
    /// Takes over from the guard before, marks all files, and looks who is inside already. Nobody is served before.
    pub(super) fn begin(&mut self, is_new: bool, mut legacy: Legacy) -> Result<()> {
        // Locks end one by one, and are not to leave numbers free that somebody is answered by.
        for lock in legacy.granted.iter_mut().flat_map(|(_, locks)| locks) {
            if let Ok(copy) = fcntl_dupfd_cloexec(&*lock, NUMBERS) {
                *lock = copy;
            }
        }
        if is_new {
            let group = self.marks.as_fd().try_clone_to_owned();
            let group = group.map_err(|error| Error::io("what must outlive the guard cannot be kept", &error))?;
            self.tell(&Message::Group, &[group.as_fd()]);
        } else {
            let known = legacy.taken.iter().chain(&legacy.waiting).map(|waiting| waiting.number);
            self.take_numbers(&known.collect::<Vec<_>>());
        }
        for (granted, locks) in legacy.granted {
            self.grants.add(&self.procfs, granted, Rc::new(Locks::Given(locks)), Duration::ZERO, None);
        }
        let sysfs = &self.context.machine.sysfs;
        if !sysfs.is_dump() {
            // From here on what is new is marked, and then what is there.
            self.tell(&Message::Sysfs(None), &[sysfs.top().as_fd()]);
        }
        self.marks.mark_all(sysfs)?;
        if !sysfs.is_dump() {
            self.look_for_views_now();
        }
        self.adopt_all();
        if !is_new {
            for waiting in legacy.waiting {
                self.serve_again(waiting);
            }
            legacy.taken.into_iter().for_each(|taken| self.decide_again(taken));
        }
        let state = format!("guarding {} files", self.marks.count);
        self.say(&state);
        self.unit.tell(&format!("READY=1\nSTATUS={state}"));
        Ok(())
    }

    /// Keeps the numbers that others are answered by from being given out again, and lets those go on whom the guard before
    /// had taken in and not yet told of: it was killed in the microseconds between.
    fn take_numbers(&mut self, numbers: &[RawFd]) {
        for number in (0..NUMBERS).filter(|number| !numbers.contains(number)) {
            self.marks.answer(number, Answer::Allow);
        }
        for number in numbers {
            let copy = fcntl_dupfd_cloexec(self.marks.as_fd(), *number).ok();
            // A number that is taken already is not given out either; the copy has the next free one then.
            let copy = copy.filter(|copy| copy.as_raw_fd() == *number);
            self.taken_numbers.insert(*number, copy);
        }
    }

    /// Decides about somebody whom the guard before had taken in, if he has not been answered yet.
    fn decide_again(&mut self, taken: Waiting) {
        if is_opening(&self.procfs, taken.opener.tid) { self.admit(taken) } else { self.pass(taken.number) }
    }

    fn serve_again(&mut self, waiting: Waiting) {
        let granted = self.grants.iter().find(|grant| grant.granted.number == Some(waiting.number));
        let is_granted = granted.is_some_and(|grant| grant.granted.opener == waiting.opener);
        match self.needs_or_everything(&waiting.file) {
            Some(needs) if !is_granted => self.keep_waiting(waiting, needs, Instant::now()),
            _ => {
                self.pass(waiting.number);
                self.tell(&Message::Answered(waiting.number), &[]);
            }
        }
    }
}
