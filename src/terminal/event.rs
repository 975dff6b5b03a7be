//! What is told of an operation while it happens, one JSON object a line (`--events`).

use std::time::Duration;

use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The locks are held, the plan is in the journal, and the first write is next.
    OperationBegun {
        /// The steps that are planned so far.
        steps: usize,
    },
    /// Somebody else has a lock that is needed.
    WaitingForLock {
        /// What was asked for.
        target: &'a str,
        /// Who has it, in words.
        holders: String,
        /// For how long already.
        waited_seconds: f64,
        /// For how long still.
        left_seconds: f64,
    },
    /// The lock that was waited for is held.
    LockTaken {
        /// What was asked for.
        target: &'a str,
        /// How long it took.
        waited_seconds: f64,
    },
    /// A write is about to be given to the kernel.
    StepBegun {
        /// Which one, counted from 1 as in the plan.
        step: usize,
        /// Whether it is undone.
        undo: bool,
        /// What it does, in words.
        text: &'a str,
    },
    /// A write is still in the kernel.
    StepRunning {
        /// Which one.
        step: usize,
        /// Whether it is undone.
        undo: bool,
        /// For how long.
        seconds: f64,
    },
    /// The kernel is done with a write.
    StepEnded {
        /// Which one.
        step: usize,
        /// Whether it is undone.
        undo: bool,
        /// How it ended.
        outcome: StepOutcome,
        /// The kernel's reason, where it failed.
        error: Option<&'a str>,
        /// How long it took.
        seconds: f64,
    },
    /// Devices, drivers, disks or interfaces are not there yet.
    WaitingForDevices {
        /// What is missing, in words.
        missing: Vec<String>,
        /// For how long already.
        waited_seconds: f64,
        /// For how long at most; `None` without a limit.
        limit_seconds: Option<f64>,
    },
    /// A signal asks to stop.
    Interrupted,
    /// The last line: what became of it.
    Report,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepOutcome {
    /// Done now.
    Done,
    /// It was so before.
    Already,
    /// The kernel refused.
    Failed,
}

/// When something that goes on is told of again: after 5, 10, 20, 40… seconds, so that a log has few lines of a long wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reminder {
    next: Duration,
}

impl Default for Reminder {
    fn default() -> Self {
        Self { next: Duration::from_secs(5) }
    }
}

impl Reminder {
    /// Whether it is time again.
    pub(crate) fn is_due(&mut self, elapsed: Duration) -> bool {
        let is_due = elapsed >= self.next;
        while elapsed >= self.next {
            self.next *= 2;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_has_few_lines() {
        let mut reminder = Reminder::default();
        let told: Vec<u64> = (0..200).filter(|seconds| reminder.is_due(Duration::from_secs(*seconds))).collect();
        assert_eq!(told, [5, 10, 20, 40, 80, 160]);
        assert!(Reminder::default().is_due(Duration::from_secs(100)));
    }
}
