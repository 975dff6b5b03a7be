//! `cargo run -p fuzz`: tries every target for so many cases or minutes, each in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use clap::Parser;
use fuzz::findings::keep;
use fuzz::hunt::{Hunt, Length, current, why};
use fuzz::target::{TREE, Target};

/// Gives anything to what takes foreign text and bytes.
#[derive(Debug, Parser)]
struct Arguments {
    /// What chance is made of; the same seed makes the same cases
    #[arg(long)]
    seed: Option<u64>,
    /// How many cases each target gets; trees get a hundredth
    #[arg(long, default_value_t = 2000, conflicts_with = "minutes")]
    cases: usize,
    /// How long all of it may take; half of it is for trees
    #[arg(long)]
    minutes: Option<f64>,
    /// How long large cases are, in bytes
    #[arg(long, default_value_t = 1 << 20)]
    large: usize,
    /// Tries one file and tells what comes of it, as the process sees it itself
    #[arg(long, requires = "targets")]
    file: Option<PathBuf>,
    /// Only that this process does the work itself
    #[arg(long, hide = true)]
    scratch: Option<PathBuf>,
    /// Lists the targets
    #[arg(long)]
    list: bool,
    /// Which targets; all without
    targets: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        Target::all().iter().for_each(|target| println!("{}", target.name));
        return ExitCode::SUCCESS;
    }
    for name in &arguments.targets {
        if Target::named(name).is_none() {
            eprintln!("fuzz: {name} is not a target; --list names them");
            return ExitCode::from(2);
        }
    }
    match (&arguments.file, &arguments.scratch) {
        (Some(file), _) => replay(&arguments.targets[0], file),
        (None, Some(scratch)) => work(&arguments, scratch),
        (None, None) => supervise(&arguments),
    }
}

/// Tries a file without any net.
fn replay(name: &str, file: &Path) -> ExitCode {
    let target = Target::named(name).expect("it was looked for");
    target.run(&fs::read(file).expect("the file can be read"));
    ExitCode::SUCCESS
}

/// Tries one target, and prints a line for each finding.
fn work(arguments: &Arguments, scratch: &Path) -> ExitCode {
    let target = Target::named(&arguments.targets[0]).expect("it was looked for");
    let length = arguments
        .minutes
        .map_or(Length::Cases(arguments.cases), |minutes| Length::Time(Duration::from_secs_f64(minutes * 60.0)));
    let hunt =
        Hunt { seed: arguments.seed.unwrap_or_default(), length, large: arguments.large, scratch: scratch.to_owned() };
    let outcome = hunt.run(&target);
    println!("{:<16} {:>9} cases  {}", target.name, outcome.cases, result(outcome.found.len()));
    for (why, file) in &outcome.found {
        println!("  {why}\n  {}", file.display());
    }
    if outcome.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn result(found: usize) -> String {
    if found == 0 { "ok".to_owned() } else { format!("{found} FOUND") }
}

/// Tries all targets one after the other.
fn supervise(arguments: &Arguments) -> ExitCode {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = arguments.seed.unwrap_or(since);
    println!("seed {seed}: --seed {seed} makes the same cases again");
    let all = Target::all();
    let names: Vec<&str> = match arguments.targets.is_empty() {
        true => all.iter().map(|target| target.name).collect(),
        false => arguments.targets.iter().map(String::as_str).collect(),
    };
    let failed = names.iter().filter(|name| !is_well(arguments, seed, name, names.len())).count();
    match failed {
        0 => ExitCode::SUCCESS,
        failed => {
            println!(
                "{failed} of {} targets FAILED; what was found is in tests/fuzz/corpus, and a test from now on",
                names.len()
            );
            ExitCode::FAILURE
        }
    }
}

fn is_well(arguments: &Arguments, seed: u64, name: &str, count: usize) -> bool {
    // In memory where there is such a place: each case is written there.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(name).arg("--scratch").arg(scratch.path());
    command.args(["--seed", &seed.to_string(), "--large", &arguments.large.to_string()]);
    match arguments.minutes {
        None => command.args(["--cases", &arguments.cases.to_string()]),
        Some(minutes) => {
            let share = if name == TREE { 0.5 } else { 0.5 / count.saturating_sub(1).max(1) as f64 };
            let share = if count == 1 { 1.0 } else { share };
            command.args(["--minutes", &(minutes * share).to_string()])
        }
    };
    // What is looked at is a tree, not what the environment says; and what is said to people is read by nobody.
    command.env_clear().stderr(Stdio::null());
    let status = command.status().expect("this program starts");
    if let Some(signal) = status.signal() {
        let why = fs::read_to_string(why(scratch.path())).unwrap_or_else(|_| format!("killed by signal {signal}"));
        let case = fs::read(current(scratch.path())).unwrap_or_default();
        let file = keep(name, &case).expect("the finding is kept");
        println!("{name:<16} FOUND: {why}\n  {}", file.display());
    }
    status.success()
}
