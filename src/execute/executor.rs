//! Performs a plan: each step as soon as all that it waits for is done, several at a time.
//!
//! What is to be done is data; who does it is a trait, so that the same code runs against the kernel and, in tests,
//! against a model of it. A step is begun and, later, heard of again; there is one thread, and all waiting is in one
//! place, where a signal or a deadline is heard as well. When a step fails or somebody interrupts, no new one is begun,
//! those in the kernel's hands are waited for, and the caller learns how each one ended.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::execute::outcome::{DetachedWrite, Outcome, Outcomes, Undone};
use crate::plan::action::{Action, Step, StepRef};
use crate::plan::step_state::Done;

/// Whoever makes the writes.
pub trait StepRunner {
    /// Begins one write, without waiting for it.
    ///
    /// # Errors
    /// It could not even be begun.
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno>;

    /// Waits for what happens next. Called only while something that was begun has not ended.
    fn next_event(&mut self) -> Event;

    /// Whether somebody has asked to stop, now or earlier. Nothing new is started then, except to undo.
    fn is_interrupted(&mut self) -> bool {
        false
    }
}

/// What the kernel, or whoever watches over it, has to say.
#[derive(Debug)]
pub enum Event {
    /// A write has ended, with what the kernel answered.
    Ended(StepRef, Result<Done, Errno>),
    /// A write could not even be begun: the kernel was not asked.
    NotBegun(StepRef, Errno),
    /// Somebody wants to stop here; what is in the kernel's hands goes on.
    Interrupted,
    /// Nothing yet; said about twice a second.
    Nothing,
    /// This process must not wait any longer; another one does.
    Detached(Box<DetachedWrite>),
}

/// Performs these steps, at most `jobs` at a time; `first` is the place of the first one in the whole plan.
pub fn execute(steps: &[Step], first: usize, kernel: &mut dyn StepRunner, jobs: usize) -> Outcomes {
    let mut run = PhaseRun::new(steps, first);
    loop {
        while run.may_begin(jobs.max(1)) {
            if kernel.is_interrupted() {
                run.outcomes.interrupted = true;
            } else {
                run.begin(kernel);
            }
        }
        if run.running == 0 {
            return run.outcomes;
        }
        match kernel.next_event() {
            Event::Ended(mark, result) => run.ended(mark, result),
            Event::NotBegun(mark, errno) => run.not_begun(mark, errno),
            Event::Interrupted => run.outcomes.interrupted = true,
            Event::Nothing => {}
            Event::Detached(unfinished) => {
                run.outcomes.detached = Some(unfinished);
                return run.outcomes;
            }
        }
    }
}

/// One phase on its way.
struct PhaseRun<'a> {
    steps: &'a [Step],
    first: usize,
    outcomes: Outcomes,
    /// How many steps each one still waits for.
    missing: Vec<usize>,
    ready: std::collections::VecDeque<usize>,
    begun: Vec<Option<Instant>>,
    running: usize,
    failed: bool,
}

impl<'a> PhaseRun<'a> {
    fn new(steps: &'a [Step], first: usize) -> Self {
        let missing: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
        let ready = (0..steps.len()).filter(|index| missing[*index] == 0).collect();
        let outcomes = Outcomes { each: vec![Outcome::NotBegun; steps.len()], ..Outcomes::default() };
        Self { steps, first, outcomes, missing, ready, begun: vec![None; steps.len()], running: 0, failed: false }
    }

    fn may_begin(&self, jobs: usize) -> bool {
        !self.failed && !self.outcomes.interrupted && self.running < jobs && !self.ready.is_empty()
    }

    fn begin(&mut self, kernel: &mut dyn StepRunner) {
        let Some(index) = self.ready.pop_front() else { return };
        self.begun[index] = Some(Instant::now());
        self.running += 1;
        self.outcomes.each[index] = Outcome::Unfinished;
        let mark = StepRef { step: self.first + index, undo: false };
        if let Err(errno) = kernel.begin(mark, &self.steps[index]) {
            self.not_begun(mark, errno);
        }
    }

    fn not_begun(&mut self, mark: StepRef, errno: Errno) {
        self.outcomes.not_begun = Some(mark.step - self.first);
        self.ended(mark, Err(errno));
    }

    fn ended(&mut self, mark: StepRef, result: Result<Done, Errno>) {
        let index = mark.step - self.first;
        let took = self.begun[index].map_or(Duration::ZERO, |begun| begun.elapsed());
        self.running -= 1;
        match result {
            Ok(done) => self.outcomes.each[index] = Outcome::Done(done, took),
            Err(errno) => {
                self.outcomes.each[index] = Outcome::Failed(errno);
                self.failed = true;
                return;
            }
        }
        for (later, step) in self.steps.iter().enumerate().skip(index + 1) {
            if step.after.contains(&index) {
                self.missing[later] -= 1;
                if self.missing[later] == 0 {
                    self.ready.push_back(later);
                }
            }
        }
    }
}

/// Undoes what changed, the last first and one by one, as far as the kernel lets it; `first` is the place of the first
/// step in the whole plan.
pub(crate) fn undo(
    steps: &[Step],
    first: usize,
    outcomes: &Outcomes,
    directory_of: &dyn Fn(&Action) -> String,
    kernel: &mut dyn StepRunner,
) -> Undone {
    let mut undone = Undone::default();
    let may_have_changed = |step: &Step, outcome: &Outcome| {
        outcome.has_changed() || *outcome == Outcome::Failed(Errno::ECANCELED) && step.action.is_setting()
    };
    let steps_and_ends = steps.iter().enumerate().zip(outcomes.each());
    let changed = steps_and_ends.filter(|((_, step), outcome)| may_have_changed(step, outcome));
    for ((index, step), _) in changed.rev() {
        for action in step.action.undo() {
            let back = Step::new(action.clone(), &directory_of(&action), Vec::new());
            let outcome = match undo_one(StepRef { step: first + index, undo: true }, &back, kernel) {
                Ok(outcome) => outcome,
                Err(unfinished) => {
                    undone.each.push((action, Outcome::Unfinished));
                    undone.detached = Some(unfinished);
                    return undone;
                }
            };
            let failed = matches!(outcome, Outcome::Failed(_));
            // What was only prepared for the rest is useless now; a switch that is off must be on again all the same.
            let is_last = failed && !matches!(action, Action::SetVfs { .. } | Action::SetVf { .. });
            undone.each.push((action, outcome));
            if is_last {
                break;
            }
        }
    }
    undone
}

fn undo_one(mark: StepRef, step: &Step, kernel: &mut dyn StepRunner) -> Result<Outcome, Box<DetachedWrite>> {
    let begun = Instant::now();
    if let Err(errno) = kernel.begin(mark, step) {
        return Ok(Outcome::Failed(errno));
    }
    loop {
        match kernel.next_event() {
            Event::Ended(_, Ok(done)) => return Ok(Outcome::Done(done, begun.elapsed())),
            Event::Ended(_, Err(errno)) | Event::NotBegun(_, errno) => return Ok(Outcome::Failed(errno)),
            // It is being undone already.
            Event::Interrupted | Event::Nothing => {}
            Event::Detached(unfinished) => return Err(unfinished),
        }
    }
}

#[cfg(test)]
mod tests;
