//! Those who are inside a file and were let go on by nobody: they were there before the guard, or quicker than the marks of what
//! is new. Nobody who would meet them in the kernel may be let go on until they are done.

use std::rc::Rc;
use std::time::Duration;

use crate::guard::grants::Locks;
use crate::guard::inside::{self, Insider};
use crate::guard::link::{Granted, Message};
use crate::guard::looks::Looks;
use crate::guard::needs::{Needs, needs_of};
use crate::guard::state::Guard;
use crate::lock::carried::{carried_by, copies_of};
use crate::lock::claims::{Claims, Mode};
use crate::lock::holders::Holder;
use crate::lock::proc_locks::Role;
use crate::pci::place::Place;

/// Locks, and which nodes they are of.
type Shared<'a> = (&'a Rc<Locks>, &'a [Place]);

impl Guard<'_> {
    /// Looks for those who were quicker than the marks, if it is time.
    pub(super) fn adopt_when_due(&mut self) {
        let due = self.looks.take_due();
        if !due.is_empty() {
            self.adopt_each(&due, None);
        }
    }

    /// The same before locks are let go of under which there came what is new.
    pub(super) fn adopt_unmarked(&mut self, held: Shared<'_>) {
        let looks = std::mem::take(&mut self.looks);
        if !looks.is_empty() {
            self.adopt_each(&looks, Some(held));
        }
        self.looks = looks;
    }

    /// Holds locks for all who are inside anything.
    pub(super) fn adopt_all(&mut self) {
        self.adopt_each(&Looks::everywhere(), None);
        self.looks.later(None);
    }

    fn adopt_each(&mut self, looks: &Looks, held: Option<Shared<'_>>) {
        let insiders = match inside::all(&self.procfs, self.sysfs()) {
            Ok(insiders) => insiders,
            Err(error) => {
                let why = crate::error::plain(&error);
                return self.say(&format!("who is inside a file already cannot be told: {why}"));
            }
        };
        for insider in insiders {
            if looks.concern(insider.file.directory()) && !self.is_known(&insider) {
                self.adopt(insider, held);
            }
        }
    }

    fn is_known(&self, insider: &Insider) -> bool {
        let is_he = |granted: &Granted| granted.opener.pid == insider.opener.pid && granted.file == insider.file;
        self.grants.iter().any(|grant| is_he(&grant.granted))
    }

    /// Holds locks for one of them: his own, or else those of whoever keeps others out of there now, so that nobody who waits for
    /// these comes between. Where there are none it is too late to do anything about it but tell.
    fn adopt(&mut self, insider: Insider, held: Option<Shared<'_>>) {
        let Some(needs) = needs_of(self.sysfs(), &insider.file, false).ok().flatten() else { return };
        let carried = carried_by(&self.directory, insider.opener.pid).unwrap_or_default();
        if !carried.is_empty() && needs.are_met_by(&carried) {
            return;
        }
        let words = format!("{} has /sys/{} open", insider.opener.name(), insider.file.path);
        let node = needs.node.clone().unwrap_or_else(Place::root);
        let covers = |tops: &[Place]| tops.iter().any(|top| node.is_at_or_below(top));
        let shared = held.filter(|(_, tops)| covers(tops)).map(|(locks, tops)| (Rc::clone(locks), tops.to_vec()));
        let found = shared
            .or_else(|| self.take(&needs.claims))
            .or_else(|| {
                let mut grants = self.grants.iter().filter(|grant| covers(&grant.granted.tops));
                grants.next().map(|grant| (Rc::clone(&grant.locks), grant.granted.tops.clone()))
            })
            // Nobody removes what the file lies at, or above it, then.
            .or_else(|| needs.node.iter().find_map(|node| self.take(&Claims::changing(vec![node.clone()]))))
            .or_else(|| self.copies_of_holders(&needs));
        match found {
            Some((locks, tops)) => {
                self.say(&format!("{words}: locks are held until it is done"));
                self.hold_for(insider, locks, tops);
            }
            None => self.say(&format!("{words}, and others are at work there")),
        }
    }

    /// The locks, if they are free.
    fn take(&self, claims: &Claims) -> Option<(Rc<Locks>, Vec<Place>)> {
        let held = self.directory.try_acquire(claims).ok().flatten()?;
        Some((Rc::new(Locks::Own(held)), claims.tops().to_vec()))
    }

    /// Copies of what a command carries that keeps others out of there.
    fn copies_of_holders(&self, needs: &Needs) -> Option<(Rc<Locks>, Vec<Place>)> {
        let node = needs.node.as_ref()?;
        let holders = self.directory.holders_covering(node).ok()?;
        let keeps_out = |holder: &&Holder| holder.role == Role::Holds && holder.mode == Mode::Exclusive;
        for holder in holders.iter().filter(keeps_out) {
            let (carried, copies): (Vec<_>, Vec<_>) =
                copies_of(&self.directory, holder.process.pid).unwrap_or_default().into_iter().unzip();
            let tops = carried.into_iter().filter(|(_, mode)| *mode == Mode::Exclusive).map(|(place, _)| place);
            let tops: Vec<Place> = tops.collect();
            if tops.iter().any(|top| node.is_at_or_below(top)) {
                return Some((Rc::new(Locks::Given(copies)), tops));
            }
        }
        None
    }

    fn hold_for(&mut self, insider: Insider, locks: Rc<Locks>, tops: Vec<Place>) {
        let Insider { opener, file, descriptor } = insider;
        let granted = Granted { id: self.grants.next_id(), number: None, opener, file, tops };
        let path = format!("/proc/{}/fd/{descriptor}", granted.opener.pid);
        self.tell(&Message::Granted(granted.clone()), &locks.descriptors());
        self.grants.add(&self.procfs, granted, locks, Duration::ZERO, Some(&path));
    }
}
