use super::*;
use std::sync::Barrier;

fn step(name: &str, after: Vec<usize>) -> Step {
    let address = format!("0000:00:{name}.0").parse().unwrap();
    let action = Action::Unbind { address, driver: "x".into() };
    let (file, value) = action.write("");
    Step { action, file, value, after }
}

/// Notes what was performed, fails where told to, and lets the first `together` steps meet.
struct Scripted {
    performed: Mutex<Vec<String>>,
    fails: Option<&'static str>,
    together: Option<Barrier>,
}

impl Scripted {
    fn new() -> Self {
        Self { performed: Mutex::new(Vec::new()), fails: None, together: None }
    }
}

impl Kernel for Scripted {
    fn perform(&self, step: &Step) -> Result<Done, Errno> {
        let name = step.value.clone();
        if let (Some(barrier), true) = (&self.together, step.after.is_empty()) {
            barrier.wait();
        }
        self.performed.lock().unwrap().push(name.clone());
        if self.fails.is_some_and(|fails| name.contains(fails)) { Err(Errno::EBUSY) } else { Ok(Done::Done) }
    }
}

#[test]
fn independent_steps_run_together() {
    // The barrier opens only when both are inside: one after the other would hang here.
    let kernel = Scripted { together: Some(Barrier::new(2)), ..Scripted::new() };
    let outcomes = execute(&[step("01", vec![]), step("02", vec![]), step("03", vec![0, 1])], &kernel, 8);
    assert!(outcomes.failure().is_none());
    assert_eq!(kernel.performed.into_inner().unwrap()[2], "0000:00:03.0");
}

#[test]
fn a_failure_stops_what_waits_for_it_and_is_undone() {
    let steps = [step("01", vec![]), step("02", vec![0]), step("03", vec![1])];
    let kernel = Scripted { fails: Some("02"), ..Scripted::new() };
    let outcomes = execute(&steps, &kernel, 1);
    assert_eq!(outcomes.failure(), Some((1, Errno::EBUSY)));
    assert_eq!(outcomes.each()[2], Outcome::NotBegun);
    let back = undo(&steps, &outcomes, &|_| String::new(), &kernel);
    assert_eq!(back.len(), 1);
    assert!(matches!(&back[0].0, Action::Bind { address, .. } if address.to_string() == "0000:00:01.0"));
}

#[test]
fn nothing_to_do_is_done() {
    assert!(execute(&[], &Scripted::new(), 4).failure().is_none());
}
