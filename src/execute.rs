//! Performs a plan: each step as soon as all that it waits for is done, several at a time.
//!
//! What is to be done is data; who does it is a trait, so that the same code runs against the kernel and, in tests,
//! against a model of it. When a step fails, no new one is begun, those in the kernel's hands are waited for, and the
//! caller learns how each one ended.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::plan::{Action, Step};
use crate::sysfs::Sysfs;

/// Whoever makes the writes.
pub trait Kernel: Sync {
    /// Makes one write and waits until the kernel is done with it.
    ///
    /// # Errors
    /// What the kernel answered.
    fn perform(&self, step: &Step) -> Result<Done, Errno>;
}

/// How a step went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The kernel did it.
    Done,
    /// There was nothing left to do.
    Already,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Never begun, because another one failed.
    NotBegun,
    /// Went well.
    Done(Done, Duration),
    /// The kernel said no.
    Failed(Errno),
}

impl Outcome {
    /// Whether the kernel changed something for it.
    pub fn has_changed(self) -> bool {
        matches!(self, Self::Done(Done::Done, _))
    }
}

/// How all the steps of a plan ended, in the plan's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes(Vec<Outcome>);

impl Outcomes {
    /// As if all of so many steps had gone well, for undoing them when a later phase failed.
    pub fn all_done(steps: usize) -> Self {
        Self(vec![Outcome::Done(Done::Done, Duration::ZERO); steps])
    }

    /// One outcome a step.
    pub fn each(&self) -> &[Outcome] {
        &self.0
    }

    /// The first step that failed, and why.
    pub fn failure(&self) -> Option<(usize, Errno)> {
        self.0.iter().enumerate().find_map(|(index, outcome)| match outcome {
            Outcome::Failed(errno) => Some((index, *errno)),
            _ => None,
        })
    }
}

/// Performs all steps, at most `jobs` at a time.
pub fn execute(steps: &[Step], kernel: &dyn Kernel, jobs: usize) -> Outcomes {
    let board = Board { state: Mutex::new(State::new(steps)), changed: Condvar::new() };
    let workers = jobs.clamp(1, steps.len().max(1));
    if workers == 1 {
        board.work(steps, kernel);
    } else {
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| board.work(steps, kernel));
            }
        });
    }
    let state = board.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcomes(state.outcomes)
}

/// What the workers share.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ready: VecDeque<usize>,
    /// How many steps each one still waits for.
    missing: Vec<usize>,
    outcomes: Vec<Outcome>,
    /// Steps neither ended nor given up.
    open: usize,
    running: usize,
    failed: bool,
}

impl State {
    fn new(steps: &[Step]) -> Self {
        let missing: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
        let ready = (0..steps.len()).filter(|index| missing[*index] == 0).collect();
        Self {
            ready,
            missing,
            outcomes: vec![Outcome::NotBegun; steps.len()],
            open: steps.len(),
            running: 0,
            failed: false,
        }
    }

    fn is_over(&self) -> bool {
        self.open == 0 || (self.failed && self.running == 0)
    }
}

impl Board {
    fn work(&self, steps: &[Step], kernel: &dyn Kernel) {
        while let Some(index) = self.next() {
            let begun = Instant::now();
            let outcome = match kernel.perform(&steps[index]) {
                Ok(done) => Outcome::Done(done, begun.elapsed()),
                Err(errno) => Outcome::Failed(errno),
            };
            self.ended(steps, index, outcome);
        }
    }

    /// The next step that may begin; none when all is over.
    fn next(&self) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.is_over() {
                return None;
            }
            if !state.failed {
                if let Some(index) = state.ready.pop_front() {
                    state.running += 1;
                    return Some(index);
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ended(&self, steps: &[Step], index: usize, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcomes[index] = outcome;
        state.running -= 1;
        state.open -= 1;
        state.failed |= matches!(outcome, Outcome::Failed(_));
        for (later, step) in steps.iter().enumerate().skip(index + 1) {
            if step.after.contains(&index) {
                state.missing[later] -= 1;
                if state.missing[later] == 0 {
                    state.ready.push_back(later);
                }
            }
        }
        self.changed.notify_all();
    }
}

/// Undoes what changed, the last first; what could not be undone is told.
pub fn undo(
    steps: &[Step],
    outcomes: &Outcomes,
    directory_of: &dyn Fn(&Action) -> String,
    kernel: &dyn Kernel,
) -> Vec<(Action, Outcome)> {
    let changed = steps.iter().zip(outcomes.each()).filter(|(_, outcome)| outcome.has_changed());
    let back = changed.rev().filter_map(|(step, _)| step.action.undo());
    back.map(|action| {
        let (file, value) = action.write(&directory_of(&action));
        let begun = Instant::now();
        let outcome = match kernel.perform(&Step { action: action.clone(), file, value, after: Vec::new() }) {
            Ok(done) => Outcome::Done(done, begun.elapsed()),
            Err(errno) => Outcome::Failed(errno),
        };
        (action, outcome)
    })
    .collect()
}

/// The kernel of this machine, reached through /sys.
pub struct RunningKernel<'a> {
    sysfs: &'a Sysfs,
}

impl<'a> RunningKernel<'a> {
    /// Writes go to this tree.
    pub fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs }
    }

    fn driver_of(&self, address: crate::address::PciAddress) -> Option<String> {
        self.sysfs.link_name(&format!("bus/pci/devices/{address}/driver")).ok().flatten()
    }
}

impl Kernel for RunningKernel<'_> {
    fn perform(&self, step: &Step) -> Result<Done, Errno> {
        match (&step.action, self.sysfs.write(&step.file, &step.value)) {
            (_, Ok(())) => Ok(Done::Done),
            // unbind_store and bind_store (drivers/base/bus.c) answer ENODEV when the driver does not, or no longer,
            // have the device, or when another has it; the driver link tells which.
            (Action::Unbind { address, .. }, Err(Errno::ENODEV | Errno::ENOENT))
                if self.driver_of(*address).is_none() =>
            {
                Ok(Done::Already)
            }
            (Action::Remove { address }, Err(Errno::ENODEV | Errno::ENOENT))
                if !self.sysfs.exists(&format!("bus/pci/devices/{address}")) =>
            {
                Ok(Done::Already)
            }
            (Action::Bind { address, driver }, Err(_)) if self.driver_of(*address).as_ref() == Some(driver) => {
                Ok(Done::Already)
            }
            (_, Err(errno)) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests;
