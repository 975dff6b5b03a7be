//! Waits until what a rescan brought is ready to be used: told by events, judged by what sysfs shows, never by time alone.
//!
//! A scan returns when the kernel knows the functions. Drivers may still be at work then: modules are loaded by udev,
//! some drivers probe beside the scan, an NVMe controller looks for its namespaces, an interface gets its name. What is
//! known of a function from before its removal says what to wait for; without that, its class does.
//!
//! Not promised: that a driver which has not bound in time never will.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::host::uevent::{Events, UeventLog};
use crate::pci::address::PciAddress;

/// How often to look when nothing is heard: not all that matters is announced.
const TICK: Duration = Duration::from_millis(100);

/// How often to look once a wait has lasted for [`LONG`]: nobody notices a second then, and somebody pays for each look.
const SLOW_TICK: Duration = Duration::from_secs(1);

const LONG: Duration = Duration::from_secs(30);

/// Something that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The function it is missing of; none for an expectation.
    pub(crate) address: Option<PciAddress>,
    /// What is missing, in a few words.
    pub(crate) what: String,
}

impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Told while something is still missing.
pub(crate) trait WatchSettle {
    /// Called after every look that found something missing.
    fn missing(&mut self, pending: &[Pending], waited: Duration, longest: Duration);
    /// Called when the wait is over, however it ended.
    fn done(&mut self) {}
}

/// Looks, and looks again whenever something happened, until nothing is missing, the time is up, or a signal asks
/// to stop; gives what is missing then. `look` is called at least once, and after the last event that was heard.
///
/// # Errors
/// Those of `look`.
pub(crate) fn settle(
    events: &mut Events,
    longest: Duration,
    watch: &mut dyn WatchSettle,
    mut look: impl FnMut(&UeventLog) -> Result<Vec<Pending>>,
) -> Result<Vec<Pending>> {
    let begun = Instant::now();
    loop {
        let pending = look(events.heard());
        let waited = begun.elapsed();
        let pending = match pending {
            Ok(pending) if !pending.is_empty() && waited < longest && !events.heard().interrupted() => pending,
            over => {
                watch.done();
                return over;
            }
        };
        watch.missing(&pending, waited, longest);
        let tick = if waited < LONG { TICK } else { SLOW_TICK };
        events.wait(tick.min(longest - waited));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::uevent::Events;

    /// Notes how often it was told, and whether of the end.
    #[derive(Default)]
    struct Told {
        missing: usize,
        done: bool,
    }

    impl WatchSettle for Told {
        fn missing(&mut self, _lacks: &[Pending], _waited: Duration, _longest: Duration) {
            self.missing += 1;
        }

        fn done(&mut self) {
            self.done = true;
        }
    }

    fn lack() -> Vec<Pending> {
        vec![Pending { address: None, what: "driver".into() }]
    }

    #[test]
    fn what_is_ready_is_looked_at_once_and_never_waited_for() {
        let (mut told, mut looks) = (Told::default(), 0);
        let longest = Duration::from_secs(3600);
        let pending = settle(&mut Events::listen(), longest, &mut told, |_| {
            looks += 1;
            Ok(Vec::new())
        });
        assert!(pending.unwrap().is_empty() && looks == 1 && told.missing == 0 && told.done);
    }

    #[test]
    fn what_becomes_ready_is_looked_at_until_then() {
        let (mut told, mut looks) = (Told::default(), 0);
        let pending = settle(&mut Events::listen(), Duration::from_secs(3600), &mut told, |_| {
            looks += 1;
            Ok(if looks < 3 { lack() } else { Vec::new() })
        });
        assert!(pending.unwrap().is_empty() && told.missing == 2 && told.done);
    }

    #[test]
    fn what_is_still_missing_when_the_time_is_up_is_given_back() {
        let mut told = Told::default();
        let pending = settle(&mut Events::listen(), Duration::ZERO, &mut told, |_| Ok(lack()));
        assert!(pending.unwrap() == lack() && told.missing == 0 && told.done);
    }
}
