//! The lock protocol: flock(2) on one file a node, so that operations that could meet in the kernel meet here first.
//!
//! Every node has two files below `locks/` of the run directory: `NODE.lock`, held shared or exclusively while the work
//! goes on, and `NODE.gate`, a turnstile that everybody passes one by one on the way to the lock. Whoever waits for the
//! lock waits inside the gate, so an exclusive claim is not overtaken by shared ones that came later.
//!
//! Not promised: the locks are advisory (a raw `echo` does not take part), and they hold on one machine only. Whatever
//! is odd about the files ends in an error; nothing ever goes on unlocked. The files are never unlinked.

mod files;
mod flock;
mod holders;

use std::fs::File;
use std::time::{Duration, Instant};

use crate::claims::{Claim, Claims, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::place::Place;

pub use files::LockDirectory;
pub use holders::{Holder, Role, in_words};

/// How long a passer-by may be in a gate before it counts as waiting there. Only `--no-wait` needs to know.
const PASSING: Duration = Duration::from_millis(100);

/// How often whoever watches a wait is told of it.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait for the whole set of locks.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until this moment, however many locks there are.
    Until(Instant),
}

/// Locks that are held; dropping it releases them, and so does the end of the process and of all that inherited them.
#[derive(Debug)]
pub struct Held {
    claims: Claims,
    /// Taken ancestors first; let go the other way round.
    files: Vec<File>,
}

/// Told while a lock is waited for: whom for, for how long already, and for how long still.
pub trait WatchWait {
    /// Called when a wait begins, and then about twice a second.
    fn waiting(&mut self, claim: &Claim, holders: &[Holder], waited: Duration, left: Duration);
    /// Called when a wait that was reported has ended well.
    fn done_waiting(&mut self) {}
}

impl Held {
    /// What is held.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while let Some(file) = self.files.pop() {
            drop(file);
        }
    }
}

impl LockDirectory {
    /// Takes all claims in their order, or none of them.
    ///
    /// # Errors
    /// Somebody else holds one for too long, or the lock files cannot be trusted.
    pub fn acquire(&self, claims: &Claims, patience: Patience, watch: &mut dyn WatchWait) -> Result<Held> {
        let mut held = Held { claims: claims.clone(), files: Vec::with_capacity(claims.in_order().len()) };
        for claim in claims.in_order() {
            held.files.push(self.take(claim, patience, watch)?);
        }
        Ok(held)
    }

    /// Takes one lock, through its gate.
    fn take(&self, claim: &Claim, patience: Patience, watch: &mut dyn WatchWait) -> Result<File> {
        let mut wait = Wait { directory: self, claim, patience, watch, begun: Instant::now(), told: false };
        loop {
            let gate = wait.lock(self.gate(&claim.place)?, Mode::Exclusive, Stage::Gate)?;
            let file = wait.lock(self.lock(&claim.place)?, claim.mode, Stage::Lock)?;
            drop(gate);
            // Somebody who wiped the run directory has made this lock worthless: others will open a new file.
            if files::is_linked(&file).map_err(|e| self.trouble(&claim.place, &e))? {
                wait.finish();
                return Ok(file);
            }
            files::check_still_there(self)?;
        }
    }

    /// Who holds or waits for a node now, as the kernel tells it.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn holders(&self, place: &Place) -> Result<Vec<Holder>> {
        holders::of_node(self, place)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Gate,
    Lock,
}

/// One claim's way through gate and lock.
struct Wait<'a> {
    directory: &'a LockDirectory,
    claim: &'a Claim,
    patience: Patience,
    watch: &'a mut dyn WatchWait,
    begun: Instant,
    told: bool,
}

impl Wait<'_> {
    fn lock(&mut self, file: File, mode: Mode, stage: Stage) -> Result<File> {
        let trouble = |e: &std::io::Error| self.directory.trouble(&self.claim.place, e);
        if flock::try_lock(&file, mode).map_err(|e| trouble(&e))? {
            return Ok(file);
        }
        let deadline = match (self.patience, stage) {
            (Patience::Until(deadline), _) => deadline,
            (Patience::None, Stage::Gate) => self.begun + PASSING,
            (Patience::None, Stage::Lock) => return Err(self.give_up()),
        };
        let pending = flock::lock_in_background(file, mode);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A wait that is over in a moment is not worth a word.
            let tick = if self.told { TICK } else { TICK / 5 };
            match pending.wait(tick.min(left)) {
                Some(result) => return result.map_err(|e| self.directory.trouble(&self.claim.place, &e)),
                None if left.is_zero() => return Err(self.give_up()),
                None => self.tell(left),
            }
        }
    }

    fn tell(&mut self, left: Duration) {
        self.told = true;
        let holders = self.holders();
        self.watch.waiting(self.claim, &holders, self.begun.elapsed(), left);
    }

    fn finish(&mut self) {
        if self.told {
            self.watch.done_waiting();
        }
    }

    fn holders(&self) -> Vec<Holder> {
        let mut holders = self.directory.holders(&self.claim.place).unwrap_or_default();
        holders.retain(|holder| holder.pid != std::process::id());
        holders
    }

    fn give_up(&mut self) -> Error {
        self.finish();
        let holders = self.holders();
        let (place, waited) = (&self.claim.place, self.begun.elapsed());
        let by = holders::in_words(&holders);
        let after = match self.patience {
            Patience::None => String::new(),
            Patience::Until(_) => format!(" after {:.1} s", waited.as_secs_f64()),
        };
        Error::new(
            ErrorKind::Locked,
            format!("{place}: still locked{after} by {by}; try again, or give --wait SECONDS"),
        )
        .fact("place", serde_json::json!(place))
        .fact("waited_seconds", waited.as_secs_f64())
        .fact("holders", serde_json::json!(holders))
    }
}

#[cfg(test)]
mod tests;
