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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::action::Action;
    use crate::state::journal::record::Header;
    use crate::state::journal::store::Journals;

    /// Begins all, and notes which.
    struct Noting(Rc<std::cell::RefCell<Vec<StepRef>>>, bool);

    impl StepRunner for Noting {
        fn begin(&mut self, mark: StepRef, _: &Step) -> Result<(), Errno> {
            self.0.borrow_mut().push(mark);
            Ok(())
        }

        fn next_event(&mut self) -> Event {
            Event::Nothing
        }

        fn is_interrupted(&mut self) -> bool {
            self.1
        }
    }

    const MARKS: [StepRef; 2] = [StepRef { step: 0, undo: false }, StepRef { step: 0, undo: true }];

    fn step() -> Step {
        let action = Action::Remove { address: "0000:01:00.0".parse().unwrap() };
        Step::new(action, "d", Vec::new())
    }

    /// Which of a step and its undoing are begun, with that journal.
    fn begun(journal: Journal) -> Vec<StepRef> {
        let begun = Rc::default();
        let inner = Box::new(Noting(Rc::clone(&begun), false));
        let mut journaled = Journaled { inner, journal: Rc::new(journal) };
        MARKS
            .iter()
            .for_each(|mark| assert_eq!(journaled.begin(*mark, &step()).is_ok(), begun.borrow().contains(mark)));
        begun.take()
    }

    #[test]
    fn a_step_is_noted_and_then_begun() {
        let directory = tempfile::tempdir().unwrap();
        let journals = Journals::below(&directory.path().join("run"), &directory.path().join("state"));
        assert_eq!(begun(journals.begin(Header::of(vec![step()])).unwrap().0), MARKS);
        let record = journals.list().unwrap().remove(0).record.unwrap();
        assert_eq!(record.ends, MARKS.map(|mark| (mark, None)).into());
    }

    #[test]
    fn what_cannot_be_noted_is_not_begun_but_undone_all_the_same() {
        assert_eq!(begun(Journal::on_a_full_disk()), MARKS[1..]);
    }

    #[test]
    fn a_wish_to_stop_is_passed_on() {
        for wish in [false, true] {
            let inner = Box::new(Noting(Rc::default(), wish));
            let mut journaled = Journaled { inner, journal: Rc::new(Journal::on_a_full_disk()) };
            assert_eq!(journaled.is_interrupted(), wish);
        }
    }
}
