use super::*;
use crate::host::sysfs::made::MadeTree;
use crate::plan::action::{Plan, StepRef};
use crate::state::journal::record::{Header, JournalLine};
use crate::topology::vf_setting::{VfSetting, VfValue};

const CARD: &str = "0000:01:00.0";
const TWIN: &str = "0000:01:00.1";

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn unbind(function: &str, driver: &str) -> Action {
    Action::Unbind { address: address(function), driver: driver.to_owned(), driver_override: None }
}

fn remove(function: &str) -> Action {
    Action::Remove { address: address(function) }
}

fn reset() -> Action {
    Action::Reset { address: address(CARD), hits_bus: false }
}

fn probe(driver: Option<&str>) -> Action {
    Action::Probe { address: address(CARD), driver: driver.map(str::to_owned) }
}

fn scan() -> Action {
    Action::Rescan { bus: "0000:01".parse().unwrap() }
}

fn set() -> Action {
    let (file, value, was) = ("power/control".to_owned(), "on".to_owned(), "auto".to_owned());
    Action::Set { address: address(CARD), file, value, was }
}

fn create_vfs(count: usize) -> Action {
    let drivers = VfDrivers { driver: None, autoprobe: true, was: Vec::new(), sleeps: false };
    Action::CreateVfs { address: address(CARD), count, drivers: Some(drivers) }
}

fn trust(was: bool) -> Action {
    let setting = |trust| VfSetting { vf: 0, value: VfValue::Trust(trust) };
    Action::SetVf { address: address(CARD), setting: setting(true), was: was.then(|| setting(false)) }
}

fn power(on: bool, functions: &[&str]) -> Action {
    let functions = functions.iter().map(|text| address(text)).collect();
    Action::SlotPower { slot: "3".to_owned(), on, port: None, functions }
}

/// What was planned, each step after all before it.
fn one_by_one(actions: &[Action]) -> Vec<Step> {
    let mut plan = Plan::default();
    actions.iter().for_each(|action| plan.push_after_all(action.clone(), "d"));
    plan.steps
}

/// The journal of an operation: `do-1` for a step that was begun, `do-1=0` for one that ended so, `undo-1 ACTION` for one that
/// an action takes back.
fn journal(steps: &[Step], marks: &[&str]) -> OperationRecord {
    let functions = [(address(CARD), "pci:card".to_owned())].into();
    let header = Header { functions, ..Header::of(steps.to_vec()) };
    let line = |mark: &&str| match mark.split_once('=') {
        Some((mark, errno)) => JournalLine::Ended { mark: mark.parse().unwrap(), errno: errno.parse().unwrap() },
        None => {
            let mark: StepRef = mark.parse().unwrap();
            let action = mark.undo.then(|| steps[mark.step].action.undo().pop().unwrap());
            JournalLine::Begun { mark, action }
        }
    };
    let lines = [JournalLine::Header(header)].into_iter().chain(marks.iter().map(line));
    OperationRecord::parse(&lines.map(|line| line.text()).collect::<String>()).unwrap()
}

/// What is told of it, and what there is to be done: the steps that were done, those that are left, those to be rolled back.
#[derive(Debug, PartialEq)]
struct Told {
    progress: Progress,
    action: RecoveryAction,
    done: Vec<usize>,
    left: Vec<usize>,
    back: Vec<usize>,
}

fn told(tree: &MadeTree, record: &OperationRecord) -> Told {
    let look = Assessment::of(record, &tree.sysfs());
    let places = |of: Vec<bool>| of.iter().enumerate().filter(|(_, is)| **is).map(|(index, _)| index).collect();
    let done: Vec<usize> = places(look.done.clone());
    assert!(look.done().eq(done.iter().map(|index| &record.steps[*index])));
    let left = look.left().map(|(index, _)| index).collect();
    Told { progress: look.progress(), action: look.action(), done, left, back: places(look.to_roll_back()) }
}

fn untouched(left: &[usize]) -> Told {
    Told {
        progress: Progress::NotStarted,
        action: RecoveryAction::RollBack,
        done: Vec::new(),
        left: left.to_vec(),
        back: Vec::new(),
    }
}

fn back(done: &[usize], left: &[usize], back: &[usize]) -> Told {
    let (progress, action) = (Progress::Partial, RecoveryAction::RollBack);
    Told { progress, action, done: done.to_vec(), left: left.to_vec(), back: back.to_vec() }
}

fn on(done: &[usize], left: &[usize], back: &[usize]) -> Told {
    let (progress, action) = (Progress::Partial, RecoveryAction::RollForward);
    Told { progress, action, done: done.to_vec(), left: left.to_vec(), back: back.to_vec() }
}

fn complete(done: &[usize], back: &[usize]) -> Told {
    let (progress, action) = (Progress::Complete, RecoveryAction::RollForward);
    Told { progress, action, done: done.to_vec(), left: Vec::new(), back: back.to_vec() }
}

#[test]
fn a_removal_goes_back_until_something_is_gone() {
    let tree = MadeTree::with(&[CARD]);
    tree.bind(CARD, "nvme");
    let removal = one_by_one(&[unbind(CARD, "nvme"), remove(CARD)]);
    assert_eq!(told(&tree, &journal(&removal, &[])), untouched(&[0, 1]));
    assert_eq!(told(&tree, &journal(&removal, &["do-0"])), untouched(&[0, 1]));

    tree.unbind(CARD);
    assert_eq!(told(&tree, &journal(&removal, &["do-0"])), back(&[0], &[1], &[0]));
    assert_eq!(told(&tree, &journal(&removal, &["do-0", "do-0=0", "do-1"])), back(&[0], &[1], &[0]));
    // A driver that let go by itself, or for somebody else, is nobody's to be put back.
    assert_eq!(told(&tree, &journal(&removal, &[])), untouched(&[1]));
    assert_eq!(told(&tree, &journal(&removal, &["do-0", "do-0=114"])), untouched(&[1]));

    tree.remove(CARD);
    assert_eq!(told(&tree, &journal(&removal, &["do-0", "do-0=0", "do-1"])), complete(&[0, 1], &[0, 1]));
    // It went, but not by this.
    let gone = Told { done: vec![0], back: vec![0], action: RecoveryAction::RollBack, ..complete(&[], &[]) };
    assert_eq!(told(&tree, &journal(&removal, &["do-0", "do-0=0"])), gone);
}

#[test]
fn what_is_left_of_a_removal_is_done_if_no_driver_has_to_stop_for_it() {
    let tree = MadeTree::with(&[CARD, TWIN]);
    let removal = one_by_one(&[unbind(CARD, "nvme"), unbind(TWIN, "nvme"), remove(CARD), remove(TWIN)]);
    let journal = journal(&removal, &["do-0", "do-0=0", "do-1", "do-1=0", "do-2"]);
    tree.remove(CARD);
    assert_eq!(told(&tree, &journal), on(&[0, 1, 2], &[3], &[0, 1, 2]));
    tree.bind(TWIN, "nvme");
    assert_eq!(told(&tree, &journal), back(&[0, 2], &[1, 3], &[0, 2]));
}

#[test]
fn an_undoing_that_was_cut_off_is_done_again() {
    let tree = MadeTree::with(&[CARD]);
    tree.bind(CARD, "nvme");
    let removal = one_by_one(&[unbind(CARD, "nvme"), remove(CARD)]);
    let undone = |end: &[&str]| told(&tree, &journal(&removal, &[&["do-0", "do-0=0", "undo-0"], end].concat()));
    assert_eq!(undone(&[]), back(&[0], &[0, 1], &[0]));
    assert_eq!(undone(&["undo-0=5"]), back(&[0], &[0, 1], &[0]));
    assert_eq!(undone(&["undo-0=0"]), untouched(&[0, 1]));
}

#[test]
fn a_setting_may_have_been_made_until_its_end_is_known() {
    let tree = MadeTree::with(&[CARD]);
    let setting = one_by_one(&[set()]);
    let told = |marks: &[&str]| told(&tree, &journal(&setting, marks));
    assert_eq!(told(&[]), untouched(&[0]));
    assert_eq!(told(&["do-0"]), back(&[0], &[0], &[0]));
    assert_eq!(told(&["do-0", "do-0=5"]), untouched(&[0]));
    let done = Told { action: RecoveryAction::RollBack, ..complete(&[0], &[0]) };
    assert_eq!(told(&["do-0", "do-0=0"]), done);
    assert_eq!(told(&["do-0", "do-0=0", "undo-0", "undo-0=0"]), untouched(&[0]));
}

#[test]
fn a_scan_is_always_gone_on_with() {
    let tree = MadeTree::with(&[CARD]);
    tree.write("class/pci_bus/0000:01/rescan", "");
    let scan = one_by_one(&[scan()]);
    let told = |marks: &[&str]| told(&tree, &journal(&scan, marks));
    let not_yet = Told { action: RecoveryAction::RollForward, ..untouched(&[0]) };
    assert_eq!(told(&[]), not_yet);
    assert_eq!(told(&["do-0"]), on(&[], &[0], &[]));
    assert_eq!(told(&["do-0", "do-0=5"]), not_yet);
    assert_eq!(told(&["do-0", "do-0=0"]), complete(&[0], &[0]));
}

#[test]
fn whatever_a_scan_brings_back_it_comes_after_what_was_removed() {
    let tree = MadeTree::with(&[]);
    let replug = one_by_one(&[unbind(CARD, "nvme"), remove(CARD), Action::RescanAll]);
    let removed = ["do-0", "do-0=0", "do-1", "do-1=0"];
    let scanned = [&removed[..], &["do-2"]].concat();
    assert_eq!(told(&tree, &journal(&replug, &removed)), on(&[0, 1], &[2], &[0, 1]));
    assert_eq!(told(&tree, &journal(&replug, &scanned)), on(&[0, 1], &[2], &[]));

    tree.add(CARD);
    tree.bind(CARD, "nvme");
    assert_eq!(told(&tree, &journal(&replug, &scanned)), complete(&[0, 1, 2], &[2]));
    // Somebody else scanned: the journal knows of no scan, and the card is there.
    assert_eq!(told(&tree, &journal(&replug, &removed)), untouched(&[0, 1, 2]));
}

#[test]
fn a_scan_that_was_begun_is_done_when_all_is_back() {
    let tree = MadeTree::with(&[CARD]);
    let replug = one_by_one(&[remove(CARD), remove(TWIN), Action::RescanAll]);
    let journal = journal(&replug, &["do-0", "do-0=0", "do-1", "do-1=0", "do-2"]);
    assert_eq!(told(&tree, &journal).left, [2]);
    tree.add(TWIN);
    assert_eq!(told(&tree, &journal).left, [0; 0]);
}

#[test]
fn a_scan_is_no_excuse_for_what_does_not_come_before_it() {
    let tree = MadeTree::with(&[CARD]);
    let mut plan = Plan::default();
    plan.push(remove(CARD), "d", vec![]);
    plan.push(Action::RescanAll, "d", vec![]);
    assert_eq!(told(&tree, &journal(&plan.steps, &["do-1"])).left, [0, 1]);
}

#[test]
fn a_reset_in_place_is_over_when_its_driver_is_back() {
    let tree = MadeTree::with(&[CARD]);
    let in_place = one_by_one(&[unbind(CARD, "nvme"), reset()]);
    let reset = ["do-0", "do-0=0", "do-1", "do-1=0"];
    assert_eq!(told(&tree, &journal(&in_place, &reset[..2])), back(&[0], &[1], &[0]));
    assert_eq!(told(&tree, &journal(&in_place, &reset)), back(&[0, 1], &[], &[0, 1]));
    tree.bind(CARD, "nvme");
    assert_eq!(told(&tree, &journal(&in_place, &reset[..1])), untouched(&[0, 1]));
    let all = [&reset[..], &["undo-0", "undo-0=0"]].concat();
    let over = Told { left: vec![0], action: RecoveryAction::RollBack, ..complete(&[1], &[1]) };
    assert_eq!(told(&tree, &journal(&in_place, &all)), over);
}

#[test]
fn nothing_is_reset_that_is_back_at_work_or_gone() {
    let tree = MadeTree::with(&[CARD]);
    let below = |bridge: &str| Action::ResetBelow { address: address(bridge) };
    let left = |actions: &[Action], marks: &[&str]| told(&tree, &journal(&one_by_one(actions), marks)).left;
    let removed = ["do-0", "do-0=0"];
    tree.add("0000:00:01.0");
    for helper in [below("0000:00:01.0"), reset(), power(false, &[])] {
        tree.write("bus/pci/slots/3/power", "1\n");
        assert_eq!(left(&[remove(CARD), helper.clone()], &removed), [0], "the card is back: {helper:?}");
        assert_eq!(left(std::slice::from_ref(&helper), &[]), [0], "nothing was removed: {helper:?}");
    }
    assert_eq!(left(&[remove(CARD), set()], &removed), [0, 1], "a setting helps nobody to come back");
    tree.remove(CARD);
    assert_eq!(left(&[remove(CARD), below("0000:00:01.0")], &removed), [1]);
    assert_eq!(left(&[remove(CARD), reset()], &removed), [0; 0]);
}

#[test]
fn a_slot_that_the_kernel_did_not_switch_on_is_left_whatever_was_scanned() {
    let tree = MadeTree::with(&[]);
    tree.write("bus/pci/slots/3/power", "0\n");
    let replug = one_by_one(&[power(false, &[CARD]), power(true, &[]), Action::RescanAll]);
    let marks = ["do-0", "do-0=0", "do-1", "do-1=5", "do-2", "do-2=0"];
    assert_eq!(told(&tree, &journal(&replug, &marks)), on(&[0, 2], &[1], &[2]));
    tree.add(CARD);
    assert_eq!(told(&tree, &journal(&replug, &marks[..2])), untouched(&[0, 1, 2]));
}

#[test]
fn what_others_gave_to_a_driver_is_not_led_elsewhere() {
    let tree = MadeTree::with(&[CARD]);
    let overriding =
        Action::Override { address: address(CARD), driver: "vfio-pci".to_owned(), was: Some(String::new()) };
    let change = one_by_one(&[overriding, unbind(CARD, "nvme"), probe(Some("vfio-pci"))]);
    let stopped = ["do-0", "do-0=0", "do-1", "do-1=0"];
    assert_eq!(told(&tree, &journal(&change, &stopped)), back(&[0, 1], &[2], &[0, 1]));

    tree.bind(CARD, "vfio-pci");
    let given = Told { action: RecoveryAction::RollBack, ..complete(&[0], &[]) };
    assert_eq!(told(&tree, &journal(&change, &["do-0"])), given);
    tree.bind(CARD, "nvme");
    assert_eq!(told(&tree, &journal(&change, &["do-0"])), back(&[0], &[0, 1, 2], &[0]));
    assert_eq!(told(&tree, &journal(&change, &["do-0", "do-0=0"])), back(&[0], &[1, 2], &[0]));
}

#[test]
fn the_driver_that_was_to_stop_is_not_what_the_asking_brought() {
    let tree = MadeTree::with(&[CARD, TWIN]);
    tree.bind(CARD, "nvme");
    let change = one_by_one(&[unbind(TWIN, "nvme"), unbind(CARD, "nvme"), probe(None)]);
    assert_eq!(told(&tree, &journal(&change, &["do-1"])).left, [1, 2]);
    // It stopped, and came back.
    assert_eq!(told(&tree, &journal(&change, &["do-1", "do-1=0"])).left, [1]);
    tree.bind(CARD, "vfio-pci");
    assert_eq!(told(&tree, &journal(&change, &["do-1"])).left, [0; 0]);
}

#[test]
fn vfs_that_others_took_the_place_of_are_not_missed() {
    let tree = MadeTree::with(&[CARD, TWIN]);
    let vf = "0000:01:10.0";
    let change = one_by_one(&[unbind(vf, "igbvf"), Action::set_vfs(address(CARD), 0, 2, false), create_vfs(4)]);
    let marks = ["do-0", "do-0=0", "do-1", "do-1=0", "do-2", "do-2=0"];
    tree.add(vf);
    tree.bind(vf, "igbvf");
    tree.set_vfs(CARD, 2);
    assert_eq!(told(&tree, &journal(&change, &["do-0"])), untouched(&[0, 1, 2]));
    tree.set_vfs(CARD, 4);
    // Nobody knows of the step that makes the others: they are not ours.
    assert_eq!(told(&tree, &journal(&change, &marks[..4])).left, [0, 1]);
    let created = Told { progress: Progress::Partial, back: vec![0, 1], ..complete(&[0, 1, 2], &[]) };
    assert_eq!(told(&tree, &journal(&change, &marks)), created);
    tree.set_vfs(CARD, 3);
    assert_eq!(told(&tree, &journal(&change, &marks)).left, [0, 1, 2]);

    // Another function's number says nothing of these, nor does one that does not come after.
    let of_twin = Action::set_vfs(address(TWIN), 0, 2, false);
    tree.set_vfs(CARD, 4);
    tree.set_vfs(TWIN, 2);
    let other = one_by_one(&[of_twin, remove(vf), create_vfs(4)]);
    assert_eq!(told(&tree, &journal(&other, &["do-2", "do-2=0"])).left, [0, 1]);
    let mut apart = Plan::default();
    apart.push(unbind(vf, "igbvf"), "d", vec![]);
    apart.push(create_vfs(4), "d", vec![]);
    assert_eq!(told(&tree, &journal(&apart.steps, &["do-1", "do-1=0"])).left, [0]);
}

#[test]
fn new_vfs_for_which_nothing_was_done_are_not_the_end() {
    let tree = MadeTree::with(&[CARD]);
    tree.set_vfs(CARD, 4);
    let told_of = |actions: &[Action], marks: &[&str]| {
        let record = journal(&one_by_one(actions), marks);
        let sysfs = tree.sysfs();
        let look = Assessment::of(&record, &sysfs);
        let now = look.undriven_vfs().map(|(physical, _)| physical);
        (look.progress(), now.is_some(), look.vfs_undriven_in_the_end().is_some(), look.has_lost_some())
    };
    let done = ["do-0", "do-0=0"];
    assert_eq!(told_of(&[create_vfs(4)], &done), (Progress::Partial, true, true, false));
    assert_eq!(told_of(&[create_vfs(4)], &[]), (Progress::Complete, false, true, false));
    assert!(told_of(&[create_vfs(4), trust(false)], &done).1);
    // A VF that tells what it was set to has been looked at since, and so has its driver.
    assert!(!told_of(&[create_vfs(4), trust(true)], &done).1);
    assert!(!told_of(&[create_vfs(4), probe(None)], &done).1);
    let plain = Action::CreateVfs { address: address(CARD), count: 4, drivers: None };
    assert_eq!(told_of(&[plain], &done), (Progress::Complete, false, false, false));
    tree.remove(CARD);
    assert_eq!(told_of(&[create_vfs(4)], &done), (Progress::Complete, false, false, true));
}

#[test]
fn a_setting_of_a_vf_went_with_it() {
    let tree = MadeTree::with(&[CARD]);
    let change = one_by_one(&[create_vfs(4), trust(true)]);
    let journal_of = |marks: &[&str]| journal(&change, marks);
    assert_eq!(told(&tree, &journal_of(&["do-0", "do-0=0", "do-1"])).done, [0; 0]);
    tree.set_vfs(CARD, 4);
    assert_eq!(told(&tree, &journal_of(&["do-0", "do-0=0", "do-1"])).done, [0, 1]);
    // One of VFs that were there before stands for itself.
    let alone = one_by_one(&[set(), trust(true)]);
    assert_eq!(told(&tree, &journal(&alone, &["do-1"])).done, [1]);
}

#[test]
fn vfs_that_were_created_stay() {
    let tree = MadeTree::with(&[CARD]);
    tree.set_vfs(CARD, 4);
    let change = one_by_one(&[set(), create_vfs(4), probe(None)]);
    let marks = ["do-0", "do-0=0", "do-1", "do-1=0"];
    assert_eq!(told(&tree, &journal(&change, &marks)), on(&[0, 1], &[2], &[0]));
    tree.set_vfs(CARD, 0);
    assert_eq!(told(&tree, &journal(&change, &marks)), back(&[0], &[1, 2], &[0]));
}

#[test]
fn with_a_physical_function_its_vfs_went() {
    let tree = MadeTree::with(&[CARD]);
    tree.set_vfs(CARD, 2);
    let record = |count| journal(&one_by_one(&[Action::set_vfs(address(CARD), count, 2, false)]), &["do-0"]);
    let lost = |record| Assessment::of(record, &tree.sysfs()).has_lost_some();
    assert_eq!(told(&tree, &record(0)).left, [0]);
    tree.remove(CARD);
    let none = record(0);
    assert_eq!((told(&tree, &none).done, lost(&none)), (vec![0], false));
    let four = record(4);
    assert_eq!((told(&tree, &four).left, lost(&four)), (vec![], true));
}

#[test]
fn what_is_gone_is_left_to_nobody_unless_a_scan_may_bring_it() {
    let tree = MadeTree::with(&[]);
    let told_of = |actions: &[Action], marks: &[&str]| {
        let record = journal(&one_by_one(actions), marks);
        (told(&tree, &record).left, Assessment::of(&record, &tree.sysfs()).has_lost_some())
    };
    let bind = Action::Bind { address: address(CARD), driver: "nvme".to_owned() };
    tree.write("class/pci_bus/0000:01/rescan", "");
    assert_eq!(told_of(&[scan(), bind.clone()], &[]), (vec![0, 1], false));
    assert_eq!(told_of(&[scan(), bind.clone()], &["do-0", "do-0=0"]), (vec![], true));
    assert_eq!(told_of(&[set(), bind.clone()], &[]), (vec![], true));
    assert_eq!(told_of(&[remove(CARD)], &[]), (vec![], false));
    // A scan of a bus that is gone brings nothing either.
    let gone = Action::Rescan { bus: "0000:02".parse().unwrap() };
    assert_eq!(told_of(&[gone, bind], &[]), (vec![], true));
}

#[test]
fn another_device_at_the_address_is_known_by_what_it_says_it_is() {
    let tree = MadeTree::with(&[CARD]);
    let record = journal(&one_by_one(&[remove(CARD)]), &[]);
    let other = || other_device(&record, &tree.sysfs());
    assert_eq!(other(), None);
    tree.write(&format!("bus/pci/devices/{CARD}/modalias"), "pci:card\n");
    assert_eq!(other(), None);
    tree.write(&format!("bus/pci/devices/{CARD}/modalias"), "pci:another\n");
    assert_eq!(other(), Some(address(CARD)));
}
