//! What is said while something is waited for that comes by itself.

use std::time::Duration;

use crate::terminal::event::{Event, Reminder};
use crate::terminal::live::Activity;
use crate::terminal::output::Output;
use crate::verify::settle::{Pending, WatchSettle};

/// Says what is still missing.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    /// Those who follow events hear of what is missing when it is something else, and from time to time.
    reminder: Reminder,
    last: Vec<Pending>,
}

impl<'a> Progress<'a> {
    /// On this terminal.
    pub(crate) fn on(output: &'a Output) -> Self {
        Self { output, reminder: Reminder::default(), last: Vec::new() }
    }
}

impl WatchSettle for Progress<'_> {
    fn missing(&mut self, pending: &[Pending], waited: Duration, longest: Duration) {
        let limit = (longest != Duration::MAX).then_some(longest);
        let more = if pending.len() > 1 { format!(" and {} more", pending.len() - 1) } else { String::new() };
        let first = pending.first().map(ToString::to_string).unwrap_or_default();
        self.output.goes_on(Activity::Devices, format!("waiting for {first}{more}"), waited, limit);
        if self.last != pending || self.reminder.is_due(waited) {
            self.last = pending.to_vec();
            self.output.event(&Event::WaitingForDevices {
                missing: pending.iter().map(ToString::to_string).collect(),
                waited_seconds: waited.as_secs_f64(),
                limit_seconds: limit.map(|limit| limit.as_secs_f64()),
            });
        }
    }

    fn done(&mut self) {
        self.output.is_over(Activity::Devices);
    }
}
