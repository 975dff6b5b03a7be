//! A step runner that notes every step in the journal: before it begins and after it ends.

use std::rc::Rc;

use nix::errno::Errno;

use crate::execute::executor::{Event, Kernel};
use crate::plan::action::{Mark, Step};
use crate::state::journal::store::Journal;
use crate::terminal::Output;

/// Notes every step in the journal before it is begun and after it has ended.
pub(crate) struct Journaled<'a> {
    pub(crate) inner: Box<dyn Kernel + 'a>,
    pub(crate) journal: Rc<Journal>,
    pub(crate) output: &'a Output,
}

impl Kernel for Journaled<'_> {
    fn begin(&mut self, mark: Mark, step: &Step) -> std::result::Result<(), Errno> {
        self.journal.begin_step(mark, &step.action)?;
        self.inner.begin(mark, step).inspect_err(|errno| {
            let _ = self.journal.end_step(mark, *errno as i32);
        })
    }

    fn expect(&mut self, first: usize, steps: &[Step]) {
        self.inner.expect(first, steps);
    }

    fn next(&mut self) -> Event {
        let event = self.inner.next();
        match &event {
            // The helper has noted it, unless it was killed.
            Event::Ended(mark, result) => {
                let _ = self.journal.end_step(*mark, result.err().map_or(0, |errno| errno as i32));
            }
            Event::Interrupted => {
                self.output.say(
                    "interrupted: waiting for what the kernel has begun; a second time gives the terminal back at once",
                );
            }
            Event::GivenBack(_) => {}
        }
        event
    }

    fn rest(&mut self) {
        self.inner.rest();
    }
}
