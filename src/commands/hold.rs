//! Locks, and a second look: what was read before the locks were held may have changed while they were waited for.

use std::time::{Duration, Instant};

use super::Context;
use crate::claims::{Claim, Claims};
use crate::cli::Changing;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Held, Holder, LockDirectory, Patience, WatchWait};
use crate::output::Output;

/// What an operation is going to work on, as it was read at one moment.
pub trait Reading {
    /// What must be held to work on it.
    fn claims(&self) -> &Claims;
    /// Whether another reading found the same devices in the same places.
    fn is_same_as(&self, other: &Self) -> bool;
}

/// Reads, takes the locks, reads again; starts over until both readings agree. One deadline for all of it.
///
/// # Errors
/// The reading fails, a lock is held by someone else for too long, or the tree never stops changing.
pub fn hold<T: Reading>(
    context: &Context,
    changing: &Changing,
    mut read: impl FnMut() -> Result<T>,
) -> Result<(Held, T)> {
    let directory = LockDirectory::open(&context.run_directory())?;
    let deadline = Instant::now() + changing.wait;
    let no_wait = changing.no_wait || changing.wait.is_zero();
    let patience = if no_wait { Patience::None } else { Patience::Until(deadline) };
    let mut watch = Announce { output: context.output, told: Vec::new() };
    let mut first = read()?;
    loop {
        let held = directory.acquire(first.claims(), patience, &mut watch)?;
        let second = read()?;
        if second.is_same_as(&first) {
            return Ok((held, second));
        }
        drop(held);
        context.output.detail("the device tree changed while the locks were taken; planning anew");
        if Instant::now() >= deadline && !no_wait {
            let message = "the device tree keeps changing; nothing was done, try again when it has settled";
            return Err(Error::new(ErrorKind::Failed, message));
        }
        first = second;
    }
}

/// Says once for each lock whom it waits for.
struct Announce<'a> {
    output: &'a Output,
    told: Vec<Claim>,
}

impl WatchWait for Announce<'_> {
    fn waiting(&mut self, claim: &Claim, holders: &[Holder], _waited: Duration, left: Duration) {
        if self.told.contains(claim) {
            return;
        }
        self.told.push(claim.clone());
        let by = crate::lock::in_words(holders);
        self.output.say(&format!("{}: waiting up to {:.0} s for {by}", claim.place, left.as_secs_f64()));
    }
}
