//! A step runner that says what goes on: lines that are kept up to date on a terminal, lines with times in a log, events for
//! programs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::execute::executor::{self, StepRunner};
use crate::operation::failure::why_not;
use crate::plan::action::{Action, Step, StepRef};
use crate::plan::step_state::Done;
use crate::report::text::words;
use crate::terminal::event::{Event, StepOutcome};
use crate::terminal::live::Activity;
use crate::terminal::output::Output;

/// Says of every step that it begins, goes on and ends.
pub(crate) struct Announced<'a> {
    inner: Box<dyn StepRunner + 'a>,
    output: &'a Output,
    /// How long a step may take before nobody waits for it any more.
    timeout: Duration,
    running: BTreeMap<StepRef, (Action, Instant)>,
}

impl<'a> Announced<'a> {
    /// Says it on this terminal.
    pub(crate) fn new(inner: Box<dyn StepRunner + 'a>, output: &'a Output, timeout: Duration) -> Self {
        Self { inner, output, timeout, running: BTreeMap::new() }
    }

    fn ended(&mut self, mark: StepRef, result: Result<Done, Errno>) {
        let Some((action, begun)) = self.running.remove(&mark) else { return };
        let text = text(mark, &action);
        let (seconds, (step, undo)) = (begun.elapsed().as_secs_f64(), numbered(mark));
        let error = result.err().map(|errno| why_not(&action, errno));
        let (outcome, end) = match (&result, &error) {
            (Ok(Done::Done), _) => (StepOutcome::Done, format!("done in {seconds:.2} s")),
            (Ok(Done::Already), _) => (StepOutcome::Already, "was so already".to_owned()),
            (Err(_), error) => (StepOutcome::Failed, error.clone().unwrap_or_default()),
        };
        self.output.is_over(activity(mark));
        self.output.event(&Event::StepEnded { step, undo, outcome, error: error.as_deref(), seconds });
        self.output.detail(&self.in_log(&format!("{text}: {end}")));
    }

    /// A line for those who asked for more: in a log it has a time.
    fn in_log(&self, line: &str) -> String {
        if self.output.can_move() { line.to_owned() } else { self.output.with_time(line) }
    }
}

impl StepRunner for Announced<'_> {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let begun = Instant::now();
        let text = text(mark, &step.action);
        let (number, undo) = numbered(mark);
        self.output.event(&Event::StepBegun { step: number, undo, text: &text });
        let limit = (self.timeout != Duration::MAX).then_some(self.timeout);
        self.output.goes_on(activity(mark), text, Duration::ZERO, limit);
        self.running.insert(mark, (step.action.clone(), begun));
        self.inner.begin(mark, step).inspect_err(|errno| self.ended(mark, Err(*errno)))
    }

    fn next_event(&mut self) -> executor::Event {
        let event = self.inner.next_event();
        match &event {
            executor::Event::Ended(mark, result) => self.ended(*mark, *result),
            executor::Event::NotBegun(mark, errno) => self.ended(*mark, Err(*errno)),
            executor::Event::Nothing => self.output.tick(),
            executor::Event::Interrupted => {
                self.output.say("interrupted: waiting for writes in progress; interrupt again to detach");
                self.output.event(&Event::Interrupted);
            }
            executor::Event::Detached(_) => {
                let marks: Vec<StepRef> = self.running.keys().copied().collect();
                marks.into_iter().for_each(|mark| self.output.forget(activity(mark)));
                self.running.clear();
            }
        }
        event
    }

    fn is_interrupted(&mut self) -> bool {
        self.inner.is_interrupted()
    }
}

fn text(mark: StepRef, action: &Action) -> String {
    let words = words::describe_action(action);
    if mark.undo { format!("roll back: {words}") } else { words }
}

fn activity(mark: StepRef) -> Activity {
    if mark.undo { Activity::Undo(mark.step) } else { Activity::Step(mark.step) }
}

/// A step as people count, and whether it is undone.
fn numbered(mark: StepRef) -> (usize, bool) {
    (mark.step + 1, mark.undo)
}
