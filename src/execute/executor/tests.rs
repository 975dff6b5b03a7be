use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::execute::executor::{Event, StepRunner, execute, undo};
use crate::execute::outcome::{Outcome, Outcomes};
use crate::plan::action::{Action, Step, StepRef};
use crate::plan::step_state::Done;

fn step(name: &str, after: Vec<usize>) -> Step {
    let address = format!("0000:00:{name}.0").parse().unwrap();
    let action = Action::Unbind { address, driver: "x".into(), driver_override: None };
    Step::new(action, "", after)
}

/// Notes what was begun, ends the newest first, and fails where told to.
#[derive(Default)]
struct Scripted {
    begun: Vec<String>,
    running: Vec<(StepRef, String)>,
    most: usize,
    fails: Option<&'static str>,
    interrupt_at: Option<usize>,
    wants_to_stop: bool,
}

impl StepRunner for Scripted {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        self.begun.push(step.value.clone());
        self.running.push((mark, step.value.clone()));
        self.most = self.most.max(self.running.len());
        Ok(())
    }

    fn is_interrupted(&mut self) -> bool {
        self.wants_to_stop
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

#[test]
fn a_wish_to_stop_between_two_phases_is_heard_before_the_next_one_starts() {
    let mut kernel = Scripted { wants_to_stop: true, ..Scripted::default() };
    let outcomes = execute(&[step("01", vec![])], 0, &mut kernel, 1);
    assert!(outcomes.interrupted && !outcomes.is_complete() && kernel.begun.is_empty());
    assert!(execute(&[], 0, &mut kernel, 1).is_complete(), "nothing to do is done all the same");
}

#[test]
fn vfs_are_put_back_without_drivers_and_get_their_own_override_first() {
    let address: crate::pci::address::PciAddress = "0000:01:00.0".parse().unwrap();
    let vf: crate::pci::address::PciAddress = "0000:01:00.1".parse().unwrap();
    let unbind = Action::Unbind { address: vf, driver: "vfio-pci".into(), driver_override: Some("vfio-pci".into()) };
    let idle: crate::pci::address::PciAddress = "0000:01:00.2".parse().unwrap();
    let idle_overrides = BTreeMap::from([(idle, "pci-stub".to_owned())]);
    let disable = Action::SetVfs { address, count: 0, was: 4, autoprobe: true, idle_overrides, settings: Vec::new() };
    let steps = [unbind, disable].map(|action| Step::new(action, "d", Vec::new()));
    let mut kernel = Scripted::default();
    let outcomes = execute(&steps, 0, &mut kernel, 1);
    let writes = |action: &Action| {
        let (file, value) = action.write("d");
        format!("{value} > {file}")
    };
    let undone = undo(&steps, 0, &outcomes, &|_| "d".to_owned(), &mut kernel);
    assert_eq!(
        undone.each.iter().map(|(action, _)| writes(action)).collect::<Vec<_>>(),
        [
            "0 > d/sriov_drivers_autoprobe",
            "4 > d/sriov_numvfs",
            "pci-stub > d/driver_override",
            "1 > d/sriov_drivers_autoprobe",
            "vfio-pci > d/driver_override",
            "0000:01:00.1 > bus/pci/drivers/vfio-pci/bind",
        ]
    );
}

#[test]
fn an_override_for_the_next_driver_does_not_keep_the_present_one_out() {
    let address: crate::pci::address::PciAddress = "0000:01:00.0".parse().unwrap();
    let unbind = Action::Unbind { address, driver: "nvme".into(), driver_override: Some("vfio-pci".into()) };
    let writes: Vec<String> = unbind.undo().iter().map(|action| action.write("d").1).collect();
    assert_eq!(writes, ["nvme", "0000:01:00.0", "vfio-pci"]);
}

/// Is not asked for what it cannot begin, and notes the places of the others.
struct Refusing {
    refuses: usize,
    begun: Vec<StepRef>,
}

impl StepRunner for Refusing {
    fn begin(&mut self, mark: StepRef, _: &Step) -> Result<(), Errno> {
        self.begun.push(mark);
        if mark.step == self.refuses { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    fn is_interrupted(&mut self) -> bool {
        false
    }

    fn next_event(&mut self) -> Event {
        Event::Ended(*self.begun.last().unwrap(), Ok(Done::Done))
    }
}

#[test]
fn a_step_that_was_not_begun_is_known_by_its_place_in_its_phase() {
    let steps = [step("01", vec![]), step("02", vec![0]), step("03", vec![1])];
    let mut kernel = Refusing { refuses: 7, begun: Vec::new() };
    let outcomes = execute(&steps, 5, &mut kernel, 1);
    assert_eq!((outcomes.not_begun, outcomes.failure()), (Some(2), Some((2, Errno::EAGAIN))));
}

#[test]
fn a_step_is_undone_under_the_number_that_it_has_in_the_whole_plan() {
    let steps = [step("01", vec![]), step("02", vec![])];
    let mut kernel = Refusing { refuses: usize::MAX, begun: Vec::new() };
    undo(&steps, 5, &Outcomes::done_where([true, true].into_iter()), &|_| String::new(), &mut kernel);
    let undone = |step| StepRef { step, undo: true };
    assert_eq!(kernel.begun, [undone(6), undone(5)]);
}

#[test]
fn a_write_whose_end_nobody_knows_is_undone_if_it_only_sets_something() {
    let address = "0000:00:01.0".parse().unwrap();
    let set = Action::Override { address, driver: "vfio-pci".to_owned(), was: Some(String::new()) };
    let steps = [step("01", vec![]), Step::new(set, "", Vec::new())];
    let undone_after = |errno: Errno| {
        let outcomes = Outcomes { each: vec![Outcome::Failed(errno); 2], ..Outcomes::default() };
        undo(&steps, 0, &outcomes, &|_| String::new(), &mut Scripted::default()).each.len()
    };
    assert_eq!((undone_after(Errno::ECANCELED), undone_after(Errno::EIO)), (1, 0));
}

#[test]
fn what_prepares_for_the_rest_is_no_use_without_it_and_a_switch_is_set_back_all_the_same() {
    let address = "0000:00:01.0".parse().unwrap();
    let (driver, driver_override) = ("nvme".to_owned(), Some("vfio-pci".to_owned()));
    for (action, fails, tried) in [
        // The override, the bind that fails, and not the next one's override.
        (Action::Unbind { address, driver, driver_override }, "0000:00:01.0", 2),
        // Drivers are kept from VFs, which do not come back, and let to them again.
        (Action::set_vfs(address, 0, 4, true), "4", 3),
    ] {
        let steps = [Step::new(action, "", Vec::new())];
        let mut kernel = Scripted { fails: Some(fails), ..Scripted::default() };
        let outcomes = Outcomes::done_where([true].into_iter());
        assert_eq!(undo(&steps, 0, &outcomes, &|_| String::new(), &mut kernel).each.len(), tried, "{fails}");
    }
}
