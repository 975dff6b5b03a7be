//! Who may go on, who waits, and who is denied.
//!
//! Readers go on at once, and so do those who carry the locks already. If nobody is in the way the guard takes the locks
//! itself; else somebody stands in line for him, as every command would. Whoever would wait for himself is denied at once.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::guard::grants::Locks;
use crate::guard::kinds::{Kind, MarkedFile};
use crate::guard::link::{Message, Waiting, Wanted};
use crate::guard::marks::{Answer, Waits};
use crate::guard::needs::{Needs, needs_of, node_by_name};
use crate::guard::opener::Opener;
use crate::guard::record::{Fate, Record};
use crate::guard::state::{Guard, Pending};
use crate::guard::waiter::{Outcome, Waiter};
use crate::lock::carried::{Carried, carried_by, is_covered_by};
use crate::lock::holders::describe_holders;
use crate::pci::place::Place;

/// So many stand in line at a time; the others wait until one of them is through.
const MOST_IN_LINE: usize = 64;

/// So many wait at most; more stay in the kernel's own queue.
const MOST_WAITING: usize = 1024;

/// What somebody who waits takes of the guard's descriptors: his number, his process, the line to who stands in line for him.
const EACH_WAITS: usize = 3;

/// What somebody takes once he is let go on: locks of the nodes from the root to the deepest device, and his process.
const EACH_IS_INSIDE: usize = 24;

/// What somebody who carries locks may do.
enum Carrier {
    /// He has what it takes.
    Has,
    /// He would wait for himself.
    Blocks(Place),
    /// He has nothing to do with it.
    Unrelated,
}

impl Guard<'_> {
    /// How many more can be taken in. Who is taken in without a descriptor for his event is denied by the kernel
    /// (copy_event_to_user in fs/notify/fanotify/fanotify_user.c), so the others stay in its queue until there are some.
    pub(super) fn room(&self) -> usize {
        let inside: usize = self.grants.iter().map(|grant| 1 + grant.locks.descriptors().len()).sum();
        let used = self.pending.len() * EACH_WAITS + inside + self.views.len();
        let left = self.descriptors.saturating_sub(used);
        (left / (EACH_WAITS + EACH_IS_INSIDE)).min(MOST_WAITING.saturating_sub(self.pending.len()))
    }

    /// Who has come to open a file.
    pub(super) fn newcomers(&mut self) -> Vec<Waiting> {
        let room = self.room();
        if room == 0 {
            return Vec::new();
        }
        let taken = self.marks.take_in(room).unwrap_or_else(|error| {
            let why = crate::error::plain(&error);
            self.say(&format!("who opens files cannot be read: {why}"));
            Vec::new()
        });
        let taken: Vec<Waiting> = taken.into_iter().map(|waits| self.arrival(waits)).collect();
        let (at_once, taken): (Vec<_>, Vec<_>) = taken.into_iter().partition(|waiting| self.may_pass(waiting));
        at_once.into_iter().for_each(|waiting| self.pass(waiting.number));
        if !taken.is_empty() {
            // Should this guard be killed before it has decided about them, the next one does.
            self.tell(&Message::Taken(taken.clone()), &[]);
        }
        taken
    }

    /// Who has come, and to which file. A name that says nothing, as in a mount of a part of sysfs, may be any.
    fn arrival(&self, Waits { number, tid }: Waits) -> Waiting {
        let target = self.procfs.link(&format!("self/fd/{number}")).ok().flatten().unwrap_or_default();
        let file = MarkedFile::of_link(&target).unwrap_or(MarkedFile { kind: Kind::RescanAll, path: target });
        Waiting { number, opener: Opener::of(&self.procfs, tid), file }
    }

    /// Whether somebody need not wait for anything: he only reads, or carries the lock. Helpers of pcictl come this way.
    fn may_pass(&self, Waiting { opener, file, .. }: &Waiting) -> bool {
        if opener.pid == std::process::id() || file.kind.is_also_read() && opener.only_reads(&self.procfs) {
            return true;
        }
        // What else it may take is told by a look at the devices around.
        let node = node_by_name(self.sysfs(), file);
        node.is_some_and(|node| is_covered_by(&self.directory, opener.pid, &node))
    }

    /// Decides about somebody who has come and may have to wait.
    pub(super) fn admit(&mut self, Waiting { number, opener, file }: Waiting) {
        let begun = Instant::now();
        let Some(needs) = self.needs_or_everything(&file) else {
            // What it is about is gone, and open(2) will say so.
            return self.pass(number);
        };
        let waiting = Waiting { number, opener: opener.in_full(&self.procfs), file };
        let is_more = needs.stops || self.options.conditions.concern(waiting.file.kind);
        if (!is_more || self.options.report_only) && !self.is_awaited(&needs) {
            if let Some(locks) = self.take_at_once(&waiting.file, &needs) {
                return self.grant(waiting, &needs, locks, Duration::ZERO);
            }
        }
        match self.carrier(&waiting.opener, &needs) {
            Carrier::Has => self.pass(number),
            Carrier::Blocks(place) => {
                let why =
                    format!("it would wait for itself: it runs under a lock of {place}, which does not cover that");
                if self.options.report_only {
                    self.let_go_on_unheld(&waiting, format!("it would have been denied: {why}"));
                } else {
                    self.deny(&waiting, begun.elapsed(), why);
                }
            }
            Carrier::Unrelated if self.options.report_only => {
                let holders =
                    self.directory.holders_covering(&needs.claims.tops().first().cloned().unwrap_or_default());
                let by = describe_holders(&holders.unwrap_or_default());
                self.let_go_on_unheld(&waiting, format!("it would have waited for {by}"));
            }
            Carrier::Unrelated => self.keep_waiting(waiting, needs, begun),
        }
    }

    fn needs(&self, file: &MarkedFile) -> Result<Option<Needs>> {
        needs_of(self.sysfs(), file, self.options.conditions.stop_first)
    }

    /// The same, and everything where that cannot be told.
    pub(super) fn needs_or_everything(&self, file: &MarkedFile) -> Option<Needs> {
        self.needs(file).unwrap_or_else(|_| Some(Needs::everything()))
    }

    /// Whether somebody waits already who wants some of the same.
    fn is_awaited(&self, needs: &Needs) -> bool {
        self.pending.iter().any(|pending| pending.needs.overlap(needs))
    }

    /// The locks, if nobody is in the way and the device tree is still the same.
    fn take_at_once(&self, file: &MarkedFile, needs: &Needs) -> Option<Locks> {
        // Trouble with the lock files is told by whoever stands in line.
        let held = self.directory.try_acquire(&needs.claims).ok().flatten()?;
        let again = self.needs(file).ok().flatten();
        (again.as_ref() == Some(needs)).then_some(Locks::Own(held))
    }

    /// He himself, or somebody who started him and waits for him, may carry locks.
    fn carrier(&self, opener: &Opener, needs: &Needs) -> Carrier {
        let own = std::process::id();
        let all = std::iter::once(opener.pid).chain(self.procfs.ancestors(opener.pid));
        let mut blocks = None;
        for pid in all.take_while(|pid| *pid > 1).filter(|pid| *pid != own) {
            let carried: Vec<Carried> = carried_by(&self.directory, pid).unwrap_or_default();
            if needs.are_met_by(&carried) {
                return Carrier::Has;
            }
            blocks = blocks.or_else(|| needs.conflict_with(&carried).then(|| deepest(carried)).flatten());
        }
        blocks.map_or(Carrier::Unrelated, Carrier::Blocks)
    }

    pub(super) fn keep_waiting(&mut self, waiting: Waiting, needs: Needs, begun: Instant) {
        self.tell(&Message::Waiting(waiting.clone()), &[]);
        let process = waiting.opener.watch_process();
        self.pending.push_back(Pending { waiting, needs, begun, process, waiter: None });
        self.fill_line();
    }

    /// Has somebody stand in line for each whose turn it is.
    pub(super) fn fill_line(&mut self) {
        let (machine, wait) = (&self.context.machine, self.options.wait);
        for pending in self.pending.iter_mut().take(MOST_IN_LINE).filter(|pending| pending.waiter.is_none()) {
            let left = wait.saturating_sub(pending.begun.elapsed());
            let wanted = Wanted {
                run: machine.run.display().to_string(),
                is_of_host: !machine.sysfs.is_dump(),
                tops: pending.needs.claims.tops().to_vec(),
                milliseconds: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                file: pending.waiting.file.clone(),
                stops: pending.needs.stops,
                conditions: self.options.conditions.clone(),
            };
            let title = format!("for {}: /sys/{}", pending.waiting.opener.name(), pending.waiting.file.path);
            // Where none can be started now, it is tried again.
            pending.waiter = Waiter::start(&title, wanted).ok();
        }
    }

    /// Looks what has become of those who wait. `gone` are those whose process has ended.
    pub(super) fn look_at_line(&mut self, gone: &[i32]) {
        let mut at = 0;
        while at < self.pending.len() {
            let pending = &mut self.pending[at];
            let is_gone = gone.contains(&pending.waiting.number);
            let outcome = pending.waiter.as_mut().and_then(Waiter::outcome);
            let is_late = pending.waiter.is_none() && pending.begun.elapsed() > self.options.wait;
            if !is_gone && outcome.is_none() && !is_late {
                at += 1;
                continue;
            }
            let Some(pending) = self.pending.remove(at) else { return };
            if is_gone {
                self.forget(&pending);
            } else {
                self.settle(pending, outcome, at);
            }
        }
        self.fill_line();
    }

    fn forget(&mut self, pending: &Pending) {
        let Waiting { number, opener, file } = &pending.waiting;
        // The kernel keeps who was killed in its list until he is answered (FAN_EVENT_CANCELED in fs/notify/fanotify/fanotify.c):
        // whoever had his number next would wait for ever.
        self.marks.answer(*number, Answer::Deny);
        self.close(*number);
        self.tell(&Message::Answered(*number), &[]);
        self.note(&Record::new(Fate::GaveUp, (opener, file), pending.begun.elapsed(), None, None));
    }

    fn settle(&mut self, mut pending: Pending, outcome: Option<Outcome>, at: usize) {
        let waited = pending.begun.elapsed();
        let number = pending.waiting.number;
        match outcome {
            Some(Outcome::Locked(locks)) => {
                pending.waiter = None;
                match self.needs(&pending.waiting.file) {
                    Ok(None) => self.pass(number),
                    Ok(Some(needs)) if needs == pending.needs => {
                        self.grant(pending.waiting, &needs, Locks::Given(locks), waited);
                    }
                    // The tree has changed: in line again, at the same place.
                    again => {
                        drop(locks);
                        pending.needs = again.ok().flatten().unwrap_or_else(Needs::everything);
                        self.pending.insert(at.min(self.pending.len()), pending);
                        return;
                    }
                }
            }
            Some(Outcome::Refused(why)) => self.deny(&pending.waiting, waited, why),
            None => self.deny(&pending.waiting, waited, "too many wait".to_owned()),
        }
        self.tell(&Message::Answered(number), &[]);
    }
}

fn deepest(carried: Vec<Carried>) -> Option<Place> {
    carried.into_iter().map(|(place, _)| place).max()
}
