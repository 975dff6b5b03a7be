//! What is left of an operation that was cut off: how it is told, and who brings it to its end or back to its start.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use pcictl::error::ErrorKind;
use pcictl::plan::action::Action;
use serde_json::Value;

use super::machine::{Ended, Machine, entries_of, quiet_crashes};
use super::{Course, REMOVE_PF, WORK, check_recovered, offer_vfio, override_driver, use_vfs};
use crate::support::dump::Dump;
use crate::support::fake::{Comes, FakeKernel, Fault, Script};

#[test]
fn a_crash_while_undoing_and_one_while_recovering_are_recovered_from() {
    quiet_crashes();
    let words = ["remove", "0000:02:00.0"];
    let start = Machine::new("guest-switch8").functions();
    for at in 0..2 {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let machine = Machine::new("guest-switch8");
            assert!(matches!(machine.run_at(&words, Fault::CrashAfter, 1), Ended::Crashed));
            assert!(matches!(machine.run_at(&["recover"], crash, at), Ended::Crashed));
            assert!(matches!(machine.run(&["recover"]), Ended::Well), "{crash:?} at {at}");
            assert_eq!(machine.functions(), start, "{crash:?} at {at}");
            assert!(machine.is_settled());
        }
    }
}

#[test]
fn an_undoing_of_vfs_that_was_cut_off_anywhere_is_brought_to_its_end() {
    quiet_crashes();
    let whole = Machine::prepared("guest-sriov", use_vfs);
    let (start, settings) = (whole.functions(), whole.settings());
    let mut crashes = 0;
    for crash in [Fault::CrashBefore, Fault::CrashAfter] {
        for at in 0.. {
            // The VFs have been disabled, and their physical function has its driver yet.
            let machine = removal_cut_off(1);
            if !matches!(machine.run_at(&["recover"], crash, at), Ended::Crashed) {
                break;
            }
            crashes += 1;
            assert!(matches!(machine.run(&["recover"]), Ended::Well), "{crash:?} at {at}");
            assert_eq!(
                (machine.functions(), machine.settings()),
                (start.clone(), settings.clone()),
                "{crash:?} at {at}"
            );
            assert!(machine.is_settled(), "{crash:?} at {at}");
        }
    }
    println!("{crashes} crashes while undoing");
    assert!(crashes >= 6, "three writes and more");
}

/// A removal of a physical function that was cut off when it had done so many steps more than to stop its VFs' drivers.
fn removal_cut_off(after: usize) -> Machine {
    quiet_crashes();
    let machine = Machine::prepared("guest-sriov", use_vfs);
    let functions = machine.functions();
    let bound = functions.iter().filter(|(function, driver)| machine.is_virtual(function) && driver.is_some()).count();
    assert!(matches!(machine.run_at(REMOVE_PF, Fault::CrashAfter, bound + after), Ended::Crashed));
    machine
}

/// Somebody has taken the driver of a physical function away since, without which there can be no VFs.
#[test]
fn vfs_wait_for_the_driver_of_their_physical_function() {
    let pf = "0000:01:00.0";
    let machine = removal_cut_off(1);
    assert!(machine.writes().last().unwrap().starts_with("0 > "), "the VFs were switched off: {:?}", machine.writes());
    assert!(matches!(machine.run(&["unbind", pf]), Ended::Well));
    let Ended::Badly(error) = machine.run(&["recover"]) else { panic!("VFs without a driver") };
    let refusal = format!("VFs of {pf}: it has no driver, or one that knows no VFs");
    assert!(error.to_string().contains(&refusal), "{error}");
    assert_eq!(error.next().unwrap(), format!("pcictl bind {pf} gives it its driver; pcictl recover tries again then"));
    assert!(matches!(machine.run(&["bind", pf]), Ended::Well));
    assert!(matches!(machine.run(&["recover"]), Ended::Well));
    assert_eq!(machine.functions(), Machine::prepared("guest-sriov", use_vfs).functions());
    assert!(machine.is_settled());
}

/// Somebody has given the device the driver since that it was to get: nothing that led there is taken back.
#[test]
fn what_others_have_brought_to_its_end_stays() {
    quiet_crashes();
    let set = "override 0000:03:00.0 vfio-pci";
    let cleared = ("override --clear 0000:05:00.0", "bind 0000:05:00.0");
    for (prepare, tree, (words, later), at) in [
        (offer_vfio as fn(&mut Dump), "guest-switch8", (set, set), 0),
        (offer_vfio, "guest-switch8", (set, set), 1),
        (offer_vfio, "guest-switch8", (set, set), 2),
        (override_driver, "guest-mixed", cleared, 1),
    ] {
        let [first, later] = [words, later].map(|words| words.split(' ').collect::<Vec<_>>());
        let machine = Machine::prepared(tree, prepare);
        assert!(matches!(machine.run_at(&first, Fault::CrashAfter, at), Ended::Crashed), "{words} at {at}");
        assert!(matches!(machine.run(&later), Ended::Well), "{words} at {at}");
        let after = (machine.functions(), machine.settings());
        assert!(matches!(machine.run(&["recover"]), Ended::Well), "{words} at {at}");
        assert_eq!((machine.functions(), machine.settings()), after, "{words} at {at}");
        assert!(machine.is_settled(), "{words} at {at}");
    }
}

/// Somebody has switched VFs off since, whose drivers alone were stopped: they are gone for good.
#[test]
fn drivers_are_not_put_back_to_vfs_that_others_switched_off() {
    let machine = removal_cut_off(0);
    assert!(machine.functions().keys().any(|function| machine.is_virtual(function)));
    assert!(matches!(machine.run(&["sriov", "--off", "0000:01:00.0"]), Ended::Well));
    assert!(matches!(machine.run(&["recover"]), Ended::Well), "{}", machine.leftovers());
    assert!(machine.is_settled());
}

#[test]
fn what_is_left_of_an_operation_ends_with_its_devices() {
    quiet_crashes();
    let (mut crashes, mut told) = (0, 0);
    for work in &WORK {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            for at in 0.. {
                let machine = work.machine();
                if !matches!(machine.run_with(work.words, work.script(crash, at)), Ended::Crashed) {
                    break;
                }
                crashes += 1;
                machine.pull_all();
                let what = format!("{:?} {crash:?} at {at}", work.words);
                assert!(matches!(machine.run(&["recover"]), Ended::Well), "{what}: {}", machine.leftovers());
                assert!(machine.is_settled(), "{what}: {}", machine.leftovers());
                let ended = machine.printed().iter().any(|document| document.to_string().contains("gone since"));
                told += usize::from(ended);
            }
        }
    }
    println!("{crashes} crashes, {told} of which left something to be done to what was gone");
    assert!(told > 0);
}

#[test]
fn status_says_what_is_done_what_is_not_and_which_commands_put_it_right() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run_at(&["remove", "0000:02:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    machine
        .status()
        .stdout_like(
            "\
[..]: interrupted, half done: [..]
  done: unbind 0000:03:00.0 from slowpci
  not done: unbind 0000:02:00.0 from pcieport
  not done: remove 0000:02:00.0
  to undo it: pcictl recover [..]
  to complete it: pcictl remove 0000:02:00.0
",
        )
        .status(5)
        .check();
    // The command that completes it does, and the journal of the first try knows.
    assert!(matches!(machine.run(&["remove", "0000:02:00.0"]), Ended::Well));
    assert!(machine.is_settled());
    machine
        .status()
        .stdout_like(
            "\
[..]: interrupted, but complete: [..]
  done: unbind 0000:03:00.0 from slowpci
0000:02:00.0: removed and not back; pcictl rescan 0000:02:00.0
0000:03:00.0: removed and not back; pcictl rescan 0000:03:00.0
",
        )
        .check();
}

#[test]
fn where_no_journal_can_be_written_nothing_is_begun() {
    let machine = Machine::new("guest-switch8");
    let start = machine.functions();
    fs::create_dir_all(machine.directory("run")).unwrap();
    fs::write(machine.directory("run").join("journal"), "in the way").unwrap();
    let Ended::Badly(error) = machine.run(&["remove", "0000:03:00.0"]) else { panic!("it was done") };
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert_eq!((machine.calls(), machine.functions()), (0, start));
}

#[test]
fn what_cannot_be_trusted_is_set_aside_and_told() {
    let machine = Machine::new("guest-switch8");
    let journals = machine.directory("run").join("journal");
    quiet_crashes();
    assert!(matches!(machine.run_at(&["remove", "0000:03:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    let journal = fs::read_dir(&journals).unwrap().flatten().next().unwrap().path();
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("Unbind", "unbind", 1).replacen("slowpci", "slowpcx", 1)).unwrap();
    let changed = machine.functions();
    assert!(!machine.is_settled());
    let recovered = machine.run(&["recover"]);
    assert!(matches!(recovered, Ended::Otherwise(code) if code == ExitCode::from(5)), "not everything could be used");
    assert_eq!((machine.calls(), machine.functions()), (0, changed), "nothing was done on its word");
    assert!(machine.is_settled() && !journal.exists());
    assert!(journal.with_extension("journal.bad").exists());
}

#[test]
fn what_somebody_else_has_recovered_meanwhile_is_left_alone() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    for address in ["0000:03:00.0", "0000:04:00.0"] {
        assert!(matches!(machine.run_at(&["remove", address], Fault::CrashAfter, 0), Ended::Crashed));
    }
    // While the first operation is undone somebody else recovers the second, and then an operator takes the driver away.
    let beside = Rc::new(machine.shared());
    let theirs = Rc::clone(&beside);
    let meanwhile = move |kernel: &FakeKernel| {
        let ended = theirs.run_beside(&["recover"], Script::new(Fault::None, 0, Comes::Same));
        assert!(matches!(ended, Ended::Well), "{ended:?}");
        let address = theirs.writes()[0].split(' ').next().unwrap().parse().unwrap();
        kernel.write(&Action::Unbind { address, driver: "slowpci".into(), driver_override: None }).unwrap();
    };
    let script = Script::new(Fault::None, 0, Comes::Same);
    let ended = machine.run_with(&["recover"], Script { meanwhile: Some((0, Box::new(meanwhile))), ..script });
    assert!(matches!(ended, Ended::Well), "{ended:?}");
    let (mine, theirs) = (machine.writes(), beside.writes());
    assert!(mine.len() == 1 && theirs.len() == 1 && mine != theirs, "{mine:?} and {theirs:?}");
    let now = machine.functions();
    assert!(now["0000:03:00.0"].is_none() != now["0000:04:00.0"].is_none(), "what the operator did stays: {now:?}");
    assert!(machine.is_settled());
}

#[test]
fn an_operation_whose_journal_was_deleted_is_told_and_recovered() {
    quiet_crashes();
    let mut recovered = 0;
    let works = WORK.iter().filter(|work| work.before.is_empty() && !work.restores() && work.comes == Comes::Same);
    for work in works {
        let course = Course::of(work);
        for at in 0..course.calls {
            for crash in [Fault::CrashBefore, Fault::CrashAfter] {
                let what = format!("{:?} with {crash:?} at call {at}", work.words);
                let machine = work.machine();
                assert!(matches!(machine.run_with(work.words, work.script(crash, at)), Ended::Crashed));
                fs::remove_dir_all(machine.directory("run").join("journal")).unwrap();
                let ended = machine.run(&["recover"]);
                assert!(matches!(ended, Ended::Well), "{what}: {ended:?}");
                check_recovered(&machine, work, &course, false, &what);
                recovered += 1;
            }
        }
    }
    println!("{recovered} operations recovered without their journals");
}

#[test]
fn status_tells_of_an_operation_whose_journal_was_deleted() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run_at(&["remove", "0000:03:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    fs::remove_dir_all(machine.directory("run").join("journal")).unwrap();
    machine
        .status()
        .stdout_like(
            "\
[..]: interrupted: [..]; its journal is gone, and nobody noted its end
  to complete it: pcictl recover [..]
",
        )
        .status(5)
        .check();
}

/// A kill between a journal's last line and the removal of its marker leaves the marker behind.
#[test]
fn a_marker_that_was_left_behind_goes_with_the_journal() {
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run(&["remove", "0000:03:00.0"]), Ended::Well));
    let journals = machine.directory("run").join("journal");
    let written = fs::read_dir(&journals).unwrap().flatten().next().unwrap().path();
    let text = fs::read_to_string(&written).unwrap();
    let mut first: serde_json::Value =
        serde_json::from_str(text.lines().next().unwrap().split_once(' ').unwrap().1).unwrap();
    first["header"]["id"] = "1000000000-1".into();
    let (journal, marker) =
        (journals.join("1000000000-1.journal"), machine.directory("state").join("operations/1000000000-1.json"));
    fs::write(&marker, first["header"].to_string()).unwrap();
    // So many later ones that the oldest is dropped.
    for later in 0..64 {
        fs::copy(&written, journals.join(format!("9{later:09}-1.journal"))).unwrap();
    }
    fs::rename(&written, &journal).unwrap();
    assert!(matches!(machine.run(&["rescan", "--settle", "0", "0000:03:00.0"]), Ended::Well));
    assert_eq!((journal.exists(), marker.exists()), (false, false));
    machine.status().stdout("nothing is under way, interrupted or removed\n").check();
}

/// A recovery knows an operation's own entries of the ledger by it, however long the look and the disk took.
#[test]
fn what_an_operation_wrote_into_the_ledger_is_dated_as_it_is_itself() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run_at(&["remove", "0000:02:00.0"], Fault::CrashBefore, 0), Ended::Crashed));
    let read = |path: PathBuf| -> Vec<String> {
        let entries = fs::read_dir(machine.directory(path.to_str().unwrap())).unwrap();
        entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    };
    let marker: Value = serde_json::from_str(&read("state/operations".into())[0]).unwrap();
    let files = read("state/ledger".into());
    assert_eq!(files.len(), 1, "one file a removal");
    let entries = entries_of(files[0].as_bytes());
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry["removed_at"], marker["began"]);
    }
}

/// A removal that the next boot found half done: `run` is gone then, or is on a disk.
fn rebooted(is_run_kept: bool) -> Machine {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run_at(&["remove", "0000:02:00.0"], Fault::CrashBefore, 0), Ended::Crashed));
    if !is_run_kept {
        fs::remove_dir_all(machine.directory("run")).unwrap();
    }
    machine.boot("5a7e0002-0000-4000-8000-000000000002");
    machine
}

#[test]
fn an_operation_before_the_last_boot_is_told_once_and_what_the_ledger_keeps_of_it_as_well() {
    for is_run_kept in [false, true] {
        let machine = rebooted(is_run_kept);
        let told = "\
[..]: cut off by a reboot: [..]; the machine was booted anew since, and has found its devices by itself
";
        machine.status().stdout_like(told).status(5).check();
        assert!(matches!(machine.run(&["recover"]), Ended::Well));
        let report = machine.printed().remove(0);
        let what = "cut off by a reboot; the ledger has what 0000:02:00.0 was, and pcictl rescan 0000:01:00.0 compares \
                    and crosses it off";
        let operations = report["operations"].as_array().unwrap();
        assert_eq!((operations.len(), &operations[0]["what"]), (1, &what.into()));
        machine.status().stdout("nothing is under way, interrupted or removed\n").check();
        assert!(!machine.ledger().is_empty());
        assert!(matches!(machine.run(&["rescan", "--settle", "0", "0000:01:00.0"]), Ended::Well));
        assert!(machine.ledger().is_empty());
    }
}

/// What the doctor says helps does.
#[test]
fn a_device_that_is_back_past_pcictl_is_crossed_off_by_the_command_that_doctor_names() {
    let machine = rebooted(false);
    assert!(matches!(machine.run(&["recover"]), Ended::Well));
    let _ = machine.run(&["doctor"]);
    let report = machine.printed().remove(0);
    let mut helped = Vec::new();
    for leftover in report["leftovers"].as_array().unwrap() {
        let words: Vec<&str> = leftover["helps"].as_str().unwrap().split(' ').skip(1).take(2).collect();
        helped.push(words.join(" "));
        assert!(matches!(machine.run(&[words[0], "--settle", "0", words[1]]), Ended::Well));
        assert!(!machine.ledger().contains(leftover["address"].as_str().unwrap()), "{leftover}");
    }
    assert_eq!(helped, ["rescan 0000:01:00.0", "rescan 0000:03:00.0"]);
}

/// Nobody gets to write the rest of a line whose file system is full, or whose machine lost its power.
#[test]
fn a_recovery_goes_on_with_a_journal_whose_last_line_is_torn_and_leaves_it_whole() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run_at(&["remove", "0000:02:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    let journal = fs::read_dir(machine.directory("run/journal")).unwrap().next().unwrap().unwrap().path();
    let mut text = fs::read_to_string(&journal).unwrap();
    text.push_str("0123456789abcdef {\"ended\":");
    fs::write(&journal, text).unwrap();
    assert!(matches!(machine.run_at(&["recover"], Fault::CrashBefore, 0), Ended::Crashed));
    let again = machine.run(&["recover"]);
    assert!(matches!(again, Ended::Well), "{again:?}: {}", machine.leftovers());
    assert_eq!(machine.functions(), Machine::new("guest-switch8").functions());
    assert!(machine.is_settled(), "{}", machine.leftovers());
}
