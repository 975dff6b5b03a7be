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

/// How long tests may take that take half a minute: a mutant may make a loop endless.
const LIMIT: Duration = Duration::from_secs(300);

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

impl Session {
    fn try_all(&mut self, root: &Path, deadline: Option<Instant>) -> Result<()> {
        let copy = Copy::new(root, &self.mutants)?;
        let (programs, without) = copy.build(&self.mutants)?;
        copy.switch_on(0)?;
        for mutant in [self.mutants.first(), self.mutants.last()].into_iter().flatten() {
            let outcome = outcome(root, &programs, mutant)?;
            if outcome != "missed" {
                bail!("with no mutant at all a test of {} fails", mutant.file);
            }
        }
        for (id, mutant) in (1u32..).zip(&self.mutants) {
            if self.outcomes.by_name.contains_key(&mutant.name) {
                continue;
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
            let outcome = if without.contains(&id) {
                "alone"
            } else {
                copy.switch_on(id)?;
                outcome(root, &programs, mutant)?
            };
            eprintln!("{outcome}: {}", mutant.name);
            self.outcomes.add(&mutant.name, outcome)?;
        }
        Ok(())
    }

    /// Prints a line for each file; false if somebody has to do something.
    fn report(&self, known: &str) -> bool {
        let mut rows: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
        let mut is_well = true;
        for mutant in &self.mutants {
            let outcome = self.outcomes.by_name.get(&mutant.name).map_or("not tried", String::as_str);
            let at = ["room", "program", "missed", "alone", "not tried"].iter().position(|kind| *kind == outcome);
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

/// Which tests notice the mutant that is switched on.
fn outcome(root: &Path, programs: &Programs, mutant: &Mutant) -> Result<&'static str> {
    let room = mutant.file.trim_start_matches("src/").split('/').next().unwrap_or_default();
    if !passes(root, &programs.lib, &format!("{room}::"))? {
        return Ok("room");
    }
    let tests = TESTS_OF.iter().find(|(begin, _)| mutant.file.starts_with(begin)).map_or(&[][..], |(_, tests)| tests);
    for test in tests {
        if !passes(root, &programs.it, test)? {
            return Ok("program");
        }
    }
    Ok("missed")
}

/// Whether these tests pass in time.
fn passes(root: &Path, program: &Path, tests: &str) -> Result<bool> {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &LIMIT.as_secs().to_string()])
        .arg(program)
        .arg("--quiet")
        .arg(tests)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run tests")?;
    Ok(child.wait()?.success())
}
