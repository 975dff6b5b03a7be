use nix::errno::Errno;

use super::*;
use crate::host::sysfs::made::MadeTree;
use crate::pci::address::BusNumber;
use crate::plan::action::Attention;
use crate::topology::vf_setting::{VfSetting, VfValue};

const CARD: &str = "0000:01:00.0";
const OTHER: &str = "0000:02:00.0";

fn card() -> PciAddress {
    CARD.parse().unwrap()
}

fn unbind() -> Action {
    Action::Unbind { address: card(), driver: "nvme".to_owned(), driver_override: None }
}

fn bind() -> Action {
    Action::Bind { address: card(), driver: "nvme".to_owned() }
}

fn probe(driver: Option<&str>) -> Action {
    Action::Probe { address: card(), driver: driver.map(str::to_owned) }
}

fn remove() -> Action {
    Action::Remove { address: card() }
}

fn power(on: bool, functions: &[&str]) -> Action {
    let functions = functions.iter().map(|text| text.parse().unwrap()).collect();
    Action::SlotPower { slot: "3".to_owned(), on, port: None, functions }
}

fn attention() -> Action {
    Action::SlotAttention { slot: "3".to_owned(), port: None, value: Attention::On, was: Attention::Off }
}

fn step(action: Action, after: &[usize]) -> Step {
    Step::new(action, "", after.to_vec())
}

#[test]
fn an_error_means_that_it_was_done_before_only_where_the_tree_shows_it() {
    let tree = MadeTree::with(&[CARD]);
    let says = |action: &Action, errno: Errno| interpret_result(&tree.sysfs(), action, Err(errno));
    let vf = VfSetting { vf: 0, value: VfValue::Trust(true) };
    let vf = Action::SetVf { address: card(), setting: vf, was: None };

    assert_eq!(says(&unbind(), Errno::ENODEV), Ok(Done::Already));
    assert_eq!(says(&unbind(), Errno::EIO), Err(Errno::EIO));
    assert_eq!(says(&bind(), Errno::EBUSY), Err(Errno::EBUSY));
    assert_eq!(says(&remove(), Errno::ENOENT), Err(Errno::ENOENT));
    assert_eq!(says(&vf, ALREADY_SO), Ok(Done::Already));
    assert_eq!(says(&vf, Errno::EIO), Err(Errno::EIO));
    assert_eq!(says(&power(true, &[]), Errno::EINVAL), Err(Errno::EINVAL));
    assert_eq!(says(&Action::RescanAll, Errno::EIO), Err(Errno::EIO));

    tree.bind(CARD, "nvme");
    assert_eq!(says(&unbind(), Errno::ENODEV), Err(Errno::ENODEV));
    assert_eq!(says(&bind(), Errno::EBUSY), Ok(Done::Already));
    tree.write("bus/pci/slots/3/power", "1\n");
    assert_eq!(says(&power(true, &[]), Errno::EINVAL), Ok(Done::Already));
    assert_eq!(says(&power(false, &[]), Errno::EINVAL), Err(Errno::EINVAL));
    tree.remove(CARD);
    assert_eq!(says(&remove(), Errno::ENOENT), Ok(Done::Already));
    assert_eq!(says(&remove(), Errno::EACCES), Err(Errno::EACCES));
}

#[test]
fn that_all_went_well_is_not_believed_where_a_driver_was_to_come_and_did_not() {
    let tree = MadeTree::with(&[CARD]);
    let says = |action: &Action| interpret_result(&tree.sysfs(), action, Ok(()));
    assert_eq!(says(&bind()), Err(NOBODY_BOUND));
    assert_eq!(says(&probe(Some("nvme"))), Err(NOBODY_BOUND));
    assert_eq!(says(&probe(None)), Ok(Done::Done));
    tree.bind(CARD, "vfio-pci");
    assert_eq!(says(&bind()), Err(NOBODY_BOUND));
    // Whoever bound it meanwhile did so after the kernel's answer.
    assert_eq!(says(&unbind()), Ok(Done::Done));
    tree.bind(CARD, "nvme");
    assert_eq!(says(&bind()), Ok(Done::Done));
}

#[test]
fn what_is_done_is_seen_in_the_tree_or_not_told() {
    let tree = MadeTree::with(&[CARD]);
    let done = |action: &Action| is_done(&tree.sysfs(), action);
    let create = |count| Action::CreateVfs { address: card(), count, drivers: None };
    let set = |count| Action::set_vfs(card(), count, 2, false);

    assert_eq!((done(&unbind()), done(&bind()), done(&remove())), (Some(true), Some(false), Some(false)));
    assert_eq!((done(&probe(None)), done(&probe(Some("nvme")))), (None, Some(false)));
    assert_eq!((done(&set(0)), done(&create(2))), (Some(true), Some(false)));
    assert_eq!((done(&power(false, &[])), done(&power(true, &[CARD]))), (None, None));
    assert_eq!((done(&Action::RescanAll), done(&attention())), (None, None));

    tree.bind(CARD, "nvme");
    assert_eq!((done(&unbind()), done(&bind())), (Some(false), Some(true)));
    assert_eq!(
        (done(&probe(None)), done(&probe(Some("nvme"))), done(&probe(Some("x")))),
        (Some(true), Some(true), Some(false))
    );
    // Nothing else in the directory counts.
    tree.write(&format!("bus/pci/devices/{CARD}/virtfn"), "");
    tree.set_vfs(CARD, 2);
    assert_eq!((done(&set(0)), done(&set(2)), done(&create(2))), (Some(false), Some(true), Some(true)));

    tree.add(OTHER);
    assert_eq!(done(&power(false, &[CARD, OTHER])), Some(false));
    tree.remove(CARD);
    assert_eq!((done(&remove()), done(&power(false, &[CARD, OTHER]))), (Some(true), Some(false)));
    assert_eq!(done(&set(0)), None);
    tree.remove(OTHER);
    assert_eq!(done(&power(false, &[CARD, OTHER])), Some(true));
}

#[test]
fn what_an_action_is_about_is_a_function_a_bus_or_a_slot() {
    let tree = MadeTree::with(&[CARD]);
    let gone = |action: &Action| is_subject_gone(&tree.sysfs(), action);
    let bus: BusNumber = "0000:01".parse().unwrap();
    let rescan = Action::Rescan { bus };

    assert!(!gone(&remove()) && !gone(&unbind()) && !gone(&Action::RescanAll));
    assert!(gone(&rescan) && gone(&power(true, &[])) && gone(&attention()));
    tree.write(&format!("class/pci_bus/{bus}/rescan"), "");
    tree.write("bus/pci/slots/3/power", "0\n");
    assert!(!gone(&rescan) && !gone(&power(true, &[])) && !gone(&attention()));
    tree.remove(CARD);
    assert!(gone(&remove()) && gone(&unbind()));
}

#[test]
fn a_vf_comes_back_with_its_number_which_only_we_put_back() {
    let tree = MadeTree::with(&[CARD, OTHER]);
    let vf =
        Action::Unbind { address: "0000:01:00.1".parse().unwrap(), driver: "igbvf".to_owned(), driver_override: None };
    let steps = |after: &[usize]| {
        [step(vf.clone(), &[]), step(Action::set_vfs(card(), 0, 2, false), after), step(attention(), &[])]
    };
    let can = |index, after: &[usize], is_done: bool| can_be_put_back(&tree.sysfs(), &steps(after), index, |_| is_done);

    assert!(can(0, &[0], true));
    assert!(!can(0, &[0], false), "somebody else set the number");
    assert!(!can(0, &[], true), "the number has nothing to do with it");
    assert!(can(1, &[0], false), "the physical function is there");
    assert!(!can(2, &[0], true), "the slot is not there");
    tree.write("bus/pci/slots/3/attention", "0\n");
    assert!(can(2, &[0], true));
    tree.remove(CARD);
    assert!(!can(0, &[0], true) && !can(1, &[0], true));
}

#[test]
fn a_step_has_led_to_a_driver_that_its_own_function_got_after_it() {
    let give_other = Action::Bind { address: OTHER.parse().unwrap(), driver: "nvme".to_owned() };
    let steps = [step(bind(), &[]), step(unbind(), &[]), step(give_other, &[]), step(bind(), &[])];
    let led = |index, done: usize| has_led_to_driver(&steps, index, |later| later == done);
    assert!(led(1, 3) && led(0, 3));
    assert!(!led(1, 2), "another function's driver");
    assert!(!led(1, 0), "a driver it got before");
    assert!(!led(0, 1), "no driver came by that");
    assert!(!led(3, 3), "not by itself");
}

#[test]
fn a_slot_is_on_or_off_or_does_not_say() {
    let tree = MadeTree::with(&[]);
    let on = |text: &str| {
        tree.write("bus/pci/slots/3/power", text);
        is_slot_on(&tree.sysfs(), "3")
    };
    assert_eq!((on("0\n"), on("1\n"), on("2\n"), on("\n")), (Some(false), Some(true), None, None));
    assert_eq!(is_slot_on(&tree.sysfs(), "4"), None);
}
