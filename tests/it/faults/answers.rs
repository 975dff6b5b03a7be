//! What is written, in which order, and what is said when something comes between: each of these was wrong once.

use std::fs;
use std::process::ExitCode;
use std::rc::Rc;

use nix::errno::Errno;
use pcictl::error::{Error, ErrorKind};
use pcictl::plan::action::Action;

use super::machine::{Ended, Machine, entries_of, quiet_crashes};
use super::{PF, REMOVE_PF, set, use_network_vfs, use_vfs};
use crate::doctor::{REMOVER_DRAINS, Task, write_task};
use crate::support::fake::{Comes, FakeKernel, Fault, Script};

const PORT: &str = "0000:02:00.0";
const ENDPOINT: &str = "0000:03:00.0";

fn unbind(address: &str, driver: &str) -> Action {
    Action::Unbind { address: address.parse().unwrap(), driver: driver.to_owned(), driver_override: None }
}

fn bind(address: &str, driver: &str) -> Action {
    Action::Bind { address: address.parse().unwrap(), driver: driver.to_owned() }
}

fn error(ended: Ended) -> Error {
    let Ended::Badly(error) = ended else { panic!("{ended:?}") };
    error
}

/// Somebody else's write right after one of the calls, and a fault at another.
fn script(after: usize, theirs: Action, fault: Fault, at: usize) -> Script {
    let act = move |kernel: &FakeKernel| kernel.write(&theirs).unwrap();
    Script { meanwhile: Some((after, Box::new(act))), ..Script::new(fault, at, Comes::Same) }
}

#[test]
fn a_signal_between_two_writes_of_a_removal_rolls_it_back() {
    let machine = Machine::new("guest-switch8");
    let start = machine.functions();
    let error = error(machine.run_at(&["remove", PORT], Fault::InterruptedBefore, 1));
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(error.to_string(), "interrupted after 1 of 2 steps; the one step was undone");
    assert_eq!(
        machine.writes(),
        ["0000:03:00.0 > bus/pci/drivers/slowpci/unbind", "0000:03:00.0 > bus/pci/drivers/slowpci/bind",]
    );
    assert!(machine.functions() == start && machine.is_settled() && machine.ledger().is_empty());
}

#[test]
fn a_signal_between_two_scans_ends_there_and_says_how_far_it_got() {
    let machine = Machine::new("guest-switch8");
    let words = ["rescan", "--settle", "0", PORT, "0000:02:01.0"];
    let error = error(machine.run_at(&words, Fault::InterruptedBefore, 1));
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(error.to_string(), "interrupted after 1 of 2 steps; 1 of 2 buses were scanned");
    assert_eq!(machine.calls(), 1);
}

#[test]
fn a_driver_that_let_go_by_itself_is_not_put_back() {
    quiet_crashes();
    for fault in [Fault::Refused(Errno::EIO), Fault::CrashBefore] {
        let machine = Machine::new("guest-switch8");
        let ended = machine.run_with(&["remove", PORT], script(0, unbind(PORT, "pcieport"), fault, 2));
        let mut writes = machine.writes();
        if let Ended::Crashed = ended {
            assert!(matches!(machine.run(&["recover"]), Ended::Well));
            writes.extend(machine.writes());
        } else {
            assert_eq!(error(ended).kind(), ErrorKind::Failed);
        }
        assert_eq!(
            writes,
            [
                "0000:03:00.0 > bus/pci/drivers/slowpci/unbind",
                "0000:02:00.0 > bus/pci/drivers/pcieport/unbind",
                "0000:03:00.0 > bus/pci/drivers/slowpci/bind",
            ],
            "{fault:?}"
        );
        assert_eq!(machine.functions()[PORT], None);
    }
}

#[test]
fn vfs_are_put_back_without_drivers_and_then_get_their_own() {
    let machine = Machine::prepared("guest-sriov", use_vfs);
    let start = machine.functions();
    assert_eq!(error(machine.run_at(REMOVE_PF, Fault::Refused(Errno::EIO), 7)).kind(), ErrorKind::Failed);
    let writes = machine.writes();
    let first = writes.iter().position(|write| write.ends_with("/bind")).unwrap();
    assert_eq!(
        writes[first..],
        [
            "0000:01:00.0 > bus/pci/drivers/nvme/bind",
            "0 > bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe",
            "4 > bus/pci/devices/0000:01:00.0/sriov_numvfs",
            "1 > bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe",
            "0000:01:00.4 > bus/pci/drivers/vfdriver/bind",
            "0000:01:00.3 > bus/pci/drivers/vfdriver/bind",
            "vfio-pci > bus/pci/devices/0000:01:00.2/driver_override",
            "0000:01:00.2 > bus/pci/drivers/vfio-pci/bind",
            "0000:01:00.1 > bus/pci/drivers/vfdriver/bind",
            "auto > bus/pci/devices/0000:01:00.0/power/control",
        ]
    );
    assert_eq!(machine.functions(), start);
}

#[test]
fn vfs_get_their_drivers_back_where_they_are_kept_from_drivers() {
    let machine = Machine::prepared("guest-sriov", |dump| {
        use_vfs(dump);
        set(dump, "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/sriov_drivers_autoprobe", "0\n");
    });
    let (start, settings) = (machine.functions(), machine.settings());
    assert_eq!(error(machine.run_at(REMOVE_PF, Fault::Refused(Errno::EIO), 6)).kind(), ErrorKind::Failed);
    assert_eq!((machine.functions(), machine.settings()), (start, settings));
}

#[test]
fn a_driver_that_cannot_create_vfs_is_named() {
    let machine = Machine::new("guest-sriov");
    let start = (machine.functions(), machine.settings());
    let error = error(machine.run_at(&["sriov", PF, "2"], Fault::Refused(Errno::ENOENT), 2));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "create 2 VFs of 0000:01:00.0: its driver nvme does not support that; all 4 steps were undone"
    );
    assert_eq!((machine.functions(), machine.settings()), start);
}

#[test]
fn a_vf_whose_override_and_probe_fail_is_told_once() {
    let words = ["sriov", "--settle", "0", "--driver", "vfio-pci", PF, "3"];
    let ended = |at: usize| Machine::prepared("guest-sriov", use_vfs).run_at(&words, Fault::Refused(Errno::EIO), at);
    let of_override = |ended| match ended {
        Ended::Badly(error) if error.to_string().contains("set the driver override") => Some(error),
        _ => None,
    };
    let error = (0..20).find_map(|at| of_override(ended(at))).unwrap();
    assert_eq!(error.kind(), ErrorKind::Partly);
    assert_eq!(
        error.to_string(),
        "0000:01:00.0: has 3 VFs, and 1 of them no driver: 0000:01:00.1; set the driver override of 0000:01:00.1 to \
         vfio-pci: the kernel said no: I/O error"
    );
    let document = serde_json::to_value(&error).unwrap();
    assert_eq!(document["hint"], "pcictl sriov --driver vfio-pci 0000:01:00.0 tries again");
}

#[test]
fn a_removal_that_failed_gives_back_the_entry_that_it_replaced() {
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run(&["remove", ENDPOINT]), Ended::Well));
    let entries = || -> Vec<serde_json::Value> {
        let files = fs::read_dir(machine.directory("state").join("ledger")).unwrap().flatten();
        let files = files.filter(|file| file.file_type().unwrap().is_file());
        files.flat_map(|file| entries_of(&fs::read(file.path()).unwrap())).collect()
    };
    let waited_for = entries();
    assert_eq!(waited_for.len(), 1);
    machine.kernel().write(&Action::RescanAll).unwrap();
    assert_eq!(error(machine.run_at(&["remove", ENDPOINT], Fault::Refused(Errno::EIO), 1)).kind(), ErrorKind::Failed);
    assert_eq!(entries(), waited_for);
}

#[test]
fn another_device_at_the_address_is_a_missing_one_and_keeps_its_power() {
    let machine = Machine::new("guest-switch8");
    let words = ["replug", "--settle", "0", "--escalate", ENDPOINT];
    let ended = machine.run_with(&words, Script::new(Fault::None, 0, Comes::Another));
    assert!(matches!(ended, Ended::Otherwise(code) if code == ExitCode::from(6)), "{ended:?}");
    let writes = machine.writes();
    assert!(!writes.iter().any(|write| write.contains("slots/")), "{writes:?}");
    assert!(writes.iter().filter(|write| write.ends_with("/rescan")).count() > 1, "it was escalated: {writes:?}");
    machine.status().stdout("0000:03:00.0: removed and not back; pcictl rescan 0000:03:00.0\n").check();
}

#[test]
fn a_driver_that_is_bound_during_a_removal_ends_it() {
    let machine = Machine::new("guest-switch8");
    let start = machine.functions();
    let ended = machine.run_with(&["remove", PORT], script(1, bind(ENDPOINT, "slowpci"), Fault::None, 0));
    let error = error(ended);
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(
        error.to_string(),
        "0000:03:00.0: driver slowpci was bound to it while it was being removed; all 2 steps were undone"
    );
    let document = serde_json::to_value(&error).unwrap();
    assert_eq!(document["hint"], "see what binds it (udev, driverctl), then try again");
    assert_eq!(machine.functions(), start);
    assert!(machine.is_settled() && machine.ledger().is_empty());
}

#[test]
fn nothing_is_begun_below_what_somebody_is_removing() {
    let machine = Machine::new("guest-switch8");
    let start = machine.functions();
    let files = ["/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/remove".to_owned()];
    let command = ["sh", "-c", "runbook"];
    write_task(
        &machine.tree,
        &Task { pid: 101, comm: "sh", command: &command, state: 'D', stack: REMOVER_DRAINS, files: &files },
    );
    fs::create_dir_all(machine.tree.path().join("proc/self")).unwrap();
    fs::write(machine.tree.path().join("proc/self/stack"), "").unwrap();
    let force = ["remove", "--force", "unchecked", "--yes", ENDPOINT];
    let error = error(machine.run(&force));
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("removing 0000:01:00.0"), "{error}");
    assert_eq!((machine.calls(), machine.functions()), (0, start));
    assert!(machine.is_settled() && machine.ledger().is_empty());
}

#[test]
fn a_reset_by_another_method_is_written_between_and_all_is_put_back() {
    let machine = Machine::prepared("guest-sriov", use_vfs);
    let start = (machine.functions(), machine.settings());
    let words = ["reset", "--force", "vfs", "--yes", "--method", "bus", "0000:01:00.0"];
    assert!(matches!(machine.run(&words), Ended::Well));
    let pf = "devices/pci0000:00/0000:00:01.0/0000:01:00.0";
    let writes = machine.writes();
    let at =
        |write: &str| writes.iter().position(|made| made == write).unwrap_or_else(|| panic!("{write}: {writes:?}"));
    let order = [
        at("0 > devices/pci0000:00/0000:00:01.0/0000:01:00.0/sriov_numvfs"),
        at("0000:01:00.0 > bus/pci/drivers/nvme/unbind"),
        at(&format!("bus > {pf}/reset_method")),
        at(&format!("1 > {pf}/reset")),
        // While VFs are on the bus, the kernel would not take this.
        at("flr bus > bus/pci/devices/0000:01:00.0/reset_method"),
        at("0000:01:00.0 > bus/pci/drivers/nvme/bind"),
        at("4 > bus/pci/devices/0000:01:00.0/sriov_numvfs"),
    ];
    assert!(order.is_sorted(), "{writes:?}");
    assert_eq!((machine.functions(), machine.settings()), start);
}

#[test]
fn a_reset_that_costs_the_device_its_addresses_ends_with_6() {
    let machine = Machine::new("guest-mixed");
    let tree = Rc::clone(&machine.tree);
    let file = tree.device("0000:02:00.0").join("resource");
    let lose = move |_: &FakeKernel| fs::write(&file, "0x0 0x0 0x0\n").unwrap();
    let script = Script { meanwhile: Some((1, Box::new(lose))), ..Script::new(Fault::None, 0, Comes::Same) };
    let Ended::Otherwise(code) = machine.run_with(&["reset", "0000:02:00.0"], script) else { panic!("all is well") };
    assert_eq!(code, ExitCode::from(6));
    assert!(machine.is_settled());
}

#[test]
fn a_reset_that_no_method_did_failed_and_the_driver_is_back() {
    let machine = Machine::new("guest-mixed");
    let start = machine.functions();
    let error = error(machine.run_at(&["reset", "0000:02:00.0"], Fault::Refused(Errno::ENOTTY), 1));
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(
        error.to_string(),
        "reset 0000:02:00.0: no method that the kernel tried worked; the one step was undone"
    );
    assert!(machine.functions() == start && machine.is_settled());
}

#[test]
fn a_driver_that_does_not_take_its_device_again_is_tried_once_more_by_recover() {
    let machine = Machine::new("guest-mixed");
    let start = machine.functions();
    let error = error(machine.run_at(&["reset", "0000:02:00.0"], Fault::Refused(Errno::EIO), 2));
    assert_eq!(error.kind(), ErrorKind::Partly, "{error}");
    assert!(error.to_string().starts_with("it is done, but not all was put back: bind 0000:02:00.0"), "{error}");
    assert!(!machine.is_settled() && machine.functions() != start);
    assert!(matches!(machine.run(&["recover"]), Ended::Well));
    assert!(machine.is_settled() && machine.functions() == start);
}

/// Where a write is among others.
fn at(writes: &[String], write: &str) -> usize {
    writes.iter().position(|made| made == write).unwrap_or_else(|| panic!("{write}: {writes:?}"))
}

#[test]
fn vfs_have_their_macs_before_drivers_may_ask_for_them() {
    let machine = Machine::prepared("guest-sriov", use_network_vfs);
    let words = ["sriov", "--settle", "0", "--mac", "1=02:00:00:00:01:01", PF, "2"];
    assert!(matches!(machine.run(&words), Ended::Well));
    let writes = machine.writes();
    let pf = "devices/pci0000:00/0000:00:01.0/0000:01:00.0";
    let order = [
        at(&writes, &format!("0 > {pf}/sriov_drivers_autoprobe")),
        at(&writes, &format!("2 > {pf}/sriov_numvfs")),
        at(&writes, &format!("vf 1 mac 02:00:00:00:01:01 > {pf}/net")),
        at(&writes, &format!("1 > {pf}/sriov_drivers_autoprobe")),
        at(&writes, "0000:01:00.1 > bus/pci/drivers_probe"),
    ];
    assert!(order.is_sorted(), "{writes:?}");
    assert!(matches!(machine.run(&words), Ended::Well));
    assert_eq!(machine.writes(), [""; 0], "all is so already");
}

#[test]
fn vfs_come_back_with_what_was_kept_for_them() {
    for words in [
        ["replug", "--settle", "0", "--restore", "--force", "vfs", "--yes", PF].as_slice(),
        &["reset", "--force", "vfs", "--yes", PF],
    ] {
        let machine = Machine::prepared("guest-sriov", use_network_vfs);
        let start = (machine.functions(), machine.settings());
        let ended = machine.run(words);
        assert!(matches!(ended, Ended::Well), "{words:?}: {ended:?}");
        assert_eq!((machine.functions(), machine.settings()), start, "{words:?}");
        let writes = machine.writes();
        let mac = writes.iter().rposition(|write| write.starts_with("vf 0 mac 02:00:00:00:00:10 > ")).unwrap();
        let is_bound = |write: &String| write.starts_with("0000:01:00.1 > ") && !write.ends_with("/unbind");
        assert!(writes.iter().position(is_bound).unwrap() > mac, "{words:?}: {writes:?}");
    }
}

#[test]
fn a_mac_that_the_driver_cannot_set_leaves_all_as_it_was() {
    let machine = Machine::prepared("guest-sriov", use_network_vfs);
    let start = (machine.functions(), machine.settings());
    let words = ["sriov", "--mac", "0=02:00:00:00:01:00", PF, "2"];
    // The eighth write creates the VFs.
    let error = error(machine.run_at(&words, Fault::Refused(Errno::EOPNOTSUPP), 8));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let said = "set the MAC of VF 0 of 0000:01:00.0 to 02:00:00:00:01:00: the driver of the physical function cannot do that; all ";
    assert!(error.to_string().starts_with(said), "{error}");
    assert_eq!((machine.functions(), machine.settings()), start);
    assert!(machine.is_settled());
}

#[test]
fn vfs_that_are_made_without_their_macs_are_told_and_can_be_restored() {
    let machine = Machine::prepared("guest-sriov", use_network_vfs);
    let start = (machine.functions(), machine.settings());
    assert!(matches!(machine.run(REMOVE_PF), Ended::Well));
    let Ended::Otherwise(code) = machine.run(&["rescan", "--settle", "0", PF]) else { panic!("nothing is lost") };
    assert_eq!(code, ExitCode::from(6));
    machine.kernel().write(&Action::set_vfs(PF.parse().unwrap(), 4, 0, false)).unwrap();
    let Ended::Otherwise(code) = machine.run(&["rescan", "--settle", "0", "--accept", "driver", PF]) else {
        panic!("the MACs are lost")
    };
    assert_eq!(code, ExitCode::from(6));
    machine.kernel().write(&Action::set_vfs(PF.parse().unwrap(), 0, 4, false)).unwrap();
    let ended = machine.run(&["sriov", "--settle", "0", "--restore", PF, "4"]);
    assert!(matches!(ended, Ended::Well), "{ended:?}");
    let mut now = (machine.functions(), machine.settings());
    // What it takes to have them is no part of them.
    for name in ["power/control", "sriov_numvfs"] {
        now.1.insert(format!("{PF}/{name}"), start.1[&format!("{PF}/{name}")].clone());
    }
    assert_eq!(now, start);
}
