//! The power goes after any change, the disk has kept what it may have kept, and the machine boots: what do `status`,
//! `doctor`, `history` and `recover` say and do then?

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;

use super::disk::{Chance, Disk, Files, State, write};
use super::promises::Promises;
use super::recording::{Recording, is_of_kernel, path};
use super::subjects::Subject;
use super::trace::Op;
use crate::faults::machine::{Ended, Functions, Machine};
use crate::support::{processes, scratch_directory};

/// What of the disk is looked at. Whoever reads records of operations and devices never reads the history, nor the other way
/// round, so that each need be combined with itself only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The state directory, after a boot that emptied /run.
    Records,
    /// The same, and journals: /run was no tmpfs.
    RecordsAndJournals,
    /// The history.
    History,
}

impl Part {
    const ALL: [Self; 3] = [Self::Records, Self::RecordsAndJournals, Self::History];

    fn has(self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_history =
            path.parent() == Some(Path::new("state")) && (name.starts_with("history") || name.starts_with(".history"));
        let is_record = path.starts_with("state") && !is_history;
        match self {
            Self::Records => is_record,
            Self::RecordsAndJournals => is_record || path.starts_with("run"),
            Self::History => is_history || path == Path::new("state"),
        }
    }
}

/// How much was tried.
#[derive(Debug, Default)]
pub struct Tried {
    /// Changes after which the power went.
    pub moments: usize,
    /// What the disk held then, each only once.
    pub states: usize,
}

/// What is not done on the disk, for the harness to show that it notices.
pub type Dropped<'a> = &'a dyn Fn(&Op) -> bool;

/// Every moment of a recording, on a machine that has booted since.
pub struct Reboots<'a> {
    subject: &'a Subject,
    recording: &'a Recording,
    booted: Machine,
    functions: Functions,
    /// A disk that lies keeps no promise; then all that counts is that it is told and got over.
    is_disk_honest: bool,
}

impl<'a> Reboots<'a> {
    /// Of a subject's recording.
    pub fn of(subject: &'a Subject, recording: &'a Recording) -> Self {
        let booted = subject.booted();
        let functions = booted.functions();
        Self { subject, recording, booted, functions, is_disk_honest: true }
    }

    /// The same with a disk that may have lost anything.
    pub fn with_lying_disk(self) -> Self {
        Self { is_disk_honest: false, ..self }
    }

    /// Tries at most `limit` states at each moment; what is wrong first, if anything is.
    pub fn try_all(&self, limit: usize, chance: &mut Chance, dropped: Dropped) -> Result<Tried, String> {
        let mut tried = Tried::default();
        for part in Part::ALL {
            self.try_part(part, limit, chance, dropped, &mut tried)
                .map_err(|why| format!("{}, {part:?}: {why}", self.subject.name()))?;
        }
        Ok(tried)
    }

    fn try_part(
        &self,
        part: Part,
        limit: usize,
        chance: &mut Chance,
        dropped: Dropped,
        tried: &mut Tried,
    ) -> Result<(), String> {
        let base: Files = self
            .recording
            .base
            .iter()
            .filter(|(path, _)| part.has(path))
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect();
        let mut disk = Disk::new(&base);
        let mut promises = Promises::before(&base, self.subject.is_recovery());
        let mut seen: BTreeSet<(State, Promises)> = BTreeSet::new();
        let ops: Vec<&Op> = self
            .recording
            .ops
            .iter()
            .filter(|op| is_of_kernel(op) || part.has(path(op)) || path(op) == Path::new(""))
            .collect();
        for number in 0..=ops.len() {
            let states = disk.states(&|path| part.has(path), limit, chance);
            if number == ops.len() {
                promises.end();
            }
            let is_ours = number == 0 || !is_of_kernel(ops[number - 1]);
            tried.moments += usize::from(is_ours && part == Part::RecordsAndJournals);
            for state in states {
                let files = disk.files(&state);
                if seen.insert((state, promises.clone())) {
                    tried.states += 1;
                    let before = number.checked_sub(1).map(|before| ops[before]);
                    self.check(&files, &promises, part).map_err(|why| tell(&why, number, before, &files))?;
                }
            }
            let Some(op) = ops.get(number) else { break };
            if !is_of_kernel(op) && !dropped(op) {
                disk.apply(op);
            }
            promises.change(op, &disk);
        }
        Ok(())
    }

    fn check(&self, files: &Files, promises: &Promises, part: Part) -> Result<(), String> {
        if self.is_disk_honest && part != Part::History {
            promises.broken(files, part == Part::RecordsAndJournals)?;
        }
        let directory = scratch_directory();
        write(files, directory.path());
        let machine = self.booted.with_directory(directory);
        if part == Part::History {
            return check_history(&machine, files);
        }
        let told = self.check_status(&machine, promises, files)?;
        check_doctor(&machine, &told)?;
        self.recover(&machine, &told)?;
        // All that was to be said is said.
        let after = report(&machine, &["status"])?;
        let is_well = match self.is_disk_honest {
            true => after.code == 0 && after.is_empty("removed") && after.is_empty("invalid_entries"),
            false => true,
        };
        if !is_well || !after.is_empty("operations") {
            return Err(format!("after a recovery status says {}", after.document));
        }
        let again = report(&machine, &["recover"])?;
        if again.code != 0 || !again.is_empty("operations") {
            return Err(format!("a second recovery says {}", again.document));
        }
        Ok(())
    }

    fn check_status(&self, machine: &Machine, promises: &Promises, files: &Files) -> Result<Report, String> {
        let told = report(machine, &["status"])?;
        let says = || Err(format!("status ends with {} and says {}", told.code, told.document));
        let states: Vec<&Value> = told.list("operations").iter().map(|operation| &operation["state"]).collect();
        let is_open = !states.is_empty() || !told.is_empty("invalid_entries");
        // Everything is there again.
        if told.code != if is_open { 5 } else { 0 } || !told.is_empty("removed") {
            return says();
        }
        if !self.is_disk_honest {
            return Ok(told);
        }
        let is_true = states.iter().all(|state| **state == "cut_off") && told.is_empty("invalid_entries");
        let is_told = |id: &str| told.list("operations").iter().any(|operation| operation["id"] == id);
        if !is_true
            || !promises.operations().all(|id| is_told(id) || is_closed(id, files))
            || promises.is_over() && !states.is_empty()
        {
            return says();
        }
        Ok(told)
    }

    fn recover(&self, machine: &Machine, told: &Report) -> Result<(), String> {
        let recovered = report(machine, &["recover"])?;
        let is_damaged = |operation: &Value| operation["state"] == "damaged";
        let is_any_damaged = told.list("operations").iter().any(is_damaged);
        // The marker of a journal that is whole goes with it, be it damaged or not.
        let is_expected =
            recovered.code == 0 && (!is_any_damaged || !self.is_disk_honest) || recovered.code == 5 && is_any_damaged;
        let says = format!("recover ends with {} and says {}", recovered.code, recovered.document);
        let (count, told) = (recovered.list("operations").len(), told.list("operations").len());
        // A marker that is as damaged as its journal goes with it.
        let is_each_told =
            if self.is_disk_honest { count == told } else { (count == 0) == (told == 0) && count <= told };
        if !is_expected || !is_each_told {
            return Err(says);
        }
        if machine.calls() > 0 || machine.functions() != self.functions {
            return Err(format!("{says}, and wrote to the kernel, which has found everything by itself"));
        }
        Ok(())
    }
}

/// Whether a journal tells that the operation is over, so that nothing need be told of it.
fn is_closed(id: &str, files: &Files) -> bool {
    let journal = files.get(&Path::new("run/journal").join(format!("{id}.journal"))).cloned().flatten();
    journal.is_some_and(|journal| String::from_utf8_lossy(&journal).contains("{\"over\":") && journal.ends_with(b"\n"))
}

/// What a command printed, and how it ended.
struct Report {
    code: u8,
    document: Value,
}

impl Report {
    fn list(&self, key: &str) -> &[Value] {
        self.document[key].as_array().map_or(&[], Vec::as_slice)
    }

    fn is_empty(&self, key: &str) -> bool {
        self.list(key).is_empty()
    }
}

/// Runs a command that has something to report, however things are.
fn report(machine: &Machine, words: &[&str]) -> Result<Report, String> {
    let ended = catch_unwind(AssertUnwindSafe(|| machine.run(words))).map_err(|_| format!("{words:?} panics"))?;
    let code = match ended {
        Ended::Well => 0,
        Ended::Otherwise(code) => processes::number(code),
        Ended::Badly(error) => return Err(format!("{words:?}: {error}")),
        Ended::Crashed => return Err(format!("{words:?} is cut off")),
    };
    let document = machine.printed().into_iter().next().ok_or_else(|| format!("{words:?} says nothing"))?;
    Ok(Report { code, document })
}

/// The doctor knows of the same operations, and of what the ledger waits for although it is there.
fn check_doctor(machine: &Machine, told: &Report) -> Result<(), String> {
    let looked = report(machine, &["doctor"])?;
    let is_told = |address: &String| looked.list("leftovers").iter().any(|leftover| leftover["address"] == **address);
    let is_same = looked.document["interrupted_operations"] == told.list("operations").len()
        && looked.document["removed_devices"] == 0
        && looked.code == u8::from(!looked.is_empty("leftovers"))
        && (!told.is_empty("invalid_entries") || machine.ledger().iter().all(is_told));
    if is_same {
        return Ok(());
    }
    Err(format!("status says {}, and doctor {} with {}", told.document, looked.document, looked.code))
}

/// Every line that is whole is told, and the next one does not become a part of what is torn.
fn check_history(machine: &Machine, files: &Files) -> Result<(), String> {
    let lines = |files: &Files| {
        let content = ["state/history", "state/history.old"]
            .iter()
            .filter_map(|path| files.get(Path::new(path)).cloned().flatten());
        let whole = |line: &[u8]| serde_json::from_slice::<Value>(line).is_ok_and(|line| line["record"] == "begin");
        content.map(|content| content.split(|byte| *byte == b'\n').filter(|line| whole(line)).count()).sum::<usize>()
    };
    let (told, whole) = (report(machine, &["history"])?, lines(files));
    if told.code != 0 || told.list("operations").len() < whole.min(1) {
        return Err(format!("of {whole} whole lines history says {}", told.document));
    }
    Ok(())
}

fn tell(why: &str, number: usize, before: Option<&Op>, files: &Files) -> String {
    let text = |content: &Vec<u8>| String::from_utf8_lossy(&content[..content.len().min(300)]).replace('\0', "\\0");
    let files: Vec<String> = files
        .iter()
        .filter_map(|(path, content)| Some(format!("  {}: {}", path.display(), text(content.as_ref()?))))
        .collect();
    let before = before.map(|op| format!("{op:?}").chars().take(200).collect::<String>());
    format!("{why}\nthe power went after change {number}, {before:?}, and left\n{}", files.join("\n"))
}
