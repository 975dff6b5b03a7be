//! What is said while something is waited for that comes by itself.

use std::time::Duration;

use crate::terminal::Output;
use crate::verify::settle::{Pending, WatchSettle};

/// Says on a terminal what is still missing.
pub(crate) struct Progress<'a> {
    pub(crate) output: &'a Output,
}

impl WatchSettle for Progress<'_> {
    fn missing(&mut self, pending: &[Pending], waited: Duration, longest: Duration) {
        // A wait that is over in a moment is not worth a word.
        if waited < Duration::from_millis(300) || !self.output.can_move() {
            return;
        }
        let more = if pending.len() > 1 { format!(" and {} more", pending.len() - 1) } else { String::new() };
        let first = pending.first().map(ToString::to_string).unwrap_or_default();
        let of = if longest == Duration::MAX { String::new() } else { format!(" of {:.0}", longest.as_secs_f64()) };
        let waited = waited.as_secs_f64();
        self.output.progress(&format!("waiting for {first}{more} ({waited:.0}{of} s)"));
    }

    fn done(&mut self) {
        self.output.end_progress();
    }
}
