//! Performs a plan: each step as soon as all that it waits for is done, several at a time.
//!
//! What is to be done is data; who does it is a trait, so that the same code runs against the kernel and, in tests,
//! against a model of it. A step is begun and, later, heard of again; there is one thread, and all waiting is in one
//! place, where a signal or a deadline is heard as well. When a step fails or somebody interrupts, no new one is begun,
//! those in the kernel's hands are waited for, and the caller learns how each one ended.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::doctor::diagnosis::Stuck;
use crate::doctor::stack::Waits;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step};

/// Names a step: its index in the whole plan, and whether it is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Index into the plan.
    pub step: usize,
    /// Whether what the step did is taken back.
    pub undo: bool,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.undo { "undo-" } else { "do-" }, self.step)
    }
}

impl FromStr for Mark {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (undo, number) = match text.strip_prefix("undo-") {
            Some(number) => (true, number),
            None => (false, text.strip_prefix("do-").unwrap_or(text)),
        };
        Ok(Self { step: number.parse()?, undo })
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A write that this process waits for no longer, and who does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unfinished {
    /// What was begun.
    pub action: Action,
    /// For how long this process waited.
    pub waited_seconds: f64,
    /// The time for it was over; otherwise somebody asked twice to have the terminal back.
    pub late: bool,
    /// The process that makes the write.
    pub helper: u32,
    /// The process that goes on with the operation when the write is done; none if none could be made.
    pub background: Option<u32>,
    /// How many writes were under way.
    pub running: usize,
    /// What the kernel was doing.
    pub kernel: KernelState,
}

/// What the kernel is doing for a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KernelState {
    /// D waits and hears no signal, S waits and does, R runs; none if it has ended.
    pub state: Option<char>,
    /// The function it waits in.
    pub wchan: Option<String>,
    /// The functions it is in, the innermost first; empty if they cannot be seen.
    pub stack: Vec<String>,
    /// What that means.
    pub waits: Option<Waits>,
    /// What is stuck on this machine.
    pub stuck: Vec<Stuck>,
}

/// Whoever makes the writes.
pub trait Kernel {
    /// Begins one write, without waiting for it.
    ///
    /// # Errors
    /// It could not even be begun.
    fn begin(&mut self, mark: Mark, step: &Step) -> Result<(), Errno>;

    /// Says that these steps are going to be begun, as far as anybody can tell now and in about this order; `first` is the
    /// place of the first one in the whole plan. Whoever takes time to get ready may do so.
    fn expect(&mut self, _first: usize, _steps: &[Step]) {}

    /// Waits for what happens next. Called only while something that was begun has not ended.
    fn next(&mut self) -> Event;

    /// Nothing is in the kernel's hands, and nothing will be for a while: signals may end the program again.
    fn rest(&mut self) {}
}

/// What the kernel, or whoever watches over it, has to say.
#[derive(Debug)]
pub enum Event {
    /// A write has ended, with what the kernel answered.
    Ended(Mark, Result<Done, Errno>),
    /// Somebody wants to stop here; what is in the kernel's hands goes on.
    Interrupted,
    /// This process must not wait any longer; another one does.
    GivenBack(Box<Unfinished>),
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
    pub fn has_changed(self) -> bool {
        matches!(self, Self::Done(Done::Done, _))
    }
}

/// How all the steps of a phase ended, in the plan's order.
#[derive(Debug, Default)]
pub struct Outcomes {
    each: Vec<Outcome>,
    /// Somebody wanted to stop before all was done.
    pub interrupted: bool,
    /// Another process waits for the rest.
    pub given_back: Option<Box<Unfinished>>,
}

impl Outcomes {
    /// As if the steps of an earlier phase had gone well where this says so, for undoing them when a later one failed.
    pub fn done_where(each: impl Iterator<Item = bool>) -> Self {
        let done = Outcome::Done(Done::Done, Duration::ZERO);
        Self { each: each.map(|was| if was { done } else { Outcome::NotBegun }).collect(), ..Self::default() }
    }

    /// One outcome a step.
    pub fn each(&self) -> &[Outcome] {
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
    pub fn changed(&self) -> usize {
        self.each.iter().filter(|outcome| outcome.has_changed()).count()
    }
}

/// Performs these steps, at most `jobs` at a time; `first` is the place of the first one in the whole plan.
pub fn execute(steps: &[Step], first: usize, kernel: &mut dyn Kernel, jobs: usize) -> Outcomes {
    let mut run = Run::new(steps, first);
    loop {
        while run.may_begin(jobs.max(1)) {
            run.begin(kernel);
        }
        if run.running == 0 {
            return run.outcomes;
        }
        match kernel.next() {
            Event::Ended(mark, result) => run.ended(mark, result),
            Event::Interrupted => run.outcomes.interrupted = true,
            Event::GivenBack(unfinished) => {
                run.outcomes.given_back = Some(unfinished);
                return run.outcomes;
            }
        }
    }
}

/// One phase on its way.
struct Run<'a> {
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

impl<'a> Run<'a> {
    fn new(steps: &'a [Step], first: usize) -> Self {
        let missing: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
        let ready = (0..steps.len()).filter(|index| missing[*index] == 0).collect();
        let outcomes = Outcomes { each: vec![Outcome::NotBegun; steps.len()], ..Outcomes::default() };
        Self { steps, first, outcomes, missing, ready, begun: vec![None; steps.len()], running: 0, failed: false }
    }

    fn may_begin(&self, jobs: usize) -> bool {
        !self.failed && !self.outcomes.interrupted && self.running < jobs && !self.ready.is_empty()
    }

    fn begin(&mut self, kernel: &mut dyn Kernel) {
        let Some(index) = self.ready.pop_front() else { return };
        self.begun[index] = Some(Instant::now());
        self.running += 1;
        self.outcomes.each[index] = Outcome::Unfinished;
        let mark = Mark { step: self.first + index, undo: false };
        if let Err(errno) = kernel.begin(mark, &self.steps[index]) {
            self.ended(mark, Err(errno));
        }
    }

    fn ended(&mut self, mark: Mark, result: Result<Done, Errno>) {
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

/// What became of an attempt to undo steps.
#[derive(Debug, Default)]
pub struct Undone {
    /// Each action that was tried, the last step's first, and how it ended.
    pub each: Vec<(Action, Outcome)>,
    /// Another process waits for the rest.
    pub given_back: Option<Box<Unfinished>>,
}

/// Undoes what changed, the last first and one by one, as far as the kernel lets it; `first` is the place of the first
/// step in the whole plan.
pub fn undo(
    steps: &[Step],
    first: usize,
    outcomes: &Outcomes,
    directory_of: &dyn Fn(&Action) -> String,
    kernel: &mut dyn Kernel,
) -> Undone {
    let mut undone = Undone::default();
    let changed = steps.iter().enumerate().zip(outcomes.each()).filter(|(_, outcome)| outcome.has_changed());
    for ((index, step), _) in changed.rev() {
        let Some(action) = step.action.undo() else { continue };
        let (file, value) = action.write(&directory_of(&action));
        let back = Step { action: action.clone(), file, value, after: Vec::new() };
        match undo_one(Mark { step: first + index, undo: true }, &back, kernel) {
            Ok(outcome) => undone.each.push((action, outcome)),
            Err(unfinished) => {
                undone.each.push((action, Outcome::Unfinished));
                undone.given_back = Some(unfinished);
                break;
            }
        }
    }
    undone
}

fn undo_one(mark: Mark, step: &Step, kernel: &mut dyn Kernel) -> Result<Outcome, Box<Unfinished>> {
    let begun = Instant::now();
    if let Err(errno) = kernel.begin(mark, step) {
        return Ok(Outcome::Failed(errno));
    }
    loop {
        match kernel.next() {
            Event::Ended(_, Ok(done)) => return Ok(Outcome::Done(done, begun.elapsed())),
            Event::Ended(_, Err(errno)) => return Ok(Outcome::Failed(errno)),
            // It is being undone already.
            Event::Interrupted => {}
            Event::GivenBack(unfinished) => return Err(unfinished),
        }
    }
}

/// What the kernel's answer to a step means, now that one can look: an error may say only that it was done before.
pub fn judge(sysfs: &Sysfs, action: &Action, answer: Result<(), Errno>) -> Result<Done, Errno> {
    match answer {
        Ok(()) => Ok(Done::Done),
        // unbind_store and bind_store (drivers/base/bus.c) answer ENODEV when the driver does not, or no longer, have
        // the device, or when another has it; the driver link tells which.
        Err(errno) => {
            let gone = matches!(errno, Errno::ENODEV | Errno::ENOENT);
            let already = match action {
                Action::Unbind { .. } | Action::Remove { .. } => gone && is_done(sysfs, action) == Some(true),
                Action::Bind { .. } => is_done(sysfs, action) == Some(true),
                _ => false,
            };
            if already { Ok(Done::Already) } else { Err(errno) }
        }
    }
}

/// Whether the tree looks as it does after this action; none where the tree cannot tell, as for a scan.
pub fn is_done(sysfs: &Sysfs, action: &Action) -> Option<bool> {
    let driver_of = |address: &PciAddress| sysfs.link_name(&format!("{}/driver", address.sysfs_link())).ok().flatten();
    match action {
        Action::Unbind { address, .. } => Some(driver_of(address).is_none()),
        Action::Bind { address, driver } => Some(driver_of(address).as_ref() == Some(driver)),
        Action::Remove { address } => Some(!sysfs.has_function(*address)),
        // The links are counted, as the attribute may block behind a driver: sriov_numvfs takes the device lock.
        Action::SetVfs { address, count, .. } => {
            let names = sysfs.names(&address.sysfs_link()).ok()??;
            Some(names.iter().filter(|name| is_vf_link(name)).count() == *count)
        }
        _ => None,
    }
}

fn is_vf_link(name: &str) -> bool {
    name.strip_prefix("virtfn").is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
