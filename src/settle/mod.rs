//! Waits until what a rescan brought is ready to be used: told by events, judged by what sysfs shows, never by time alone.
//!
//! A scan returns when the kernel knows the functions. Drivers may still be at work then: modules are loaded by udev,
//! some drivers probe beside the scan, an NVMe controller looks for its namespaces, an interface gets its name. What is
//! known of a function from before its removal says what to wait for; without that, its class does.
//!
//! Not promised: that a driver which has not bound in time never will.

mod expect;
mod modules;
mod ready;
mod uevent;

use std::time::{Duration, Instant};

use crate::address::PciAddress;
use crate::error::Result;

pub use expect::{Expectation, ExpectationError};
pub use modules::Modules;
pub use ready::{Awaited, Readiness};
pub use uevent::{Events, Heard};

/// How often to look when nothing is heard: not all that matters is announced.
const TICK: Duration = Duration::from_millis(100);

/// Something that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The function it is missing of; none for an expectation.
    pub address: Option<PciAddress>,
    /// What is missing, in a few words.
    pub what: String,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Told while something is still missing.
pub trait WatchSettle {
    /// Called after every look that found something missing.
    fn missing(&mut self, lacks: &[Lack], waited: Duration, longest: Duration);
    /// Called when the wait is over, however it ended.
    fn done(&mut self) {}
}

/// Looks, and looks again whenever something happened, until nothing is missing or the time is up; gives what is
/// missing then. `look` is called at least once, and after the last event that was heard.
///
/// # Errors
/// Those of `look`.
pub fn settle(
    events: &mut Events,
    longest: Duration,
    watch: &mut dyn WatchSettle,
    mut look: impl FnMut(&Heard) -> Result<Vec<Lack>>,
) -> Result<Vec<Lack>> {
    let begun = Instant::now();
    loop {
        let lacks = look(events.heard());
        let waited = begun.elapsed();
        let lacks = match lacks {
            Ok(lacks) if !lacks.is_empty() && waited < longest => lacks,
            over => {
                watch.done();
                return over;
            }
        };
        watch.missing(&lacks, waited, longest);
        events.wait(TICK.min(longest - waited));
    }
}
