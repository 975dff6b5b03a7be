//! `mutants COPY LIST KNOWN OUTCOMES [MINUTES]`: tries the mutants of LIST, which `cargo mutants --list --json` printed, in COPY,
//! a copy of the repository.
//!
//! cargo-mutants builds pcictl anew for each mutant, which takes one to four minutes here, eighteen hours and more for a
//! thousand. This builds all of them together, each switched off, and switches on one after the other: what remains is the time
//! that tests take. Where a mutant cannot be built together with the others, that is told.
//!
//! Each test runs once by itself to see which mutants it comes to, and then each mutant is tried on all tests that come to it:
//! those in src, the quickest first, and if these notice nothing, those of the program. What came of it is added to OUTCOMES,
//! a line each, and not tried again. It ends with a line for each file as tests/PROOF.md has it, and fails for one that nobody
//! noticed and that KNOWN does not list. After MINUTES it tries no more.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod copy;
mod edit;
mod list;
mod places;
mod reach;
#[cfg(test)]
mod record;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::copy::Copy;
use crate::list::Mutant;
use crate::reach::Tests;

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

/// Noticed by the tests in src, by those of the program, by neither; cannot be built with the others.
const KINDS: [&str; 4] = ["room", "program", "missed", "alone"];

impl Session {
    /// Tries those of which nothing is known yet.
    fn try_all(&mut self, root: &Path, deadline: Option<Instant>) -> Result<()> {
        if self.mutants.iter().all(|mutant| self.outcomes.by_name.contains_key(&mutant.name)) {
            return Ok(());
        }
        let copy = Copy::new(root, &self.mutants)?;
        let (programs, without) = copy.build(&self.mutants)?;
        let tests = Tests::record(&copy, root, &programs)?;
        eprintln!("{} tests in src, {} of the program", tests.count().0, tests.count().1);
        let is_new = |(_, mutant): &(u32, Mutant)| !self.outcomes.by_name.contains_key(&mutant.name);
        let mut all: Vec<(u32, Mutant)> = (1u32..).zip(self.mutants.clone()).filter(is_new).collect();
        // Whoever has little time is to learn of many.
        all.sort_by_key(|(id, _)| tests.time_of_rooms(*id));
        let is_over = || deadline.is_some_and(|deadline| Instant::now() > deadline);
        let mut left = Vec::new();
        for (id, mutant) in all {
            if without.contains(&id) {
                self.outcomes.add(&mutant.name, "alone")?;
            } else if !is_over() && tests.of_rooms_notice(id)? {
                self.outcomes.add(&mutant.name, "room")?;
            } else {
                left.push((id, mutant));
            }
        }
        left.sort_by_key(|(id, _)| tests.time_of_program(*id));
        for (id, mutant) in left.into_iter().take_while(|_| !is_over()) {
            let outcome = if tests.of_program_notice(id)? { "program" } else { "missed" };
            let come = if tests.come_to(id) { "" } else { " (no test comes to it)" };
            eprintln!("{outcome}: {}{come}", mutant.name);
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
            let at = KINDS.iter().position(|kind| *kind == outcome);
            rows.entry(&mutant.file).or_default()[at.unwrap_or(4)] += 1;
            let is_known = known
                .lines()
                .any(|line| line.split_once(" -- ").is_some_and(|(name, _)| name == mutant.lasting_name()));
            if outcome == "missed" && !is_known {
                println!("no test fails for {}", mutant.name);
                is_well = false;
            }
        }
        let (mut noticed, mut tried) = (0, 0);
        for (file, [room, program, missed, alone, untried]) in rows {
            let all = room + program + missed + alone + untried;
            println!("| {file} | {all} | {room} | {program} | {missed} | {alone} | {untried} |");
            (noticed, tried) = (noticed + room + program, tried + room + program + missed);
        }
        println!("{noticed} of the {tried} that were tried were noticed, {} %", noticed * 100 / tried.max(1));
        is_well
    }
}
