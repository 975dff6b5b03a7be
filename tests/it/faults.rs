//! Everything that can go wrong at every call to the kernel, against a kernel made of files: no panic, a documented
//! status, and a journal from which the machine is brought to the planned end or back to its start.

mod answers;
mod machine;
mod power_loss;
mod recovery;
mod records;

use std::collections::BTreeMap;
use std::process::ExitCode;

use machine::{Ended, Functions, Machine, bind, quiet_crashes, set, set_link};
use nix::errno::Errno;
use pcictl::error::ErrorKind;
use pcictl::plan::action::Action;
use serde_json::Value;

use crate::support::dump::Dump;
use crate::support::fake::{Comes, Fault, Script};

/// Every kind of fault. EINTR and a short write are the writer's own business and come out as these.
const FAULTS: [Fault; 15] = [
    Fault::NotBegun(Errno::EAGAIN),
    Fault::NotBegun(Errno::ENOMEM),
    Fault::NotBegun(Errno::ENOENT),
    Fault::Refused(Errno::EIO),
    Fault::Refused(Errno::ENOSPC),
    Fault::Refused(Errno::EBUSY),
    Fault::Refused(Errno::ENODEV),
    Fault::Refused(Errno::EACCES),
    Fault::Vanished,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Interrupted,
    Fault::InterruptedBefore,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// What is done to a machine.
struct Work {
    tree: &'static str,
    prepare: fn(&mut Dump),
    /// What was done there before, and went well.
    before: &'static [&'static str],
    words: &'static [&'static str],
    comes: Comes,
}

impl Work {
    const fn new(tree: &'static str, words: &'static [&'static str]) -> Self {
        Self { tree, prepare: |_| (), before: &[], words, comes: Comes::Same }
    }

    fn machine(&self) -> Machine {
        let machine = Machine::prepared(self.tree, self.prepare);
        if !self.before.is_empty() {
            assert!(matches!(machine.run(self.before), Ended::Well), "{:?}", self.before);
        }
        machine
    }

    fn script(&self, fault: Fault, at: usize) -> Script {
        let keeps_drivers = self.words.contains(&"--keep-driver");
        Script { keeps_drivers, ..Script::new(fault, at, self.comes) }
    }

    /// Every fault; where a removal is only the way to something else, one errno stands for all of its kind.
    fn faults(&self) -> impl Iterator<Item = Fault> {
        let is_plain = !self.words.iter().any(|word| word.starts_with("--") && *word != "--settle");
        let is_of_its_kind = |fault: &Fault| match fault {
            Fault::NotBegun(errno) | Fault::Refused(errno) => {
                [Errno::EAGAIN, Errno::EIO, Errno::ENODEV].contains(errno)
            }
            _ => true,
        };
        FAULTS.into_iter().filter(move |fault| is_plain || is_of_its_kind(fault))
    }

    /// Whether what it ends with is compared with what was before.
    fn compares(&self) -> bool {
        matches!(self.words[0], "rescan" | "replug" | "reset") || self.words[..2] == ["slot", "on"]
    }

    fn overrides(&self) -> bool {
        self.words[0] == "override"
    }

    fn is_of_vfs(&self) -> bool {
        self.tree == "guest-sriov"
    }

    fn changes_vfs(&self) -> bool {
        self.words[0] == "sriov"
    }

    fn restores(&self) -> bool {
        self.words.contains(&"--restore")
    }
}

const REMOVE_PF: &[&str] = &["remove", "--force", "vfs", "--yes", "0000:01:00.0"];

/// A port with one endpoint, a PF with its VFs, an empty place, a slot, and all that a device can be helped with.
static WORK: [Work; 42] = [
    Work::new("guest-switch8", &["remove", "0000:02:00.0"]),
    Work::new("guest-sriov", &["remove", "0000:01:00.0"]),
    Work::new("guest-switch8", &["remove", "0000:03:00.0", "0000:04:00.0"]),
    Work::new("guest-switch8", &["rescan", "--settle", "0", "0000:02:00.0"]),
    Work::new("guest-switch8", &["replug", "--settle", "0", "0000:03:00.0"]),
    Work { prepare: use_network_vfs, ..Work::new("guest-sriov", REMOVE_PF) },
    Work {
        prepare: use_vfs,
        before: REMOVE_PF,
        ..Work::new("guest-sriov", &["rescan", "--settle", "0", "--restore", "0000:01:00.0"])
    },
    Work {
        prepare: use_network_vfs,
        ..Work::new("guest-sriov", &["replug", "--settle", "0", "--restore", "--force", "vfs", "--yes", "0000:01:00.0"])
    },
    Work {
        prepare: override_driver,
        ..Work::new("guest-mixed", &["replug", "--settle", "0", "--restore", "0000:05:00.0"])
    },
    Work::new("guest-mixed", &["replug", "--settle", "0", "--power-cycle", "0000:01:00.0"]),
    Work::new("guest-switch8", &["replug", "--settle", "0", "--reset", "0000:03:00.0"]),
    Work {
        prepare: offer_reset_below,
        comes: Comes::Late(3),
        ..Work::new("guest-switch8", &["replug", "--settle", "0", "--escalate", "0000:03:00.0"])
    },
    Work::new("guest-switch8", &["replug", "--settle", "0", "--escalate", "0000:03:00.0"]),
    Work::new("guest-switch8", &["unbind", "0000:03:00.0", "0000:04:00.0"]),
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["unbind", "--force", "vfs", "--yes", "0000:01:00.0"]) },
    Work {
        before: &["unbind", "0000:03:00.0"],
        ..Work::new("guest-switch8", &["bind", "--driver", "slowpci", "0000:03:00.0"])
    },
    Work { prepare: offer_vfio, ..Work::new("guest-switch8", &["override", "0000:03:00.0", "vfio-pci"]) },
    Work { prepare: override_driver, ..Work::new("guest-mixed", &["override", "--clear", "0000:05:00.0"]) },
    Work { prepare: use_network_vfs, ..Work::new("guest-sriov", &["sriov", "--off", PF]) },
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["sriov", PF, "2"]) },
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["sriov", "--driver", "vfio-pci", PF, "3"]) },
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["sriov", "--driver", "vfio-pci", PF, "4"]) },
    Work {
        prepare: use_vfs,
        before: &["sriov", "--off", PF],
        ..Work::new("guest-sriov", &["sriov", "--settle", "0", PF, "4"])
    },
    Work { prepare: use_vfs, before: &["sriov", PF, "2"], ..Work::new("guest-sriov", &["sriov", PF, "4"]) },
    Work {
        prepare: use_vfs,
        before: &["sriov", "--autoprobe", "off", PF, "2"],
        ..Work::new("guest-sriov", &["sriov", "--autoprobe", "on", PF, "3"])
    },
    Work {
        prepare: use_network_vfs,
        ..Work::new("guest-sriov", &["sriov", "--mac", "0=02:00:00:00:01:00,1=02:00:00:00:01:01", PF, "2"])
    },
    Work {
        prepare: use_network_vfs,
        ..Work::new("guest-sriov", &["sriov", "--mac", "1=02:00:00:00:01:00", "--mac", "2=02:00:00:00:01:01", PF])
    },
    Work { prepare: use_network_vfs, ..Work::new("guest-sriov", &["sriov", "--restore", PF, "3"]) },
    Work {
        prepare: use_network_vfs,
        ..Work::new("guest-sriov", &["sriov", "--restore", "--autoprobe", "off", PF, "3"])
    },
    Work::new("guest-switch8", &["reset", "0000:03:00.0"]),
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["reset", "--force", "vfs", "--yes", "0000:01:00.0"]) },
    Work::new("guest-mixed", &["reset", "0000:01:00.0", "0000:02:00.0"]),
    Work::new("guest-mixed", &["reset", "--method", "bus", "0000:02:00.0"]),
    Work::new("guest-mixed", &["reset", "--keep-driver", "--method", "bus", "0000:02:00.0"]),
    Work {
        prepare: offer_sleep,
        ..Work::new("guest-mixed", &["power", "--runtime", "auto", "--d3cold", "off", "--wakeup", "on", "0000:02:00.0"])
    },
    Work::new("guest-switch8", &["slot", "off", "0"]),
    Work::new("guest-mixed", &["slot", "off", "0-5"]),
    Work { prepare: use_vfs, ..Work::new("guest-sriov", &["slot", "off", "--force", "vfs", "--yes", "0"]) },
    Work { before: &["slot", "off", "0"], ..Work::new("guest-switch8", &["slot", "on", "--settle", "0", "0"]) },
    Work {
        prepare: override_driver,
        before: &["slot", "off", "0-5"],
        ..Work::new("guest-mixed", &["slot", "on", "--settle", "0", "--restore", "0-5"])
    },
    Work::new("slots", &["slot", "identify", "--for", "0", "2"]),
    Work::new("slots", &["slot", "identify", "3"]),
];

const PF: &str = "0000:01:00.0";

/// VFs at work, one of them with a driver that only an override brings, and a PF that may sleep.
fn use_vfs(dump: &mut Dump) {
    let port = "sys/devices/pci0000:00/0000:00:01.0";
    set(dump, &format!("{port}/0000:01:00.0/sriov_drivers_autoprobe"), "1\n");
    set(dump, &format!("{port}/0000:01:00.0/power/control"), "auto\n");
    for driver in ["vfdriver", "vfio-pci"] {
        set(dump, &format!("sys/bus/pci/drivers/{driver}/bind"), "");
    }
    for vf in 1..=4 {
        let device = format!("{port}/0000:01:00.{vf}");
        // Of a class from which nobody expects a disk.
        set(dump, &format!("{device}/class"), "0x00ff00\n");
        set(dump, &format!("{device}/modalias"), "pci:v00001B36d00000010sv00001AF4sd00001100bc00scFFi00\n");
        bind(dump, &device, if vf == 2 { "vfio-pci" } else { "vfdriver" });
    }
    set(dump, &format!("{port}/0000:01:00.2/driver_override"), "vfio-pci\n");
}

/// The same of a network card: it keeps MACs and more for its VFs.
fn use_network_vfs(dump: &mut Dump) {
    use_vfs(dump);
    let device = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
    set(dump, &format!("{device}/class"), "0x020000\n");
    set(dump, &format!("{device}/modalias"), "pci:v00001B36d00000010sv00001AF4sd00001100bc02sc00i00\n");
    for (file, value) in [("ifindex", "2"), ("addr_len", "6")] {
        set(dump, &format!("{device}/net/eth0/{file}"), &format!("{value}\n"));
    }
    set_link(dump, &format!("{device}/net/eth0/subsystem"), "../../../../../../class/net");
    set(dump, "sys/bus/pci/drivers/netdriver/bind", "");
    dump.0.remove(std::path::Path::new("sys/bus/pci/drivers/nvme/0000:01:00.0"));
    bind(dump, device, "netdriver");
    let settings = |vf: u32| {
        let (trust, last) = if vf == 1 { ("on", 1) } else { ("off", 0) };
        let mac = if vf < 2 { format!("02:00:00:00:00:1{last}") } else { "00:00:00:00:00:00".to_owned() };
        format!(
            "vf {vf} mac {mac}\nvf {vf} vlan 0 qos 0 proto 802.1Q\nvf {vf} spoofchk on\nvf {vf} trust {trust}\n\
             vf {vf} state auto\nvf {vf} min_tx_rate 0 max_tx_rate 0\n"
        )
    };
    set(dump, &format!("rtnetlink/vfs/{PF}"), &(0..4).map(settings).collect::<String>());
}

/// A function with a driver that only an override brings.
fn override_driver(dump: &mut Dump) {
    let device = "sys/devices/pci0000:00/0000:00:05.0/0000:05:00.0";
    set(dump, "sys/bus/pci/drivers/vfio-pci/bind", "");
    set(dump, &format!("{device}/driver_override"), "vfio-pci\n");
    dump.0.remove(std::path::Path::new("sys/bus/pci/drivers/slowpci/0000:05:00.0"));
    bind(dump, device, "vfio-pci");
}

/// A driver that takes nothing but what it is told to.
fn offer_vfio(dump: &mut Dump) {
    set(dump, "sys/bus/pci/drivers/vfio-pci/bind", "");
    set(dump, "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0/driver_override", "(null)\n");
}

/// A function that can wake the machine.
fn offer_sleep(dump: &mut Dump) {
    let device = "sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0";
    for (file, value) in [("power/control", "on"), ("d3cold_allowed", "1"), ("power/wakeup", "disabled")] {
        set(dump, &format!("{device}/{file}"), &format!("{value}\n"));
    }
}

/// A kernel that can reset the bus below a port.
fn offer_reset_below(dump: &mut Dump) {
    set(dump, "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/reset_subordinate", "");
}

fn documented(fault: Fault, kind: ErrorKind) -> bool {
    match fault {
        Fault::Interrupted | Fault::InterruptedBefore => kind == ErrorKind::Interrupted,
        Fault::Refused(Errno::EACCES) => matches!(kind, ErrorKind::NotPermitted | ErrorKind::Partly),
        // What the kernel answers for a driver that cannot create VFs.
        Fault::NotBegun(Errno::ENOENT) | Fault::Refused(Errno::ENOENT) => {
            matches!(kind, ErrorKind::Failed | ErrorKind::Partly | ErrorKind::Unsupported)
        }
        _ => matches!(kind, ErrorKind::Failed | ErrorKind::Partly),
    }
}

/// A machine as it is when nothing goes wrong: before it all, before the command, and after it.
struct Course {
    whole: Functions,
    start: Functions,
    settings: BTreeMap<String, String>,
    end: Functions,
    end_settings: BTreeMap<String, String>,
    calls: usize,
}

impl Course {
    fn of(work: &Work) -> Self {
        let whole = Machine::prepared(work.tree, work.prepare).functions();
        let machine = work.machine();
        let (start, settings) = (machine.functions(), machine.settings());
        let ended = machine.run_with(work.words, work.script(Fault::None, 0));
        assert!(matches!(ended, Ended::Well), "{:?} without any fault: {ended:?}", work.words);
        let (calls, end, end_settings) = (machine.calls(), machine.functions(), machine.settings());
        assert!(calls > 0 && machine.is_settled(), "{:#?}", machine.journals().list());
        let gone: Vec<&String> = whole.keys().filter(|function| !end.contains_key(*function)).collect();
        let known = machine.ledger();
        assert!(gone.iter().filter(|gone| !machine.is_virtual(gone)).all(|gone| known.contains(*gone)), "{known:?}");
        assert!(known.iter().all(|known| gone.contains(&known)), "{:?}: still waited for: {known:?}", work.words);
        Self { whole, start, settings, end, end_settings, calls }
    }
}

/// Several tests, for it takes long and there are several processors.
#[test]
fn every_fault_at_every_call_is_answered_and_can_be_recovered_from() {
    try_each(WORK.iter().filter(|work| !work.is_of_vfs()));
}

#[test]
fn every_fault_at_every_call_where_vfs_are_is_answered_and_can_be_recovered_from() {
    try_each(WORK.iter().filter(|work| work.is_of_vfs()).step_by(2));
}

#[test]
fn every_fault_at_every_call_where_other_vfs_are_is_answered_and_can_be_recovered_from() {
    try_each(WORK.iter().filter(|work| work.is_of_vfs()).skip(1).step_by(2));
}

fn try_each(works: impl Iterator<Item = &'static Work>) {
    quiet_crashes();
    let mut tried = 0;
    for work in works {
        let course = Course::of(work);
        let mut machine = Some(work.machine());
        for fault in work.faults() {
            for at in 0..course.calls {
                tried += 1;
                let used = machine.take().unwrap_or_else(|| work.machine());
                one(&used, work, fault, at, &course);
                let may_be_used = work.before.is_empty();
                machine = may_be_used.then(|| used.reused(&course.settings, &course.start)).flatten();
            }
        }
        println!("{:?}: {} faults at each of {} calls", work.words, work.faults().count(), course.calls);
    }
    println!("{tried} faults");
}

fn one(machine: &Machine, work: &Work, fault: Fault, at: usize, course: &Course) {
    let what = format!("{:?} with {fault:?} at call {at}", work.words);
    let ended = machine.run_with(work.words, work.script(fault, at));
    check_end(&ended, machine, work, fault, course, &what);
    if fault == Fault::Vanished {
        // What went away by itself cannot be put back, and no part of it may be made up.
        let _ = machine.run(&["recover"]);
        return;
    }
    if !matches!(ended, Ended::Crashed) {
        check_ledger(machine, course, &what);
    }
    let changed = machine.functions();
    let recovered = machine.run(&["recover"]);
    assert!(matches!(recovered, Ended::Well), "{what}: recover: {recovered:?}; it was {changed:?}");
    let is_reported = matches!(ended, Ended::Otherwise(_));
    ask_again(machine, work, &ended);
    check_recovered(machine, work, course, is_reported, &what);
    check_ledger(machine, course, &what);
}

/// That what was said is true.
fn check_end(ended: &Ended, machine: &Machine, work: &Work, fault: Fault, course: &Course, what: &str) {
    match ended {
        Ended::Badly(error) => {
            assert!(documented(fault, error.kind()), "{what}: {:?}: {error}", error.kind());
            if matches!(error.kind(), ErrorKind::Failed | ErrorKind::Unsupported) && fault != Fault::Vanished {
                assert_eq!(machine.functions(), course.start, "{what}: it said that nothing is changed: {error}");
            }
        }
        Ended::Well if fault == Fault::Vanished => {}
        Ended::Well => assert_eq!(machine.functions(), course.end, "{what}: it said that all is done"),
        // 6: it is not as it was; 130: what was to be restored, or waited for, was not.
        Ended::Otherwise(code) => {
            let is_interrupted = matches!(fault, Fault::Interrupted | Fault::InterruptedBefore);
            let expected = ExitCode::from(if is_interrupted { 130 } else { 6 });
            assert!(work.compares() && *code == expected, "{what}: ended with {code:?}");
        }
        Ended::Crashed => assert!(matches!(fault, Fault::CrashBefore | Fault::CrashAfter), "{what}"),
    }
}

/// VFs that were said to have no driver are there and stay so, until somebody does what the hint says; and so with settings.
fn ask_again(machine: &Machine, work: &Work, ended: &Ended) {
    let Ended::Badly(error) = ended else { return };
    let document = serde_json::to_value(error).unwrap();
    for unset in document["unset"].as_array().into_iter().flatten() {
        assert_eq!(error.kind(), ErrorKind::Partly);
        let setting = unset["setting"].as_str().unwrap().parse().unwrap();
        let answer = machine.kernel().write(&Action::SetVf { address: PF.parse().unwrap(), setting, was: None });
        // A writer that was killed when the kernel was done has set it.
        assert!(matches!(answer, Ok(()) | Err(Errno::EALREADY)), "{setting}: {answer:?}");
    }
    let Some(undriven) = document["undriven"].as_array() else { return };
    assert_eq!(error.kind(), ErrorKind::Partly);
    let names: Vec<&str> = undriven.iter().map(|undriven| undriven["address"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| machine.functions()[*name].is_none()), "{error}: {:?}", machine.functions());
    let (overridden, plain): (Vec<&Value>, Vec<&Value>) =
        undriven.iter().partition(|undriven| undriven["driver_override"].is_string());
    let name = |undriven: &&Value| undriven["address"].as_str().unwrap().to_owned();
    let mut commands: Vec<Vec<String>> = Vec::new();
    if work.words.contains(&"--driver") {
        commands.push(work.words.iter().map(|word| (*word).to_owned()).collect());
    } else if !plain.is_empty() {
        commands.push(std::iter::once("bind".to_owned()).chain(plain.iter().map(name)).collect());
    }
    let wanted = |undriven: &Value| undriven["driver_override"].as_str().unwrap().to_owned();
    commands.extend(overridden.iter().map(|undriven| vec!["override".to_owned(), name(undriven), wanted(undriven)]));
    for again in commands {
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        let ended = machine.run(&again);
        assert!(matches!(ended, Ended::Well), "{again:?}: {ended:?}");
    }
}

/// That it is at its start or at its end, and nothing is left over that was only meant for the way. What did not come back,
/// or not as it was, and was reported, can still be asked for.
fn check_recovered(machine: &Machine, work: &Work, course: &Course, is_reported: bool, what: &str) {
    let Course { start, end, settings, end_settings, .. } = course;
    assert!(machine.is_settled(), "{what}: something is left over: {}", machine.leftovers());
    let switches = |settings: BTreeMap<String, String>| -> Vec<(String, String)> {
        let is_switch = |name: &str| {
            let files = ["sriov_drivers_autoprobe", "reset_method"];
            files.iter().any(|file| name.ends_with(file)) || !name.contains(':') || is_kept_for_vf(name)
        };
        settings.into_iter().filter(|(name, _)| is_switch(name)).collect()
    };
    let now_set = switches(machine.settings());
    let is_ended = work.changes_vfs() && machine.functions() == *end;
    let was_set: Vec<_> = switches(if is_ended { course.end_settings.clone() } else { settings.clone() });
    let stays = |(name, _): &&(String, String)| now_set.iter().any(|(now, _)| now == name);
    let was_set: Vec<_> = was_set.iter().filter(stays).cloned().collect();
    // What the command itself switches is as before, or as planned; so are VFs that stay where they are.
    let stays_there = course.start == course.end;
    let is_as_planned = |(name, _): &(String, String)| {
        if is_kept_for_vf(name) && stays_there {
            let now = now_set.iter().find(|(now, _)| now == name).map(|(_, value)| value);
            return now == settings.get(name) || now == end_settings.get(name);
        }
        work.words[0] == "slot"
            && now_set.iter().any(|(now, value)| now == name && end_settings.get(now) == Some(value))
    };
    assert!(
        was_set.iter().all(|setting| now_set.contains(setting) || is_as_planned(setting)),
        "{what}: {now_set:?}, and it was {was_set:?}"
    );
    let mut now = machine.functions();
    if work.overrides() && now == *start {
        assert_eq!(&machine.settings(), settings, "{what}: the driver is as before, and not the override");
    }
    if work.words[0] == "power" {
        let now = machine.settings();
        assert!(
            now == *settings || now == course.end_settings,
            "{what}: neither as before nor as planned, but {now:?}"
        );
    }
    if (work.restores() || is_reported) && now != *start && now != *end {
        let again = match work.words[0] {
            "slot" => vec!["rescan", "--settle", "0", "--restore", "--slot", work.words.last().unwrap()],
            _ => vec!["rescan", "--settle", "0", "--restore", work.words.last().unwrap()],
        };
        let again = machine.run(&again);
        now = machine.functions();
        assert!(&now == end, "{what}: asked for it again: {again:?}, {now:?}");
        return;
    }
    // Of several targets each is at its start or at its end.
    let as_before =
        now.iter().all(|(function, driver)| start.get(function) == Some(driver) || end.get(function) == Some(driver));
    let gone = start.keys().filter(|function| !now.contains_key(*function));
    assert!(as_before && gone.clone().all(|function| !end.contains_key(function)), "{what}: now {now:?}");
    let subtrees = work.words.iter().filter(|word| start.contains_key(**word)).count();
    let each_vf = work.changes_vfs() && start.len() == end.len();
    assert!(subtrees > 1 || each_vf || &now == start || &now == end, "{what}: neither start nor end, but {now:?}");
}

/// Whether a setting is what a physical function keeps for a VF.
fn is_kept_for_vf(name: &str) -> bool {
    name.contains("/vf ")
}

/// That the ledger waits for all that is gone, and for nothing that never was.
fn check_ledger(machine: &Machine, course: &Course, what: &str) {
    let (known, now) = (machine.ledger(), machine.functions());
    let gone = course.whole.keys().filter(|function| !now.contains_key(*function) && !machine.is_virtual(function));
    let forgotten: Vec<&String> = gone.filter(|function| !known.contains(*function)).collect();
    assert!(forgotten.is_empty(), "{what}: the ledger does not know {forgotten:?}");
    let wrong: Vec<&String> =
        known.iter().filter(|known| now.contains_key(*known) && !machine.has_removed(known)).collect();
    assert!(wrong.is_empty(), "{what}: the ledger waits for {wrong:?}, which never left");
}
