//! What the guard has at hand, and the few things that it does with it: let somebody go on, deny him, end what was held for him.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::guard::grants::{Grant, Grants, Locks};
use crate::guard::keeping::Keeping;
use crate::guard::kinds::{self, MarkedFile};
use crate::guard::link::{Granted, Message, Waiting};
use crate::guard::looks::Looks;
use crate::guard::marks::{Answer, Marks};
use crate::guard::namespaces::{self, PERIOD, View};
use crate::guard::needs::Needs;
use crate::guard::notify::Unit;
use crate::guard::opener::Opener;
use crate::guard::options::GuardOptions;
use crate::guard::record::{Fate, Log, Record};
use crate::guard::status::{Inquiries, MOST_TOLD};
use crate::guard::waiter::Waiter;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::host::uevent::Announcements;
use crate::lock::files::LockDirectory;
use crate::operation::context::Context;
use crate::pci::place::Place;
use crate::report::guard::{GuardReport, WriterAtFile};

/// Somebody who waits in open(2).
pub(super) struct Pending {
    pub(super) waiting: Waiting,
    pub(super) needs: Needs,
    pub(super) begun: Instant,
    /// Readable when his process has ended.
    pub(super) process: Option<OwnedFd>,
    /// Who stands in line for him, if it is his turn.
    pub(super) waiter: Option<Waiter>,
}

/// What has happened so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) let_go_on: u64,
    pub(super) had_to_wait: u64,
    pub(super) denied: u64,
}

/// The guard.
pub(super) struct Guard<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) options: &'a GuardOptions,
    pub(super) procfs: Procfs,
    pub(super) directory: LockDirectory,
    pub(super) marks: Marks,
    pub(super) keeping: Keeping,
    pub(super) grants: Grants,
    pub(super) pending: VecDeque<Pending>,
    pub(super) announcements: Option<Announcements>,
    pub(super) log: Log,
    pub(super) unit: Unit,
    pub(super) inquiries: Inquiries,
    pub(super) counts: Counts,
    pub(super) begun: Instant,
    /// How many descriptors there are for all who come.
    pub(super) descriptors: usize,
    /// The sysfs of other network namespaces.
    pub(super) views: Vec<View>,
    pub(super) looked_for_views: Instant,
    /// Where to look for those who were quicker than the marks.
    pub(super) looks: Looks,
    /// Numbers that those are answered by whom the guard before took in, and what keeps each from being given out again;
    /// nothing where it is that of another descriptor.
    pub(super) taken_numbers: BTreeMap<i32, Option<OwnedFd>>,
}

impl Guard<'_> {
    pub(super) fn sysfs(&self) -> &Sysfs {
        &self.context.machine.sysfs
    }

    /// Says something to whoever reads the guard's talk, but never waits for him.
    pub(super) fn say(&self, line: &str) {
        self.context.output.say_without_waiting(line);
    }

    /// Tells the keeper something. One that has ended is replaced, and told all.
    pub(super) fn tell(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) {
        if !self.keeping.tell(message, descriptors) {
            self.keep_again();
        }
    }

    /// Starts another keeper. If that fails, what is held ends with the guard, until it succeeds.
    pub(super) fn keep_again(&mut self) {
        if let Err(error) = self.keeping.again() {
            let why = crate::error::plain(&error);
            self.say(&format!("what must outlive the guard is not kept: {why}"));
            return;
        }
        let mut told = self.keeping.tell(&Message::Group, &[self.marks.as_fd()]);
        let own = &self.context.machine.sysfs;
        if !own.is_dump() {
            told &= self.keeping.tell(&Message::Sysfs(None), &[own.top().as_fd()]);
        }
        for view in &self.views {
            told &= self.keeping.tell(&Message::Sysfs(Some(view.id.clone())), &[view.sysfs.top().as_fd()]);
        }
        for pending in &self.pending {
            told &= self.keeping.tell(&Message::Waiting(pending.waiting.clone()), &[]);
        }
        for grant in self.grants.iter() {
            told &= self.keeping.tell(&Message::Granted(grant.granted.clone()), &grant.locks.descriptors());
        }
        if !told {
            self.say("what must outlive the guard is not kept: its keeper ends as soon as it is started");
        }
    }

    /// Closes what the kernel opened for somebody who was answered, or is gone.
    pub(super) fn close(&mut self, number: i32) {
        if self.taken_numbers.remove(&number).is_none() {
            let _ = nix::unistd::close(number);
        }
    }

    /// Lets somebody go on for whom nothing needs to be held.
    pub(super) fn pass(&mut self, number: i32) {
        self.marks.answer(number, Answer::Allow);
        self.close(number);
    }

    /// Lets somebody go on, and holds the locks until he is done.
    pub(super) fn grant(&mut self, waiting: Waiting, needs: &Needs, locks: Locks, waited: Duration) {
        let Waiting { number, opener, file } = waiting;
        let id = self.grants.next_id();
        let tops = needs.claims.tops().to_vec();
        let granted = Granted { id, number: Some(number), opener, file, tops };
        self.counts.let_go_on += 1;
        self.counts.had_to_wait += u64::from(!waited.is_zero());
        self.tell(&Message::Granted(granted.clone()), &locks.descriptors());
        let path = format!("/proc/self/fd/{number}");
        let path = if self
            .procfs
            .link(&path[6..])
            .is_ok_and(|link| link.is_some_and(|link| link.ends_with(&granted.file.path)))
        {
            path
        } else {
            self.sysfs().display(&granted.file.path)
        };
        self.grants.add(&self.procfs, granted, Rc::new(locks), waited, Some(&path));
        if !self.marks.answer(number, Answer::Allow) {
            // He was killed a moment ago.
            if let Some(grant) = self.grants.withdraw(id) {
                self.note(&Record::new(Fate::GaveUp, (&grant.granted.opener, &grant.granted.file), waited, None, None));
            }
            self.tell(&Message::Released(id), &[]);
        }
        self.close(number);
    }

    /// Lets somebody go on although others are in the way.
    pub(super) fn let_go_on_unheld(&mut self, waiting: &Waiting, why: String) {
        self.pass(waiting.number);
        let record = Record::new(Fate::Reported, (&waiting.opener, &waiting.file), Duration::ZERO, None, Some(why));
        self.note(&record);
    }

    /// Denies somebody.
    pub(super) fn deny(&mut self, waiting: &Waiting, waited: Duration, why: String) {
        self.marks.answer(waiting.number, Answer::Deny);
        self.counts.denied += 1;
        self.close(waiting.number);
        let why = format!("{why} ({} to it)", self.marks.denial());
        self.note(&Record::new(Fate::Denied, (&waiting.opener, &waiting.file), waited, None, Some(why)));
    }

    /// Lets go of what was held for somebody who is done. What he brought is marked before.
    pub(super) fn release(&mut self, grant: Grant) {
        self.mark_announced();
        let Grant { granted, locks, waited, begun, .. } = grant;
        if granted.file.kind.brings_devices() {
            // Whoever was quicker than the marks is inside, under no lock but this one.
            self.adopt_unmarked((&locks, &granted.tops));
        }
        drop(locks);
        self.tell(&Message::Released(granted.id), &[]);
        let fate = if granted.number.is_some() { Fate::Done } else { Fate::WasInside };
        self.note(&Record::new(fate, (&granted.opener, &granted.file), waited, Some(begun.elapsed()), None));
    }

    pub(super) fn note(&mut self, record: &Record) {
        self.log.add(record);
        self.say(&record.in_words());
    }

    /// What it does now.
    pub(super) fn report(&self) -> GuardReport {
        let writer = |opener: &Opener, file: &MarkedFile, since: Instant, holds: &[Place]| WriterAtFile {
            pid: opener.pid,
            comm: opener.comm.clone(),
            file: file.path.clone(),
            seconds: (since.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            holds: holds.to_vec(),
        };
        let waiting = self.pending.iter().take(MOST_TOLD);
        let inside = self.grants.iter().take(MOST_TOLD);
        GuardReport {
            pid: std::process::id(),
            seconds: self.begun.elapsed().as_secs(),
            files: self.marks.count,
            let_go_on: self.counts.let_go_on,
            had_to_wait: self.counts.had_to_wait,
            denied: self.counts.denied,
            waiting_count: self.pending.len(),
            waiting: waiting.map(|one| writer(&one.waiting.opener, &one.waiting.file, one.begun, &[])).collect(),
            inside: inside
                .map(|Grant { granted, begun, .. }| writer(&granted.opener, &granted.file, *begun, &granted.tops))
                .collect(),
        }
    }

    /// Marks the files of what the kernel has announced.
    pub(super) fn mark_announced(&mut self) {
        let Some(announcements) = &self.announcements else { return };
        let mut new = Vec::new();
        let is_complete = announcements.take_in(&mut |announced| {
            if announced.may_bring_files() {
                new.push(announced.path);
            }
        });
        for sysfs in std::iter::once(&self.context.machine.sysfs).chain(self.views.iter().map(|view| &view.sysfs)) {
            let marked = if is_complete {
                new.iter().try_for_each(|directory| self.marks.mark_new(sysfs, directory))
            } else {
                self.marks.mark_all(sysfs)
            };
            if let Err(error) = marked {
                self.say(&error.to_string());
            }
        }
        if !is_complete {
            self.looks.later(None);
        }
        let is_of_table = |directory: &String| !kinds::names_below(directory).is_empty();
        new.into_iter().filter(is_of_table).for_each(|directory| self.looks.later(Some(directory)));
    }

    /// Marks the files of network namespaces that have come, and forgets those that have gone.
    pub(super) fn look_for_views(&mut self) {
        if self.looked_for_views.elapsed() < PERIOD || self.context.machine.sysfs.is_dump() {
            return;
        }
        self.look_for_views_now();
    }

    pub(super) fn look_for_views_now(&mut self) {
        self.looked_for_views = Instant::now();
        let there = namespaces::others(&self.procfs);
        let is_there = |view: &View| view.is_alive() && there.iter().any(|namespace| namespace.id == view.id);
        let (views, gone): (Vec<View>, Vec<View>) = std::mem::take(&mut self.views).into_iter().partition(is_there);
        self.views = views;
        gone.into_iter().for_each(|view| self.tell(&Message::NoSysfs(view.id), &[]));
        for namespace in there {
            if self.views.iter().any(|view| view.id == namespace.id) {
                continue;
            }
            // One that cannot be entered yet is tried again; most have gone.
            let Ok(view) = namespaces::open(&namespace) else { continue };
            self.tell(&Message::Sysfs(Some(view.id.clone())), &[view.sysfs.top().as_fd()]);
            if let Err(error) = self.marks.mark_all(&view.sysfs) {
                self.say(&format!("in the network namespace of {}: {error}", namespace.of));
            }
            self.views.push(view);
        }
    }
}
