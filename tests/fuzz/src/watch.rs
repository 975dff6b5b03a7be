//! Ends a process that has worked on one case for too long.
//!
//! What is counted is the time that this process computes, so that a slow machine finds nothing; a wait for nothing is seen by
//! a clock, long after any wait of pcictl should have ended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A case of at most 10 MiB is computed in less, without any optimization.
const COMPUTED: Duration = Duration::from_secs(60);

/// No command waits for so long without being told to.
const WAITED: Duration = Duration::from_secs(300);

/// When the current case began, by both clocks, in milliseconds; 0 between cases.
static BEGAN: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

fn now() -> [u64; 2] {
    [ClockId::CLOCK_PROCESS_CPUTIME_ID, ClockId::CLOCK_MONOTONIC]
        .map(|clock| clock_gettime(clock).map_or(1, |time| Duration::from(time).as_millis() as u64 + 1))
}

/// A case, until it is dropped.
#[must_use]
pub struct Busy(());

/// A case begins.
pub fn begin() -> Busy {
    for (began, now) in BEGAN.iter().zip(now()) {
        began.store(now, Relaxed);
    }
    Busy(())
}

impl Drop for Busy {
    fn drop(&mut self) {
        BEGAN.iter().for_each(|began| began.store(0, Relaxed));
    }
}

/// Begins to watch. `hang` is told why, and ends the process.
pub fn start(hang: fn(&str) -> !) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let since = |at: usize| match BEGAN[at].load(Relaxed) {
                0 => Duration::ZERO,
                began => Duration::from_millis(now()[at].saturating_sub(began)),
            };
            if since(0) > COMPUTED {
                hang("it computes without end");
            }
            if since(1) > WAITED {
                hang("it waits without end");
            }
        }
    });
}
