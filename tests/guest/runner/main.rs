//! Runs the cases of `tests/guest/cases` in QEMU guests: real kernels, real PCI trees, the real pcictl.
//!
//! ```text
//! cargo test -p guest-tests                            everything
//! cargo test -p guest-tests -- 6.12 switch8 remove     that kernel, that topology, cases with `remove` in the name
//! cargo test -p guest-tests -- --everywhere            the cases to which the version makes no difference run on the oldest
//!                                                      and the newest kernel, too
//! cargo test -p guest-tests -- --topology=FILE storm    on the machine of that file (an absolute path)
//! cargo test -p guest-tests -- --jobs=1                one guest after the other, with a thread for each of its processors
//! cargo test -p guest-tests -- --list                  what there is
//! PCICTL_GUEST_STORM=1000 cargo test -p guest-tests -- lock-storm      a storm of so many operations
//! PCICTL_GUEST_THREADS=single cargo test -p guest-tests -- lock-storm  for hours, see ../boot
//! ```
//!
//! Two guests run at the same time where there are two processors, each on one thread: most cases keep one processor busy at the
//! most, and the emulator loses no interrupt to itself that way (../boot).
//!
//! It never skips: a guest that cannot be booted is a failure. The one exception is a pinned build of a kernel that has left the
//! archive: it is said in the end what was not run. A guest that was lost (a panic, a hang) is reported as
//! such, with the end of its console, because it says something else than a failed case does. What it does not promise:
//! timing. Everything is emulated, so cases compare times with each other or count, and assert nothing about seconds.

mod boot;
mod case;
mod monitor;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use boot::Outcome;
use case::{Boot, Case, Kernel, Words};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guest tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut filters: Vec<String>) -> Result<bool> {
    let mut has = |flag: &str| {
        let before = filters.len();
        filters.retain(|word| word != flag);
        filters.len() < before
    };
    let (list, everywhere) = (has("--list"), has("--everywhere"));
    let mut value = |option: &str| {
        let given = filters.iter().find_map(|word| word.strip_prefix(option).map(str::to_owned));
        filters.retain(|word| !word.starts_with(option));
        given
    };
    let topology_file = value("--topology=");
    let jobs = match value("--jobs=") {
        // None at a time would be all tests passed, and none run.
        Some(number) => number.parse::<NonZeroUsize>().context("--jobs takes a number from 1 on")?.get(),
        None => thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE),
    };
    if let Some(flag) = filters.iter().find(|word| word.starts_with('-')) {
        bail!(
            "unknown option {flag}; takes --list, --everywhere, --jobs=N, --topology=FILE, and words to filter by: a kernel, a topology, a part of a case's name"
        );
    }

    let guest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kernels = kernels(guest_dir)?;
    let cases = case::read_all(&guest_dir.join("cases"))?;
    let topologies = topologies(guest_dir)?;
    let asked = filters.join(" ");
    let words = Words::new(filters, &kernels, &topologies, everywhere, topology_file);
    let boots = case::plan(&cases, &kernels, &topologies, &words)?;
    if boots.is_empty() {
        bail!("no case matches {asked}");
    }
    if list {
        for boot in &boots {
            for case in &boot.cases {
                println!("{}", title(boot, case));
            }
        }
        return Ok(true);
    }

    // Both print what they made; their talk goes to stderr.
    let mut prepare = Command::new(guest_dir.join("prepare"));
    prepare.args(boots.iter().map(|boot| &boot.kernel).collect::<std::collections::BTreeSet<_>>());
    let prepared = output_of(&mut prepare)?;
    let is_gone = |boot: &Boot| prepared.lines().any(|line| line.strip_prefix("gone ") == Some(&boot.kernel));
    let (not_run, boots): (Vec<_>, Vec<_>) = boots.into_iter().partition(is_gone);
    let pcictl = last_line_of(&mut Command::new(guest_dir.join("build-pcictl")))?;
    let tools = last_line_of(&mut Command::new(guest_dir.join("build-tools")))?;
    let mut programs = vec![PathBuf::from(pcictl)];
    for entry in fs::read_dir(tools)? {
        programs.push(entry?.path());
    }

    let tally = run_all(&Rig { guest_dir, programs, jobs }, boots)?;
    println!();
    // Once more where nobody misses them, whatever becomes of the lines between.
    for title in &tally.failed {
        println!("FAILED: {title}");
    }
    let (passed, failed, documents) = (tally.passed, tally.failed.len(), tally.documents);
    println!("{passed} passed, {failed} failed; {documents} documents in the published form");
    for boot in &not_run {
        let package = kernels.iter().find(|kernel| kernel.series == boot.kernel).map_or("?", |kernel| &kernel.package);
        let cases: Vec<_> = boot.cases.iter().map(|case| case.name.as_str()).collect();
        println!("NOT RUN, {package} has left the archive: {} {} {}", boot.kernel, boot.topology, cases.join(" "));
    }
    Ok(tally.failed.is_empty())
}

/// So many guests run at the same time unless it is said otherwise.
const AT_ONCE: usize = 2;

/// How often a guest that is lost before its first case is booted.
const BOOT_TRIES: usize = 3;

/// How often QEMU may fail in the cases of one boot. A storm on 6.1 makes QEMU 7.2 crash in about one run of three.
const CRASH_TRIES: usize = 6;

/// What all guests are made with.
struct Rig<'a> {
    guest_dir: &'a Path,
    programs: Vec<PathBuf>,
    jobs: usize,
}

/// What the tests came to so far.
#[derive(Default)]
struct Tally {
    passed: usize,
    /// Their titles.
    failed: Vec<String>,
    documents: usize,
}

/// Runs the cases of these boots, those that may take longest first.
fn run_all(rig: &Rig, mut boots: Vec<Boot>) -> Result<Tally> {
    // The next one to be taken is the last one.
    boots.sort_by_key(|boot| boot.cases.iter().map(|case| case.timeout).sum::<Duration>());
    let (tally, jobs) = (Mutex::new(Tally::default()), rig.jobs.min(boots.len()));
    let threads = (jobs > 1).then_some("single");
    let queue = Mutex::new(boots);
    let work = || {
        let next = || locked(&queue).pop();
        while let Some(boot) = next() {
            run_boot(rig, boot, threads, &tally)?;
        }
        Ok(())
    };
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("the runner itself failed"))).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs the cases of a boot, booting again for those that a spoiled machine left over.
fn run_boot(rig: &Rig, mut boot: Boot, threads: Option<&str>, tally: &Mutex<Tally>) -> Result<()> {
    let (mut lost_boots, mut crashes) = (0, 0);
    while !boot.cases.is_empty() {
        let started = Instant::now();
        let judge = |case: &Case, outcome: &Outcome| locked(tally).judge(&boot, case, outcome);
        let report = boot::run(rig.guest_dir, &boot, &rig.programs, threads, judge)?;
        let name = format!("{} {}", boot.kernel, boot.topology);
        if let Some(outcome) = report.boot {
            println!("{name} ... BOOT FAILED\n{}", told(&outcome));
            // Emulated processors now and then trip over each other while the kernel patches its own code at boot.
            // No case has begun then, so nothing of pcictl was on trial.
            lost_boots += 1;
            if lost_boots < BOOT_TRIES {
                continue;
            }
            locked(tally).failed.extend(boot.cases.iter().map(|case| title(&boot, case)));
            return Ok(());
        }
        boot.cases.drain(..report.ran);
        if let Some(outcome) = report.crash {
            // QEMU dies (7.2) or loses an interrupt (10.0) now and then when devices come and go while another
            // processor uses theirs. That says nothing of the case, good or bad, so it is asked again, and the
            // report says so.
            crashes += 1;
            if crashes < CRASH_TRIES {
                let what = outcome.details.first().map_or("QEMU failed", |(what, _)| what);
                println!("{} ... {what}, running it again", title(&boot, &boot.cases[0]));
                continue;
            }
            locked(tally).judge(&boot, &boot.cases[0], &outcome);
            boot.cases.remove(0);
        }
        let rest = match boot.cases.len() {
            0 => String::new(),
            rest => format!("; booting again for the other {rest}"),
        };
        println!("  ({name}: this boot took {:.1} s{rest})", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What one worker holds is whole even if another one failed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Tells of a case in one piece, for others tell of theirs at the same time.
    fn judge(&mut self, boot: &Boot, case: &Case, outcome: &Outcome) {
        let title = title(boot, case);
        let took = outcome.took.as_secs_f64();
        let came = case::names(&outcome.marks);
        self.documents += outcome.documents;
        if case.is_as_expected(&outcome.marks) {
            self.passed += 1;
            let why = if came.is_empty() { came } else { format!(", as it must: {came}") };
            let notes = outcome.stdout.lines().filter_map(|line| line.strip_prefix("note: "));
            let notes: String = notes.map(|note| format!("\n    {note}")).collect();
            println!("{title} ... ok ({took:.1} s){why}{notes}");
            return;
        }
        let came = if came.is_empty() { "pass" } else { &came };
        println!("{title} ... FAILED ({took:.1} s): {came}, and not {}\n{}", case.expectation(), told(outcome));
        self.failed.push(title);
    }
}

/// All that is known of what came of a case or a boot.
fn told(outcome: &Outcome) -> String {
    let status = if outcome.status.is_empty() { "unknown" } else { &outcome.status };
    let stdout = [("stdout", outcome.stdout.clone())];
    let parts = stdout.iter().chain(&outcome.details).filter(|(_, text)| !text.trim().is_empty());
    let part = |(what, text): &(&str, String)| {
        let lines = text.trim_end().lines().map(|line| format!("\n    {line}"));
        format!("\n    --- {what}{}", lines.collect::<String>())
    };
    format!("    exit status {status}{}", parts.map(part).collect::<String>())
}

fn title(boot: &Boot, case: &Case) -> String {
    format!("{} {} {}", boot.kernel, boot.topology, case.name)
}

/// The kernels listed in `tests/guest/kernels`.
fn kernels(guest_dir: &Path) -> Result<Vec<Kernel>> {
    let text = fs::read_to_string(guest_dir.join("kernels")).context("cannot read tests/guest/kernels")?;
    Kernel::parse_list(&text).context("tests/guest/kernels")
}

/// The names of `tests/guest/topologies/*.topo`.
fn topologies(guest_dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(guest_dir.join("topologies"))? {
        let path: PathBuf = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(names)
}

/// Runs a command and returns the last line it printed.
fn last_line_of(command: &mut Command) -> Result<String> {
    Ok(output_of(command)?.lines().last().unwrap_or_default().to_owned())
}

/// Runs a command and returns what it printed.
fn output_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
