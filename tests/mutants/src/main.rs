//! `mutants COPY LIST KNOWN OUTCOMES [MINUTES]`: tries the mutants of LIST, which `cargo mutants --list --json` printed, in COPY,
//! a copy of the repository.
//!
//! cargo-mutants builds pcictl anew for each mutant, which takes one to four minutes here, eighteen hours and more for a
//! thousand. This builds all of them together, each switched off, and switches on one after the other: what remains is the time
//! that tests take. Where a mutant cannot be built together with the others, that is told.
//!
//! For each the tests of its room run, and if these notice nothing, those of the program that say most about it. What came of
//! it is added to OUTCOMES, a line each, and not tried again. It ends with a line for each file as tests/PROOF.md has it, and
//! fails for one that nobody noticed and that KNOWN does not list. After MINUTES it tries no more.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod copy;
mod edit;
mod list;
mod places;
#[cfg(test)]
mod record;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::copy::{Copy, Programs};
use crate::list::Mutant;

/// The tests of the program that say most about a room, by the begin of a file's path.
const TESTS_OF: &[(&str, &[&str])] = &[
    ("src/lock/", &["locks::", "guard::"]),
    ("src/plan/", &["parts::", "faults::answers::", "resets::", "power::", "golden::"]),
    ("src/execute/", &["faults::answers::", "faults::recovery::", "environment::"]),
    ("src/state/", &["faults::records::", "faults::recovery::", "recovery::", "environment::"]),
    ("src/usage/", &["users::", "redundancy::", "refusals::", "golden::"]),
    ("src/doctor/", &["doctor::", "golden::"]),
];

fn main() -> Result<ExitCode> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let ([copy, list, known, outcomes], minutes) = match arguments.as_slice() {
        [a, b, c, d] => ([a, b, c, d], None),
        [a, b, c, d, minutes] => ([a, b, c, d], Some(minutes.to_string_lossy().parse::<u64>()?)),
        _ => bail!("takes COPY LIST KNOWN OUTCOMES [MINUTES]"),
    };
    let mutants: Vec<Mutant> = serde_json::from_slice(&fs::read(list)?).context("is no list of cargo-mutants")?;
    let deadline = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let mut session = Session { outcomes: Outcomes::read(outcomes)?, mutants };
    session.try_all(copy, deadline)?;
    let survivors = fs::read_to_string(known)?;
    Ok(if session.report(&survivors) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of mutants, in a file.
struct Outcomes {
    path: PathBuf,
    by_name: BTreeMap<String, String>,
}

impl Outcomes {
    fn read(path: &Path) -> Result<Self> {
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(Self { path: path.to_owned(), by_name: pairs.map(|(a, b)| (b.to_owned(), a.to_owned())).collect() })
    }

    fn add(&mut self, name: &str, outcome: &str) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{outcome}\t{name}")?;
        self.by_name.insert(name.to_owned(), outcome.to_owned());
        Ok(())
    }
}

struct Session {
    mutants: Vec<Mutant>,
    outcomes: Outcomes,
}

/// Noticed by the tests of its room, by those of the program, by neither; cannot be built with the others. What the room does
/// not notice is `later` until the program's tests were asked.
const KINDS: [&str; 4] = ["room", "program", "missed", "alone"];
const LATER: &str = "later";

impl Session {
    /// Asks the tests of the rooms about all, which is quick, and then those of the program about what is left.
    fn try_all(&mut self, root: &Path, deadline: Option<Instant>) -> Result<()> {
        let copy = Copy::new(root, &self.mutants)?;
        let (programs, without) = copy.build(&self.mutants)?;
        let mut tests = Tests::new(&copy, root, &programs);
        for is_first in [true, false] {
            for (id, mutant) in (1u32..).zip(self.mutants.clone()) {
                let before = self.outcomes.by_name.get(&mutant.name).map(String::as_str);
                if before != if is_first { None } else { Some(LATER) } {
                    continue;
                }
                if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    return Ok(());
                }
                let outcome = match is_first {
                    true if without.contains(&id) => "alone",
                    true if tests.of_room_notice(id, &mutant)? => "room",
                    true => LATER,
                    false if tests.of_program_notice(id, &mutant)? => "program",
                    false => "missed",
                };
                eprintln!("{outcome}: {}", mutant.name);
                self.outcomes.add(&mutant.name, outcome)?;
            }
        }
        Ok(())
    }

    /// Prints a line for each file; false if somebody has to do something.
    fn report(&self, known: &str) -> bool {
        let mut rows: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
        let mut is_well = true;
        for mutant in &self.mutants {
            let outcome = self.outcomes.by_name.get(&mutant.name).map_or("not tried", String::as_str);
            let at = KINDS.iter().position(|kind| *kind == outcome);
            rows.entry(&mutant.file).or_default()[at.unwrap_or(4)] += 1;
            let is_known =
                known.lines().any(|line| line.split_once(" | ").is_some_and(|(name, _)| name == mutant.lasting_name()));
            if outcome == "missed" && !is_known {
                println!("no test fails for {}", mutant.name);
                is_well = false;
            }
        }
        for (file, [room, program, missed, alone, untried]) in rows {
            let all = room + program + missed + alone + untried;
            println!("| {file} | {all} | {room} | {program} | {missed} | {alone} | {untried} |");
        }
        is_well
    }
}

/// Runs tests, with and without mutants.
struct Tests<'a> {
    copy: &'a Copy,
    root: &'a Path,
    programs: &'a Programs,
    /// How long those take that were run without a mutant.
    times: BTreeMap<(PathBuf, String), Duration>,
}

impl<'a> Tests<'a> {
    fn new(copy: &'a Copy, root: &'a Path, programs: &'a Programs) -> Self {
        Self { copy, root, programs, times: BTreeMap::new() }
    }

    fn of_room_notice(&mut self, id: u32, mutant: &Mutant) -> Result<bool> {
        let room = mutant.file.trim_start_matches("src/").split('/').next().unwrap_or_default();
        self.notice(id, &self.programs.lib, &format!("{room}::"))
    }

    fn of_program_notice(&mut self, id: u32, mutant: &Mutant) -> Result<bool> {
        let found = TESTS_OF.iter().find(|(begin, _)| mutant.file.starts_with(begin));
        for test in found.map_or(&[][..], |(_, tests)| tests) {
            if self.notice(id, &self.programs.it, test)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether some of these tests fail with this mutant, or take far longer: it may have made a loop endless.
    fn notice(&mut self, id: u32, program: &Path, tests: &str) -> Result<bool> {
        let key = (program.to_owned(), tests.to_owned());
        let usual = match self.times.get(&key) {
            Some(usual) => *usual,
            None => {
                let begun = Instant::now();
                self.copy.switch_on(0)?;
                if !self.pass(program, tests, Duration::from_secs(600))? {
                    bail!("with no mutant at all a test of {tests} fails");
                }
                *self.times.entry(key).or_insert(begun.elapsed())
            }
        };
        self.copy.switch_on(id)?;
        Ok(!self.pass(program, tests, 4 * usual + Duration::from_secs(10))?)
    }

    /// Whether these tests pass in time, in whole seconds, and in 8 GiB of addresses.
    fn pass(&self, program: &Path, tests: &str, limit: Duration) -> Result<bool> {
        let mut child = Command::new("timeout")
            .args(["--kill-after=5", &limit.as_secs().to_string(), "prlimit", "--as=8589934592"])
            .arg(program)
            .arg("--quiet")
            .arg(tests)
            .current_dir(self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run tests")?;
        Ok(child.wait()?.success())
    }
}
