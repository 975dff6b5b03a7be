//! How steps ended.

use std::time::Duration;

use nix::errno::Errno;
use serde::Serialize;

use crate::doctor::diagnosis::Stuck;
use crate::doctor::stack::Waits;
use crate::host::sysfs::Sysfs;
use crate::plan::action::{Action, Step};
use crate::plan::step_state::{Done, can_be_put_back};

/// A write that this process waits for no longer, and who does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetachedWrite {
    /// What was begun.
    pub(crate) action: Action,
    /// For how long this process waited.
    pub(crate) waited_seconds: f64,
    /// The time for it was over; otherwise somebody asked twice to have the terminal back.
    pub late: bool,
    /// The process that makes the writes.
    pub helper: u32,
    /// The thread of it that makes this one; none if that cannot be seen.
    pub(crate) thread: Option<u32>,
    /// The process that goes on with the operation when the write is done; none if none could be made.
    pub background: Option<u32>,
    /// The scope of systemd that they were moved to, so that they outlive the unit or session that started them.
    pub(crate) scope: Option<String>,
    /// How many writes were under way.
    pub(crate) running: usize,
    /// What the kernel was doing.
    pub(crate) kernel: KernelState,
}

/// What the kernel is doing for a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct KernelState {
    /// D waits and hears no signal, S waits and does, R runs; none if it has ended.
    pub(crate) state: Option<char>,
    /// The function it waits in.
    pub(crate) wchan: Option<String>,
    /// The functions it is in, the innermost first; empty if they cannot be seen.
    pub(crate) stack: Vec<String>,
    /// What that means.
    pub(crate) waits: Option<Waits>,
    /// What is stuck on this machine.
    pub(crate) stuck: Vec<Stuck>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Never begun, because another one failed or somebody interrupted.
    NotBegun,
    /// Begun, and not ended while this process watched.
    Unfinished,
    /// Went well.
    Done(Done, Duration),
    /// The kernel said no.
    Failed(Errno),
}

impl Outcome {
    /// Whether the kernel changed something for it.
    pub(crate) fn has_changed(self) -> bool {
        matches!(self, Self::Done(Done::Done, _))
    }
}

/// How all the steps of a phase ended, in the plan's order.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub(crate) each: Vec<Outcome>,
    /// Somebody wanted to stop before all was done.
    pub(crate) interrupted: bool,
    /// Another process waits for the rest.
    pub detached: Option<Box<DetachedWrite>>,
    /// The step that failed before the kernel was asked.
    pub(crate) not_begun: Option<usize>,
}

impl Outcomes {
    /// As if the steps of an earlier phase had gone well where this says so, for undoing them when a later one failed.
    pub(crate) fn done_where(each: impl Iterator<Item = bool>) -> Self {
        let done = Outcome::Done(Done::Done, Duration::ZERO);
        Self { each: each.map(|was| if was { done } else { Outcome::NotBegun }).collect(), ..Self::default() }
    }

    /// The same, as if the other steps had never been started: for undoing only a part.
    pub(crate) fn only(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let kept = |(index, outcome): (usize, &Outcome)| if is_kept(index) { *outcome } else { Outcome::NotBegun };
        Self { each: self.each.iter().enumerate().map(kept).collect(), ..Self::default() }
    }

    /// Those that changed something which can be put back by now.
    pub(crate) fn to_put_back(&self, sysfs: &Sysfs, steps: &[Step]) -> Self {
        let has_changed = |index: usize| self.each[index].has_changed();
        self.only(|index| can_be_put_back(sysfs, steps, index, has_changed))
    }

    /// One outcome a step.
    pub(crate) fn each(&self) -> &[Outcome] {
        &self.each
    }

    /// The first step that failed, and why.
    pub fn failure(&self) -> Option<(usize, Errno)> {
        self.each.iter().enumerate().find_map(|(index, outcome)| match outcome {
            Outcome::Failed(errno) => Some((index, *errno)),
            _ => None,
        })
    }

    /// Whether every step went well.
    pub fn is_complete(&self) -> bool {
        self.each.iter().all(|outcome| matches!(outcome, Outcome::Done(..)))
    }

    /// Whether the kernel changed anything.
    pub(crate) fn changed(&self) -> usize {
        self.each.iter().filter(|outcome| outcome.has_changed()).count()
    }
}

/// What became of an attempt to undo steps.
#[derive(Debug, Default)]
pub(crate) struct Undone {
    /// Each action that was tried, the last step's first, and how it ended.
    pub(crate) each: Vec<(Action, Outcome)>,
    /// Another process waits for the rest.
    pub(crate) detached: Option<Box<DetachedWrite>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sysfs::made::MadeTree;

    const DONE: Outcome = Outcome::Done(Done::Done, Duration::ZERO);

    #[test]
    fn a_part_of_what_was_done_is_as_if_the_rest_had_never_begun() {
        let outcomes = Outcomes::done_where([true, false, true].into_iter());
        assert_eq!(outcomes.each(), [DONE, Outcome::NotBegun, DONE]);
        let failed = Outcomes { each: vec![DONE, Outcome::Failed(Errno::EIO)], ..Outcomes::default() };
        assert_eq!(failed.only(|index| index == 1).each(), [Outcome::NotBegun, Outcome::Failed(Errno::EIO)]);
    }

    #[test]
    fn what_is_gone_is_not_put_back() {
        let tree = MadeTree::with(&["0000:01:00.0"]);
        let unbind = |address: &str| {
            let address = address.parse().unwrap();
            let action = crate::plan::action::Action::Unbind { address, driver: "x".to_owned(), driver_override: None };
            Step::new(action, "", Vec::new())
        };
        let steps = ["0000:01:00.0", "0000:02:00.0", "0000:01:00.0"].map(unbind);
        let each = vec![DONE, DONE, Outcome::Done(Done::Already, Duration::ZERO)];
        let back = Outcomes { each, ..Outcomes::default() }.to_put_back(&tree.sysfs(), &steps);
        assert_eq!((back.each()[0], back.each()[1], back.changed()), (DONE, Outcome::NotBegun, 1));
    }
}
