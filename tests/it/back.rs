//! Bringing devices back: where a rescan looks for what is gone, and what it says of what came.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pcictl::host::sysfs::Sysfs;
use pcictl::host::uevent::UeventLog;
use pcictl::pci::address::PciAddress;
use pcictl::pci::place::Place;
use pcictl::report::change::RescanReport;
use pcictl::state::ledger::Ledger;
use pcictl::topology::fields::Fields;
use pcictl::topology::model::Topology;
use pcictl::verify::capture::Observer;
use pcictl::verify::compare::DifferenceKind;
use pcictl::verify::overrides::Overrides;
use pcictl::verify::readiness::{Awaited, Readiness};
use pcictl::verify::record::{DeviceRecord, RemovedDevice};
use pcictl::verify::verdict::{CloseReason, Comparison, ComparisonInput, compare_all};
use tempfile::TempDir;

use crate::support::run::Run;
use crate::support::{Tree, scratch_directory};

/// Every function of a tree, in full.
fn records(tree: &Tree) -> Vec<DeviceRecord> {
    let sysfs = Sysfs::open(Some(tree.path())).unwrap();
    let topology = Topology::load_all(&sysfs, Fields::ALL).unwrap();
    let mut observer = Observer::new(&sysfs);
    let mut record = |id| observer.record(&topology, id, &Overrides::new());
    topology.by_address().into_iter().map(&mut record).collect()
}

fn entry(record: DeviceRecord) -> RemovedDevice {
    let top = record.place.clone();
    RemovedDevice::new(record, top, 1_700_000_000)
}

/// A state directory whose ledger knows the functions of a tree that are named.
pub fn ledger_of(tree: &Tree, addresses: &[&str]) -> TempDir {
    let state = scratch_directory();
    let known = records(tree).into_iter().filter(|record| addresses.contains(&record.address.to_string().as_str()));
    Ledger::below(state.path()).save(&known.map(entry).collect::<Vec<_>>()).unwrap();
    state
}

/// `pcictl rescan --dry-run`.
fn rescan(tree: &Tree, state: &Path, arguments: &[&str]) -> Run {
    Run::new(["rescan", "-n"]).and(arguments).on(tree).state_dir(state)
}

#[test]
fn what_is_gone_is_looked_for_where_the_ledger_says_it_was() {
    let tree = Tree::load("guest-switch8");
    let state = ledger_of(&tree, &["0000:03:00.0"]);
    tree.remove("0000:03:00.0");
    rescan(&tree, state.path(), &["0000:03:00.0"])
        .stdout(
            "\
would scan bus 0000:03: 0000:03:00.0 was at pci0000:00/01.0/00.0/00.0/00.0, says the ledger
locks  0000:01:00.0 exclusive; 3 above it shared
steps:
    1  rescan bus 0000:03
dry run: nothing was changed
",
        )
        .check();
}

#[test]
fn a_removed_switch_comes_back_by_any_address_below_it() {
    let tree = Tree::load("guest-switch8");
    let all: Vec<String> = records(&tree).iter().map(|record| record.address.to_string()).collect();
    let state = ledger_of(&tree, &all.iter().map(String::as_str).collect::<Vec<_>>());
    tree.remove("0000:01:00.0");
    rescan(&tree, state.path(), &["0000:05:00.0"])
        .stdout(
            "\
would scan bus 0000:01: 0000:05:00.0 was at pci0000:00/01.0/00.0/02.0/00.0, says the ledger, and \
    pci0000:00/01.0 is the nearest to it that is still there
locks  pci0000:00 exclusive; 1 above it shared
steps:
    1  rescan bus 0000:01
dry run: nothing was changed
",
        )
        .check();
    rescan(&tree, state.path(), &["0000:02:03.0"])
        .stdout(
            "\
would scan bus 0000:01: 0000:02:03.0 was at pci0000:00/01.0/00.0/03.0, says the ledger, and pci0000:00/01.0 \
    is the nearest to it that is still there
locks  pci0000:00 exclusive; 1 above it shared
steps:
    1  rescan bus 0000:01
dry run: nothing was changed
",
        )
        .check();
    rescan(&tree, state.path(), &["0000:01:00.0"])
        .stdout(
            "\
would scan bus 0000:01: 0000:01:00.0 was at pci0000:00/01.0/00.0, says the ledger
locks  pci0000:00 exclusive; 1 above it shared
steps:
    1  rescan bus 0000:01
dry run: nothing was changed
",
        )
        .check();
}

#[test]
fn an_address_that_the_ledger_does_not_know_goes_by_its_number() {
    let tree = Tree::load("guest-switch8");
    let state = scratch_directory();
    tree.remove("0000:03:00.0");
    rescan(&tree, state.path(), &["0000:03:00.0"])
        .stdout(
            "\
would scan bus 0000:03: 0000:03:00.0 is not there, and the ledger does not know it; this is its bus
locks  0000:01:00.0 exclusive; 3 above it shared
steps:
    1  rescan bus 0000:03
dry run: nothing was changed
",
        )
        .check();
}

#[test]
fn two_that_answered_at_the_same_address_are_told_apart_by_whoever_asks() {
    let tree = Tree::load("guest-switch8");
    let state = ledger_of(&tree, &["0000:03:00.0"]);
    let mut other = records(&tree).into_iter().find(|r| r.address.to_string() == "0000:03:00.0").unwrap();
    other.place = Place::from_chain("pci0000:00/01.0/00.0/07.0/00.0").unwrap();
    Ledger::below(state.path()).save(&[entry(other)]).unwrap();
    tree.remove("0000:03:00.0");
    rescan(&tree, state.path(), &["0000:03:00.0"])
        .stderr(
            "pcictl: 0000:03:00.0: the ledger knows 2 devices that answered there, at pci0000:00/01.0/00.0/00.0/00.0 \
    and pci0000:00/01.0/00.0/07.0/00.0\nhint: name the bridge that you mean\n",
        )
        .status(2)
        .check();
}

/// Whoever scans by hand under `pcictl lock` must hold what a scan there needs, wherever its number would lead.
#[test]
fn lock_takes_what_rescan_would() {
    let tree = Tree::load("guest-switch8");
    let state = scratch_directory();
    let mut moved = records(&tree).into_iter().find(|r| r.address.to_string() == "0000:03:00.0").unwrap();
    moved.place = Place::from_chain("pci0000:00/01.0/00.0/01.0/00.0").unwrap();
    Ledger::below(state.path()).save(&[entry(moved)]).unwrap();
    tree.remove("0000:03:00.0");
    let locks = |text: String| text.lines().find(|line| line.starts_with("locks")).map(str::to_owned);
    let rescanned = locks(rescan(&tree, state.path(), &["0000:03:00.0"]).text());
    assert_eq!(rescanned.as_deref(), Some("locks  0000:02:01.0 exclusive; 4 above it shared"));
    let lock = Run::words("lock -n 0000:03:00.0 -- true").on(&tree).state_dir(state.path());
    assert_eq!(locks(lock.stderr_like("pcictl: [..] says the ledger; locking [..]\n").text()), rescanned);
    let hint = "pcictl: 0000:03:00.0: no such device\nhint: pcictl rescan 0000:03:00.0 may bring it back; pcictl list shows what is there\n";
    Run::words("show 0000:03:00.0").on(&tree).state_dir(state.path()).stderr_like(hint).status(3).check();
}

#[test]
fn a_range_that_ends_at_the_last_number_is_one_and_a_bridge_that_does_not_answer_has_none() {
    let tree = Tree::load("guest-switch8");
    let state = scratch_directory();
    let bridge = tree.path().join("sys/bus/pci/devices/0000:01:00.0").canonicalize().unwrap();
    let mut config = [0; 64];
    config[..4].copy_from_slice(&[0x86, 0x80, 0x25, 0xa6]);
    config[0x1a] = 0xff;
    fs::write(bridge.join("config"), config).unwrap();
    let text = rescan(&tree, state.path(), &["0000:f0:00.0"]).text();
    assert!(text.starts_with("would scan bus 0000:02: "), "{text}");
    fs::write(bridge.join("config"), [0xff; 64]).unwrap();
    rescan(&tree, state.path(), &["0000:f0:00.0"])
        .stderr(
            "pcictl: 0000:f0:00.0: no such device; the ledger does not know it, and nothing leads to bus 0000:f0\nhint: \
             pcictl rescan --all scans every bus; pcictl tree shows what there is\n",
        )
        .status(3)
        .check();
}

#[test]
fn an_empty_slot_is_scanned_by_its_name() {
    let tree = Tree::load("guest-switch8");
    fs::create_dir_all(tree.path().join("sys/bus/pci/slots/7")).unwrap();
    tree.edit("sys/bus/pci/slots/7/address", "0000:03:00\n");
    let state = ledger_of(&tree, &["0000:03:00.0"]);
    tree.remove("0000:03:00.0");
    for arguments in [&["--slot", "7"][..], &["slot:7"]] {
        rescan(&tree, state.path(), arguments)
            .stdout(
                "\
would scan bus 0000:03: slot 7 is on it
locks  0000:01:00.0 exclusive; 3 above it shared
steps:
    1  rescan bus 0000:03
dry run: nothing was changed
",
            )
            .check();
    }
    // The slot went with its port; the ledger still knows what sat in it.
    tree.remove("0000:02:00.0");
    fs::remove_dir_all(tree.path().join("sys/bus/pci/slots/7")).unwrap();
    rescan(&tree, state.path(), &["--slot", "7"])
        .stdout(
            "\
would scan bus 0000:02: 0000:03:00.0 was at pci0000:00/01.0/00.0/00.0/00.0, says the ledger, and \
    pci0000:00/01.0/00.0 is the nearest to it that is still there
locks  0000:01:00.0 exclusive; 3 above it shared
steps:
    1  rescan bus 0000:02
dry run: nothing was changed
",
        )
        .check();
    rescan(&tree, state.path(), &["--slot", "8"])
        .stderr(
            "pcictl: slot 8: no slot has that name now, and the ledger knows none\nhint: pcictl slot list shows what there \
             is\n",
        )
        .status(3)
        .check();
}

#[test]
fn a_torn_entry_stays_where_it_is_and_a_look_goes_on_without_it() {
    let tree = Tree::load("guest-switch8");
    let state = ledger_of(&tree, &["0000:03:00.0"]);
    let file = state.path().join("ledger/pci0000:00+01.0+00.0+00.0+00.0@1700000000.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    tree.remove("0000:03:00.0");
    rescan(&tree, state.path(), &["0000:03:00.0"])
        .stdout(
            "\
would scan bus 0000:03: 0000:03:00.0 is not there, and the ledger does not know it; this is its bus
locks  0000:01:00.0 exclusive; 3 above it shared
steps:
    1  rescan bus 0000:03
dry run: nothing was changed
",
        )
        .stderr(
            "\
pcictl: @state/ledger/pci0000:00+01.0+00.0+00.0+00.0@1700000000.json: invalid ledger entries of one removal: not a record \
    that pcictl wrote (line 16, column 2); continuing without it
",
        )
        .check();
}

#[test]
fn a_look_at_the_machine_reports_a_torn_entry_each_time() {
    let state = scratch_directory();
    let ledger = state.path().join("ledger");
    fs::create_dir(&ledger).unwrap();
    fs::write(ledger.join("pci0000:00+01.0.json"), "{").unwrap();
    let invalid = "@state/ledger/pci0000:00+01.0.json: invalid ledger entry: not a record that pcictl wrote \
                   (line 1, column 1)\n";
    for _ in 0..2 {
        Run::new(["status"]).tree("guest-switch8").state_dir(state.path()).stdout(invalid).status(5).check();
        Run::new(["doctor"])
            .tree("guest-switch8")
            .state_dir(state.path())
            .stdout(format!(
                "warning: {invalid}  fix: the next command that changes something moves a damaged file out of the way\n\
                 healthy, with warnings\n"
            ))
            .status(1)
            .check();
    }
}

/// What a rescan would say if the machine was `before` when these were removed, and is `after` now.
fn verdict(before: &Tree, after: &Tree, accepted: &[DifferenceKind]) -> (Comparison, String) {
    let entries: Vec<RemovedDevice> = records(before).into_iter().map(entry).collect();
    let after: BTreeMap<PciAddress, DeviceRecord> = records(after).into_iter().map(|now| (now.address, now)).collect();
    let before = BTreeMap::new();
    let verdict =
        compare_all(&ComparisonInput { before: &before, after: &after, entries: &entries, wanted: &[], accepted });
    let report = RescanReport { differences: verdict.findings.clone(), ..RescanReport::default() };
    let text = pcictl::report::text::change::rescanned(&report);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    (verdict, lines.join("\n"))
}

#[test]
fn a_link_that_came_back_worse_is_told_and_so_is_what_went_with_it() {
    let (before, after) = (Tree::shared("degraded-before"), Tree::shared("degraded-after"));
    let (verdict, text) = verdict(before, after, &[]);
    assert_eq!(
        text,
        "  ! 0000:01:00.0 link: 16 GT/s x16 -> 2.5 GT/s x1\n  \
           ! 0000:02:00.0 link: 16 GT/s x16 -> 2.5 GT/s x1\n  \
           ! 0000:02:00.0 BAR 0: 32 MiB -> not assigned\n  \
           ! 0000:02:00.0 net: ens2np0 -> none"
    );
    assert!(verdict.matters());
    let ended: Vec<String> = verdict.ended.iter().map(|(place, _)| place.to_string()).collect();
    assert!(!ended.iter().any(|place| place.contains("02.0/00.0")), "it is not back yet: {ended:?}");
}

#[test]
fn what_is_accepted_ends_the_entry_and_does_not_matter() {
    let (before, after) = (Tree::shared("degraded-before"), Tree::shared("degraded-after"));
    let (verdict, text) = verdict(before, after, &[DifferenceKind::Link, DifferenceKind::Bars, DifferenceKind::Names]);
    assert!(!verdict.matters() && text.contains("  ~ 0000:01:00.0 link: 16 GT/s x16 -> 2.5 GT/s x1"), "{text}");
    let ended = verdict.ended.iter().filter(|(_, ended)| *ended == CloseReason::Accepted).count();
    assert_eq!(ended, 2);
}

#[test]
fn a_machine_as_it_was_has_nothing_to_tell() {
    for name in ["degraded-before", "guest-switch8", "guest-sriov", "gpu-server", "vmd"] {
        let tree = Tree::shared(name);
        let (verdict, text) = verdict(tree, tree, &[]);
        assert_eq!(text, "", "{name}");
        assert!(!verdict.matters() && verdict.findings.is_empty(), "{name}: {:?}", verdict.findings);
    }
}

#[test]
fn a_card_that_hotplug_found_in_another_slot_has_moved() {
    let here = was(Tree::shared("guest-mixed"), "0000:02:00.0");
    let there = Place::from_chain("pci0000:00/09.0/00.0").unwrap();
    let now = DeviceRecord { place: there, ..here.clone() };
    let entries = [entry(here)];
    // It was there before the scan already, which is why nothing came.
    let map: BTreeMap<PciAddress, DeviceRecord> = [(now.address, now)].into();
    let verdict =
        compare_all(&ComparisonInput { before: &map, after: &map, entries: &entries, wanted: &[], accepted: &[] });
    let kinds: Vec<(DifferenceKind, &str)> = verdict.findings.iter().map(|f| (f.kind, f.what.as_str())).collect();
    assert_eq!(kinds, [(DifferenceKind::Moved, "place")]);
}

#[test]
fn of_a_missing_switch_only_the_top_is_told() {
    let (before, after) = (Tree::shared("guest-switch8"), Tree::load("guest-switch8"));
    after.remove("0000:01:00.0");
    let (verdict, text) = verdict(before, &after, &[]);
    assert_eq!(text, "  ! 0000:01:00.0 104c:8232: removed and not back");
    assert_eq!(verdict.findings.len(), 17);
}

#[test]
fn a_bus_is_reset_only_if_nothing_else_is_on_it() {
    let tree = Tree::load("guest-mixed");
    for address in ["0000:05:00.0", "0000:01:00.0"] {
        fs::remove_file(tree.device(address).join("reset")).unwrap();
    }
    let reset = |address: &str| Run::new(["replug", "-n", "--reset", address]).on(&tree);
    reset("0000:01:00.0")
        .stderr(
            "pcictl: 0000:01:00.0: --reset is not possible: the kernel offers no reset of it, nor of the bus it sits on\n\
             hint: try --power-cycle, or replug without either\n",
        )
        .status(1)
        .check();
    for port in ["0000:00:01.0", "0000:00:05.0"] {
        fs::write(tree.device(port).join("reset_subordinate"), "").unwrap();
    }
    reset("0000:01:00.0")
        .stdout(
            "\
would remove 0000:01:00.0: Non-Volatile memory controller, Red Hat, Inc. QEMU NVM Express Controller
goes away   0000:01:00.0: nvme0n1
would scan bus 0000:01: 0000:01:00.0 sits on it
note        the dumped tree has no proc: mounts, addresses and open files cannot be told
locks  pci0000:00 exclusive; 1 above it shared
steps:
    1  unbind 0000:01:00.0 from nvme
    2  reset the bus below 0000:00:01.0  (after 1)
    3  remove 0000:01:00.0  (after 1-2)
    4  rescan bus 0000:01  (after 1-3)
dry run: nothing was changed
",
        )
        .check();
    reset("0000:05:00.0")
        .stderr(
            "pcictl: 0000:05:00.0: --reset is not possible: only its bus can be reset, and that would reset \
             0000:05:00.1, too\nhint: name 0000:05:00.1 as well\n",
        )
        .status(4)
        .check();
}

/// What a function of a tree lacks, if it was as in this record.
fn lack(tree: &Tree, address: &str, was: Option<&DeviceRecord>) -> Option<String> {
    let sysfs = Sysfs::open(Some(tree.path())).unwrap();
    let topology = Topology::load_all(&sysfs, Fields::ALL).unwrap();
    let id = topology.find(address.parse().unwrap()).unwrap();
    let awaited = Awaited { topology: &topology, id, was, came: true };
    let pending = Readiness::new(&sysfs).pending(&awaited, &UeventLog::default());
    pending.map(|lack| lack.to_string())
}

fn was(tree: &Tree, address: &str) -> DeviceRecord {
    records(tree).into_iter().find(|record| record.address.to_string() == address).unwrap()
}

#[test]
fn a_function_without_its_driver_is_not_ready() {
    let tree = Tree::load("guest-mixed");
    let (address, edu) = ("0000:01:00.0", "0000:05:00.0");
    let known = was(&tree, address);
    assert_eq!(lack(&tree, address, Some(&known)), None);
    fs::remove_file(tree.device(address).join("driver")).unwrap();
    assert_eq!(lack(&tree, address, Some(&known)).as_deref(), Some("0000:01:00.0: driver nvme"));
    // It never had one: nothing to wait for.
    assert_eq!(lack(&tree, address, Some(&DeviceRecord { driver: None, ..known.clone() })), None);
    // Nobody knows it: then the modules tell whether there is a driver for it.
    assert_eq!(lack(&tree, address, None), None);
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let modules = tree.path().join("lib/modules").join(release);
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("modules.alias"), "alias pci:v*d*sv*sd*bc01sc08i02* nvme\n").unwrap();
    assert_eq!(lack(&tree, address, None).as_deref(), Some("0000:01:00.0: driver (nvme)"));
    fs::remove_file(tree.device(edu).join("driver")).unwrap();
    assert_eq!(lack(&tree, edu, None), None, "no module is for it");
}

#[test]
fn a_disk_is_ready_when_its_controller_is_live_and_all_its_names_are_there() {
    let tree = Tree::load("guest-mixed");
    let address = "0000:01:00.0";
    let mut known = was(&tree, address);
    let controller = tree.device(address).join("nvme/nvme0");
    for state in ["new", "connecting", "resetting"] {
        fs::write(controller.join("state"), format!("{state}\n")).unwrap();
        assert_eq!(lack(&tree, address, Some(&known)), Some(format!("0000:01:00.0: nvme0 is {state}")));
    }
    for state in ["live", "dead"] {
        fs::write(controller.join("state"), format!("{state}\n")).unwrap();
        assert_eq!(lack(&tree, address, Some(&known)), None);
    }
    known.names.insert("block".into(), vec!["nvme0n1".into(), "nvme0n2".into()]);
    assert_eq!(lack(&tree, address, Some(&known)).as_deref(), Some("0000:01:00.0: block nvme0n1 nvme0n2"));
}

#[test]
fn an_interface_is_ready_when_udev_is_done_with_it() {
    let tree = Tree::load("guest-mixed");
    let address = "0000:02:00.0";
    let known = was(&tree, address);
    let name = &known.names["net"][0];
    fs::create_dir_all(tree.path().join("run/udev/data")).unwrap();
    tree.edit("run/udev/control", "");
    tree.edit(&format!("sys/class/net/{name}/ifindex"), "7\n");
    assert_eq!(lack(&tree, address, Some(&known)), Some(format!("{address}: udev is not done with {name}")));
    tree.edit("run/udev/data/n7", "I:1\n");
    assert_eq!(lack(&tree, address, Some(&known)), None);
}
