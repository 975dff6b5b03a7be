use nix::errno::Errno;

use crate::execute::executor::{Event, StepRunner, execute, undo};
use crate::execute::outcome::Outcome;
use crate::plan::action::{Action, Step, StepRef};
use crate::plan::step_state::Done;

fn step(name: &str, after: Vec<usize>) -> Step {
    let address = format!("0000:00:{name}.0").parse().unwrap();
    let action = Action::Unbind { address, driver: "x".into() };
    let (file, value) = action.write("");
    Step { action, file, value, after }
}

/// Notes what was begun, ends the newest first, and fails where told to.
#[derive(Default)]
struct Scripted {
    begun: Vec<String>,
    running: Vec<(StepRef, String)>,
    most: usize,
    fails: Option<&'static str>,
    interrupt_at: Option<usize>,
}

impl StepRunner for Scripted {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        self.begun.push(step.value.clone());
        self.running.push((mark, step.value.clone()));
        self.most = self.most.max(self.running.len());
        Ok(())
    }

    fn next_event(&mut self) -> Event {
        if self.interrupt_at == Some(self.begun.len()) {
            self.interrupt_at = None;
            return Event::Interrupted;
        }
        let (mark, name) = self.running.pop().unwrap();
        let fails = self.fails.is_some_and(|fails| name.contains(fails));
        Event::Ended(mark, if fails { Err(Errno::EBUSY) } else { Ok(Done::Done) })
    }
}

#[test]
fn independent_steps_run_together_and_no_more_of_them_than_asked_for() {
    let steps = [step("01", vec![]), step("02", vec![]), step("03", vec![]), step("04", vec![0, 1, 2])];
    let mut kernel = Scripted::default();
    assert!(execute(&steps, 0, &mut kernel, 8).is_complete());
    assert_eq!((kernel.most, kernel.begun[3].as_str()), (3, "0000:00:04.0"));
    let mut kernel = Scripted::default();
    assert!(execute(&steps, 7, &mut kernel, 2).is_complete());
    assert_eq!(kernel.most, 2);
}

#[test]
fn a_failure_stops_what_waits_for_it_and_is_undone() {
    let steps = [step("01", vec![]), step("02", vec![0]), step("03", vec![1])];
    let mut kernel = Scripted { fails: Some("02"), ..Scripted::default() };
    let outcomes = execute(&steps, 0, &mut kernel, 1);
    assert_eq!(outcomes.failure(), Some((1, Errno::EBUSY)));
    assert_eq!(outcomes.each()[2], Outcome::NotBegun);
    let back = undo(&steps, 0, &outcomes, &|_| String::new(), &mut kernel).each;
    assert_eq!(back.len(), 1);
    assert!(matches!(&back[0].0, Action::Bind { address, .. } if address.to_string() == "0000:00:01.0"));
}

#[test]
fn an_interruption_lets_what_was_begun_end_and_begins_nothing_more() {
    let steps = [step("01", vec![]), step("02", vec![]), step("03", vec![0, 1])];
    let mut kernel = Scripted { interrupt_at: Some(2), ..Scripted::default() };
    let outcomes = execute(&steps, 0, &mut kernel, 2);
    assert!(outcomes.interrupted && !outcomes.is_complete());
    assert_eq!((outcomes.changed(), outcomes.each()[2]), (2, Outcome::NotBegun));
}

#[test]
fn nothing_to_do_is_done() {
    assert!(execute(&[], 0, &mut Scripted::default(), 4).is_complete());
}
