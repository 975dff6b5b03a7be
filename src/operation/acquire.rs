//! Locks, and a second look: what was read before the locks were held may have changed while they were waited for.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use crate::lock::claims::{Claim, Claims};
use crate::lock::files::LockDirectory;
use crate::lock::holders::describe_holders;
use crate::operation::context::Context;
use crate::operation::options::ChangeOptions;
use crate::terminal::Output;

/// How often to plan anew for somebody who does not want to wait.
const MAX_REREADS: u32 = 10;

/// What an operation is going to work on, as it was read at one moment.
pub(crate) trait LockTarget {
    /// What must be held to work on it.
    fn claims(&self) -> &Claims;
    /// Whether another reading found the same devices in the same places.
    fn same_devices(&self, other: &Self) -> bool;
}

/// Reads, takes the locks, reads again; starts over until both readings agree. One deadline for all of it.
///
/// # Errors
/// The reading fails, a lock is held by someone else for too long, or the tree never stops changing.
pub(crate) fn acquire_and_reread<T: LockTarget>(
    context: &Context,
    options: &ChangeOptions,
    mut read: impl FnMut() -> Result<T>,
) -> Result<(Held, T)> {
    let directory = LockDirectory::open(&context.machine.run)?;
    let deadline = Instant::now() + options.wait;
    let no_wait = options.wait.is_zero();
    let limit = if no_wait { WaitLimit::NoWait } else { WaitLimit::Until(deadline) };
    let mut watch = Announce { output: context.output, told: Vec::new() };
    let mut first = read()?;
    let mut tries = 0;
    loop {
        let held = directory.acquire(first.claims(), limit, &mut watch)?;
        let second = read()?;
        if second.same_devices(&first) {
            return Ok((held, second));
        }
        drop(held);
        context.output.detail("the device tree changed while the locks were taken; planning anew");
        tries += 1;
        let enough = if no_wait { tries >= MAX_REREADS } else { Instant::now() >= deadline };
        if enough {
            let message = "the device tree keeps changing; nothing was done, try again when it has settled";
            return Err(Error::new(ErrorKind::Failed, message));
        }
        first = second;
    }
}

/// Tenths where they matter.
fn seconds_text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.5 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// Says whom a lock is waited for: a line that is kept up to date on a terminal, else a line at the start and the end.
struct Announce<'a> {
    output: &'a Output,
    told: Vec<Claim>,
}

impl WatchWait for Announce<'_> {
    fn waiting(&mut self, wait: &Waiting<'_>) {
        let place = &wait.claim.place;
        let left = seconds_text(wait.left);
        if self.output.can_move() {
            let waited = wait.waited.as_secs();
            let by = describe_holders(&wait.holders());
            self.output.progress(&format!("{place}: waiting for {waited} s, {left} left; locked by {by}"));
        } else if !self.told.contains(wait.claim) {
            self.told.push(wait.claim.clone());
            self.output
                .say(&format!("{place}: waiting for up to {left}; locked by {}", describe_holders(&wait.holders())));
        }
    }

    fn done_waiting(&mut self, claim: &Claim, waited: Duration, well: bool) {
        self.output.end_progress();
        // An error says for itself how it ended.
        if well {
            self.output.say(&format!("{}: got the lock after {:.1} s", claim.place, waited.as_secs_f64()));
        }
    }
}
