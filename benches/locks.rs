//! What the locks cost: `cargo bench --bench locks`. First the parts, then ratios, each between two things that were
//! measured in turns in the same run: against the bare system calls, and whole processes against util-linux `flock`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/it/support/maketree.rs"]
mod maketree;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fs2::FileExt;
use maketree::SWITCH;
use pcictl::lock::acquire::{WaitLimit, Waiting, WatchWait};
use pcictl::lock::claims::{Claims, Mode};
use pcictl::lock::files::LockDirectory;
use pcictl::pci::place::Place;
use tempfile::TempDir;

use crate::record::{Record, is_recording};

/// Eight steps below the root.
const DEEP: &str = "pci0000:00/01.0/00.0/02.0/00.0/03.0/00.0/01.0";
const PCICTL: &str = env!("CARGO_BIN_EXE_pcictl");

static RUN: LazyLock<TempDir> = LazyLock::new(directory);
static LOCKS: LazyLock<LockDirectory> = LazyLock::new(|| LockDirectory::open(RUN.path()).unwrap());

fn directory() -> TempDir {
    let builder =
        || tempfile::Builder::new().prefix("pcictl-").permissions(fs::Permissions::from_mode(0o755)).to_owned();
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).unwrap()
}

fn claims() -> Claims {
    Claims::changing(vec![Place::from_chain(DEEP).unwrap()])
}

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Waiting<'_>) {}
}

fn acquire_and_release(claims: &Claims) {
    drop(LOCKS.acquire(claims, WaitLimit::NoWait, &mut Silent).unwrap());
}

/// The calls that the same claims need at the very least: open and lock gate and lock of each node, close the gate.
fn bare_calls(files: &[(PathBuf, PathBuf, Mode)]) {
    let open = |path: &Path| OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NOFOLLOW).open(path);
    let mut held: Vec<File> = Vec::with_capacity(files.len());
    for (gate, lock, mode) in files {
        let gate = open(gate).unwrap();
        FileExt::try_lock_exclusive(&gate).unwrap();
        let lock = open(lock).unwrap();
        match mode {
            Mode::Shared => FileExt::try_lock_shared(&lock).unwrap(),
            Mode::Exclusive => FileExt::try_lock_exclusive(&lock).unwrap(),
        }
        held.push(lock);
    }
}

fn files() -> Vec<(PathBuf, PathBuf, Mode)> {
    acquire_and_release(&claims());
    let name =
        |place: &Place| if *place == Place::root() { "root".to_owned() } else { place.chain().replace('/', "+") };
    let file = |place: &Place, kind: &str| RUN.path().join("locks").join(format!("{}.{kind}", name(place)));
    let of = |claim: &pcictl::lock::claims::Claim| (file(&claim.place, "gate"), file(&claim.place, "lock"), claim.mode);
    claims().in_order().iter().map(of).collect()
}

#[divan::bench]
fn a_node_eight_deep(bencher: divan::Bencher) {
    let claims = claims();
    acquire_and_release(&claims);
    bencher.bench(|| acquire_and_release(&claims));
}

#[divan::bench]
fn the_bare_calls(bencher: divan::Bencher) {
    let files = files();
    bencher.bench(|| bare_calls(&files));
}

/// From letting go to the waiter having it, which sleeps in the kernel by then.
fn hand_over_once(claims: &Claims) -> Duration {
    let held = LOCKS.acquire(claims, WaitLimit::NoWait, &mut Silent).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let limit = WaitLimit::Until(Instant::now() + Duration::from_secs(60));
            let held = LOCKS.acquire(claims, limit, &mut Silent).unwrap();
            (Instant::now(), held)
        });
        // Time enough to fall asleep in the kernel.
        std::thread::sleep(Duration::from_millis(5));
        let released = Instant::now();
        drop(held);
        let (got, held) = waiter.join().unwrap();
        drop(held);
        got.saturating_duration_since(released)
    })
}

/// Medians of two things done in turns.
fn compare(times: usize, mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> [Duration; 2] {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..times {
        one.push(ours());
        two.push(theirs());
    }
    [one, two].map(|mut all| {
        all.sort_unstable();
        all[all.len() / 2]
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn show(record: &mut Record, what: &str, [ours, theirs]: [Duration; 2]) {
    let ratio = record.note(what, ours.as_secs_f64() / theirs.as_secs_f64());
    println!("{what}: {ours:.1?} against {theirs:.1?}: {ratio}");
}

/// Runs `true` under a lock, as pcictl and as flock(1).
struct Processes {
    tree: TempDir,
    run: TempDir,
    file: PathBuf,
}

impl Processes {
    fn new() -> Self {
        let (tree, run) = (directory(), directory());
        maketree::make(tree.path(), 64).unwrap();
        let file = run.path().join("plain");
        Self { tree, run, file }
    }

    fn pcictl(&self, command: &[&str]) -> Command {
        let mut ours = Command::new(PCICTL);
        ours.arg("--sysroot").arg(self.tree.path()).args(["--quiet", "lock", SWITCH, "--"]).args(command);
        ours.env("PCICTL_RUN_DIR", self.run.path());
        ours
    }

    fn flock(&self, command: &[&str]) -> Command {
        let mut theirs = Command::new("flock");
        theirs.arg(&self.file).args(command);
        theirs
    }
}

fn run(mut command: Command) -> Duration {
    timed(|| assert!(command.status().unwrap().success()))
}

/// From the holder's letting go to the end of a waiter that was asleep; each a process, running a command.
fn hand_over_processes(of: &dyn Fn(&[&str]) -> Command) -> Duration {
    let mut holder =
        of(&["sh", "-c", "echo held; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let mut waiter = of(&["true"]).spawn().unwrap();
    while !sleeps_in_flock(&waiter) {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    drop(holder.stdin.take());
    assert!(waiter.wait().unwrap().success());
    let took = begun.elapsed();
    holder.wait().unwrap();
    took
}

fn sleeps_in_flock(child: &Child) -> bool {
    let waiting = format!(" {} ", child.id());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&waiting))
}

/// Processes with files open that are no lock files, as a busy host has them.
struct Bystanders {
    processes: Vec<Child>,
}

impl Bystanders {
    const PROCESSES: usize = 2000;
    const DESCRIPTORS: usize = 52;

    fn start() -> Self {
        let scratch = directory();
        let open = |number: usize| {
            let file = fs::File::create(scratch.path().join(number.to_string())).unwrap();
            // Left open in those that are started next.
            nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
            file
        };
        let files: Vec<fs::File> = (0..Self::DESCRIPTORS).map(open).collect();
        let start = |_| Command::new("sleep").arg("1000").spawn().unwrap();
        let processes = (0..Self::PROCESSES).map(start).collect();
        drop(files);
        Self { processes }
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn main() -> ExitCode {
    // divan knows no such option, and what it times is not recorded.
    if !is_recording() {
        divan::main();
    }
    let mut record = Record::of("locks");
    let (claims, files) = (claims(), files());
    println!("\nmedians, in turns:");
    let calls = compare(5000, || timed(|| acquire_and_release(&claims)), || timed(|| bare_calls(&files)));
    show(&mut record, "a node 8 deep, against its bare calls", calls);
    let mut hand_overs: Vec<Duration> = (0..500).map(|_| hand_over_once(&claims)).collect();
    hand_overs.sort_unstable();
    println!("hand-over to a waiter: {:.1?}", hand_overs[hand_overs.len() / 2]);
    let processes = Processes::new();
    let whole = compare(200, || run(processes.pcictl(&["true"])), || run(processes.flock(&["true"])));
    show(&mut record, "pcictl lock SWITCH -- true, against flock FILE true", whole);
    let over = compare(
        50,
        || hand_over_processes(&|command| processes.pcictl(command)),
        || hand_over_processes(&|command| processes.flock(command)),
    );
    show(&mut record, "the same with a waiter that is handed the lock", over);
    let bystanders = Bystanders::start();
    let first = || {
        let processes = Processes::new();
        run(processes.pcictl(&["true"]))
    };
    let first = compare(20, first, || run(processes.flock(&["true"])));
    show(&mut record, "the first lock of a node beside 2,000 processes, against flock FILE true", first);
    drop(bystanders);
    if record.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
