//! The commands that the power is taken from.

use std::fs;

use pcictl::plan::action::Action;
use serde_json::Value;

use crate::faults::machine::{Ended, Machine, quiet_crashes};
use crate::faults::{PF, WORK, Work};
use crate::support::dump::{Dump, Node};
use crate::support::fake::{Comes, Fault};

const NVME: &str = "0000:03:00.0";
const SWITCH: &str = "0000:01:00.0";

/// A command on a machine with a past.
pub struct Subject {
    work: &'static Work,
    /// The call at which the command was killed; then it is the recovery that is looked at.
    crash: Option<(Fault, usize)>,
    /// What else pcictl had written before, with a word for it.
    past: Option<(&'static str, MakePast)>,
}

/// Has pcictl do much on a machine.
type MakePast = fn(&Machine);

/// Both come so late that the past of a place, and of the machine, is as long as it may get.
static LATE: [Work; 2] = [
    Work::new("guest-switch8", &["remove", NVME]),
    Work { before: &["remove", NVME], ..Work::new("guest-switch8", &["rescan", "--settle", "0", NVME]) },
];

/// A switch with 69 functions in all.
static LARGE: [Work; 2] = [
    Work { prepare: give_many_functions, ..Work::new("guest-switch8", &["remove", SWITCH]) },
    Work {
        prepare: give_many_functions,
        before: &["remove", SWITCH],
        ..Work::new("guest-switch8", &["rescan", "--settle", "0", SWITCH])
    },
];

impl Subject {
    /// Every one of them.
    pub fn all() -> Vec<Self> {
        let plain = WORK.iter().map(|work| Self { work, crash: None, past: None });
        let recoveries = [
            (&WORK[0], Fault::CrashAfter, 0),
            (&WORK[0], Fault::CrashAfter, 1),
            (&WORK[4], Fault::CrashAfter, 1),
            (&WORK[5], Fault::CrashAfter, 3),
            (&WORK[19], Fault::CrashAfter, 2),
            (&WORK[29], Fault::CrashAfter, 0),
        ];
        let recoveries = recoveries.map(|(work, fault, at)| Self { work, crash: Some((fault, at)), past: None });
        let late = LATE.iter().map(|work| Self { work, crash: None, past: Some(("after 21 removals", remove_often)) });
        let above =
            LATE.iter().map(|work| Self { work, crash: None, past: Some(("after one above it", remove_above)) });
        let long = Self { work: &LATE[0], crash: None, past: Some(("with a full history", fill_history)) };
        plain.chain(recoveries).chain(late).chain(above).chain([long]).collect()
    }

    /// Those that stand for all the others where there is little time.
    pub fn few() -> Vec<Self> {
        let is_of_few = |subject: &Self| {
            let is_plain = subject.crash.is_none() && subject.past.is_none();
            let is_first = subject.work.words == WORK[0].words;
            is_first && (is_plain || subject.crash == Some((Fault::CrashAfter, 1)))
        };
        Self::all().into_iter().filter(is_of_few).collect()
    }

    /// Some of them.
    pub fn every(step: usize) -> Vec<Self> {
        Self::all().into_iter().step_by(step).collect()
    }

    /// The removal of many functions, and their return; to take the power away at each moment of it would take for ever.
    pub fn large() -> [Self; 2] {
        [&LARGE[0], &LARGE[1]].map(|work| Self { work, crash: None, past: Some(("of 69 functions", |_| ())) })
    }

    /// Whether its machine is, for its end to be compared with it, as if nothing had been before.
    pub fn can_be_compared(&self) -> bool {
        self.past.is_none()
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Self {
        let mut all = Self::all().into_iter().chain(Self::large());
        all.find(|subject| subject.name() == name).unwrap_or_else(|| panic!("no subject {name}"))
    }

    /// What it is called.
    pub fn name(&self) -> String {
        let words = self.work.words.join(" ");
        match (self.crash, self.past) {
            (Some((fault, at)), _) => format!("recover from {words} with {fault:?} at call {at}"),
            (None, Some((past, _))) => format!("{words} {past}"),
            (None, None) if self.work.comes != Comes::Same => format!("{words} of a device that comes late"),
            (None, None) if self.work.before.is_empty() => words,
            (None, None) => format!("{words} after {}", self.work.before.join(" ")),
        }
    }

    /// What is done, or was done until it was killed.
    pub fn work(&self) -> &'static Work {
        self.work
    }

    /// Whether it is a recovery that is looked at.
    pub fn is_recovery(&self) -> bool {
        self.crash.is_some()
    }

    /// The command that is looked at.
    pub fn words(&self) -> Vec<&'static str> {
        if self.is_recovery() { vec!["recover"] } else { self.work.words.to_vec() }
    }

    /// The machine right before the command.
    pub fn machine(&self) -> Machine {
        let machine = Machine::prepared(self.work.tree, self.work.prepare);
        if let Some((_, make)) = self.past {
            make(&machine);
        }
        if !self.work.before.is_empty() {
            well(&machine, self.work.before);
        }
        if let Some((fault, at)) = self.crash {
            quiet_crashes();
            let ended = machine.run_with(self.work.words, self.work.script(fault, at));
            assert!(matches!(ended, Ended::Crashed), "{}: {ended:?}", self.name());
        }
        machine
    }

    /// The machine when it has booted again: the firmware finds all devices, and no VFs.
    pub fn booted(&self) -> Machine {
        let machine = Machine::prepared(self.work.tree, self.work.prepare);
        if self.work.is_of_vfs() {
            well(&machine, &["sriov", "--off", "--force", "vfs", "--yes", PF]);
        }
        // The boot before had no name, as a dumped tree has no /proc.
        machine.boot("5a7e0002-0000-4000-8000-000000000002");
        machine
    }
}

fn well(machine: &Machine, words: &[&str]) {
    let ended = machine.run(words);
    assert!(matches!(ended, Ended::Well), "{words:?}: {ended:?}");
}

/// Gives the endpoints so many functions that there are 69 with the switch and its eight ports.
fn give_many_functions(dump: &mut Dump) {
    let nodes = dump.0.clone();
    for number in 0..52 {
        let bus = 3 + number / 7;
        let (old, new) = (format!("0000:{bus:02x}:00.0"), format!("0000:{bus:02x}:00.{}", 1 + number % 7));
        for (path, node) in nodes.iter().filter(|(path, _)| path.iter().any(|name| name == old.as_str())) {
            let path = path.to_str().expect("text").replace(&old, &new);
            let node = match node {
                Node::Link(target) => Node::Link(target.replace(&old, &new)),
                other => other.clone(),
            };
            dump.0.insert(path.into(), node);
        }
    }
}

/// The past is long, and lies long ago.
fn remove_often(machine: &Machine) {
    for _ in 0..21 {
        well(machine, &["remove", NVME]);
        well(machine, &["rescan", "--settle", "0", NVME]);
    }
    for file in fs::read_dir(machine.directory("state").join("ledger/history")).expect("a past").flatten() {
        let mut past: Value = serde_json::from_slice(&fs::read(file.path()).expect("a file")).expect("JSON");
        for closed in past["past"].as_array_mut().expect("a list") {
            closed["entry"]["removed_at"] = 1_700_000_000.into();
        }
        fs::write(file.path(), past.to_string()).expect("a file");
    }
}

/// The port above it was removed, and came back past pcictl: the ledger waits for both.
fn remove_above(machine: &Machine) {
    well(machine, &["remove", "0000:02:00.0"]);
    machine.kernel().write(&Action::RescanAll).expect("a scan");
}

/// The next line does not fit any more.
fn fill_history(machine: &Machine) {
    well(machine, &["remove", NVME]);
    well(machine, &["rescan", "--settle", "0", NVME]);
    let path = machine.directory("state").join("history");
    let lines = fs::read_to_string(&path).expect("a history");
    let limit = 4 << 20;
    fs::write(path.with_extension("old"), lines.repeat(2)).expect("an old history");
    fs::write(&path, lines.repeat(limit / lines.len())).expect("a history");
}
