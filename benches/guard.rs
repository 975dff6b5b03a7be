//! What the guard costs those who do not need it, side by side in one run:
//!
//! ```text
//! cargo bench --bench guard
//! ```
//!
//! On made trees in memory of 64 and 65,536 functions, whose files are marked as those of sysfs are: how long a guard takes to
//! start and what memory it takes, and how long open(2) takes of a file that is not marked, of a marked one by a process
//! that carries the lock (200 µs more allowed), and by a stranger on a free node (1 ms more). Needs root. Ratios to an open without a
//! guard are not compared with recorded ones: that takes 2 µs or 20, as the processor happens to be asleep.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

#[path = "../tests/it/support/maketree.rs"]
mod maketree;

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PCICTL: &str = env!("CARGO_BIN_EXE_pcictl");
const ROUNDS: usize = 200;
const MOST_BY_CARRIER: Duration = Duration::from_micros(200);
const MOST_BY_STRANGER: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--opens") {
        // Run again under a lock, it tells how long its opens take.
        println!("{}", median_open(&[PathBuf::from(&arguments[at + 1])]).as_nanos());
        return ExitCode::SUCCESS;
    }
    let measured = arguments.iter().any(|argument| argument == "--bench");
    if !nix::unistd::geteuid().is_root() {
        println!("opens of files are held up for nobody but root");
        return ExitCode::SUCCESS;
    }
    let sizes: &[usize] = if measured { &[64, 65_536] } else { &[64] };
    let are_fast: Vec<bool> = sizes.iter().map(|size| measure(*size)).collect();
    if measured && are_fast.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(functions: usize) -> bool {
    let directory = tempfile::Builder::new().prefix("pcictl-guard-").tempdir_in("/dev/shm").expect("a place in memory");
    let run = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    maketree::make(root, functions).expect("the tree");
    let devices = mark_worthy(root);
    let strangers: Vec<PathBuf> =
        devices.iter().filter(|path| !path.join("pci_bus").exists()).take(16).cloned().collect();
    let switch = fs::canonicalize(root.join("sys/bus/pci/devices").join(maketree::SWITCH)).expect("the switch");
    let begun = Instant::now();
    let guard = start(root, run.path());
    let started = begun.elapsed();
    let memory = resident(guard.id());

    // Lock files that are new take a look at all processes; after the first time they are not.
    let files: Vec<PathBuf> = strangers.iter().map(|path| path.join("remove")).collect();
    median_open(&files);
    let unmarked = median_open(&[switch.join("vendor")]);
    let stranger = median_open(&files);
    let mut command = pcictl(root, run.path());
    command.args(["lock", maketree::SWITCH, "--"]).arg(std::env::current_exe().expect("this program"));
    let output = command.arg("--opens").arg(switch.join("remove")).output().expect("pcictl lock");
    let carrier = String::from_utf8_lossy(&output.stdout).trim().parse().map(Duration::from_nanos).expect("a time");
    end(guard);
    let without = median_open(&files);
    println!(
        "{functions} functions: started in {:.0} ms, {memory} KiB resident; open of a file that is not marked {:.1} µs, of one \
         that is without a guard {:.1} µs, with the lock {:.0} µs, by a stranger {:.0} µs",
        started.as_secs_f64() * 1e3,
        micros(unmarked),
        micros(without),
        micros(carrier),
        micros(stranger)
    );
    carrier < without + MOST_BY_CARRIER && stranger < without + MOST_BY_STRANGER
}

/// Makes the files that the guard marks, each an inode of its own; gives the directories of the functions.
fn mark_worthy(root: &Path) -> Vec<PathBuf> {
    let links = fs::read_dir(root.join("sys/bus/pci/devices")).expect("functions");
    let mut devices: Vec<PathBuf> =
        links.map(|link| fs::canonicalize(link.expect("a link").path()).expect("a directory")).collect();
    devices.sort();
    for device in &devices {
        let is_virtual = device.join("physfn").exists();
        let names: &[&str] =
            if is_virtual { &["driver_override"] } else { &["driver_override", "remove", "rescan", "reset"] };
        for name in names {
            let _ = fs::remove_file(device.join(name));
            fs::write(device.join(name), "").expect("a file");
        }
    }
    devices
}

fn pcictl(root: &Path, run: &Path) -> Command {
    let mut command = Command::new(PCICTL);
    command.arg("--sysroot").arg(root).env("PCICTL_RUN_DIR", run);
    command
}

fn start(root: &Path, run: &Path) -> Child {
    let mut guard = pcictl(root, run).arg("guard").stderr(Stdio::piped()).spawn().expect("a guard");
    let mut lines = BufReader::new(guard.stderr.take().expect("its words")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("guarding")), "it does not serve");
    guard
}

fn end(mut guard: Child) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .expect("a signal");
    guard.wait().expect("its end");
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// The median time of open(2), of one file after the other. Between two of them the guard has time to let go of the last one.
fn median_open(files: &[PathBuf]) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let file = &files[round % files.len()];
            let begun = Instant::now();
            let opened = OpenOptions::new().write(true).open(file).expect("the file");
            let took = begun.elapsed();
            drop(opened);
            std::thread::sleep(Duration::from_millis(5));
            took
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
