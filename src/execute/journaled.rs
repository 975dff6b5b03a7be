//! A step runner that notes every step in the journal: before it begins and after it ends.

use std::rc::Rc;

use nix::errno::Errno;

use crate::execute::executor::{Event, StepRunner};
use crate::plan::action::{Step, StepRef};
use crate::plan::step_state::Done;
use crate::state::journal::record::ALREADY;
use crate::state::journal::store::Journal;

/// Notes every step in the journal before it is begun and after it has ended.
pub(crate) struct Journaled<'a> {
    pub(crate) inner: Box<dyn StepRunner + 'a>,
    pub(crate) journal: Rc<Journal>,
}

impl StepRunner for Journaled<'_> {
    fn begin(&mut self, mark: StepRef, step: &Step) -> std::result::Result<(), Errno> {
        let noted = self.journal.begin_step(mark, &step.action);
        // What was done is undone even where that cannot be noted: whoever recovers looks what is done already.
        if !mark.undo {
            noted?;
        }
        self.inner.begin(mark, step).inspect_err(|errno| {
            let _ = self.journal.end_step(mark, *errno as i32);
        })
    }

    fn next_event(&mut self) -> Event {
        let event = self.inner.next_event();
        match &event {
            // The writer has noted it, unless it was killed.
            Event::Ended(mark, result) => {
                let errno = match result {
                    Ok(Done::Done) => 0,
                    // It was so before, and undoing it would be wrong.
                    Ok(Done::Already) => ALREADY,
                    Err(errno) => *errno as i32,
                };
                let _ = self.journal.end_step(*mark, errno);
            }
            Event::NotBegun(mark, errno) => {
                let _ = self.journal.end_step(*mark, *errno as i32);
            }
            Event::Interrupted | Event::Nothing | Event::Detached(_) => {}
        }
        event
    }

    fn is_interrupted(&mut self) -> bool {
        self.inner.is_interrupted()
    }
}
