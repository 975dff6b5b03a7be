//! Writes by helpers, against FIFOs that stand for files of sysfs: opening one for writing lasts until somebody reads it,
//! as a write to the kernel lasts until a driver is done.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::RwLockWriteGuard;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use pcictl::execute::executor::{Event, StepRunner, execute};
use pcictl::execute::supervisor::Supervisor;
use pcictl::host::sysfs::Sysfs;
use pcictl::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use pcictl::lock::claims::Claims;
use pcictl::lock::files::LockDirectory;
use pcictl::pci::place::Place;
use pcictl::plan::action::{Action, Step, StepRef};
use pcictl::plan::step_state::Done;

use crate::support::processes::hold_off_all;

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Waiting) {}
}

/// A machine of one file, with its locks.
///
/// One at a time: locks that are to be inherited by a helper are, for a moment, inherited by all that this process starts.
struct Bench {
    _alone: RwLockWriteGuard<'static, ()>,
    root: tempfile::TempDir,
    sysfs: Sysfs,
}

const DEVICE: &str = "0000:00:01.0";

impl Bench {
    fn new() -> Self {
        let alone = hold_off_all();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/bus/pci/devices").join(DEVICE)).unwrap();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        Self { _alone: alone, root, sysfs }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("sys").join(name)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        nix::unistd::mkfifo(&self.file(name), Mode::S_IRWXU).unwrap();
        self.file(name)
    }

    fn locks(&self) -> LockDirectory {
        LockDirectory::open(self.root.path()).unwrap()
    }

    fn hold(&self) -> pcictl::error::Result<Held> {
        let claims = Claims::changing(vec![Place::from_chain("pci0000:00/01.0").unwrap()]);
        self.locks().acquire(&claims, WaitLimit::NoWait, &mut Silent)
    }

    fn supervisor(&self, held: &Held, journal: Option<OwnedFd>, timeout: Duration) -> Supervisor<'_> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_pcictl"));
        Supervisor::new(&self.sysfs, held, journal, timeout).unwrap().with_program(program)
    }
}

fn step(file: &str) -> Step {
    let action = Action::Remove { address: DEVICE.parse().unwrap() };
    Step { action, file: file.into(), value: "1".into(), after: Vec::new() }
}

const MARK: StepRef = StepRef { step: 0, undo: false };
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_helper_writes_the_value_and_reports_what_the_kernel_said() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    let mut supervisor = bench.supervisor(&held, None, LONG);
    fs::write(bench.file("remove"), "").unwrap();
    assert!(execute(&[step("remove")], 0, &mut supervisor, 1).is_complete());
    assert_eq!(fs::read_to_string(bench.file("remove")).unwrap(), "1");

    let outcomes = execute(&[step("not/there")], 0, &mut supervisor, 1);
    assert_eq!(outcomes.failure(), Some((0, Errno::ENOENT)));
    // It is gone, so removing it is done already.
    fs::remove_dir_all(bench.file("bus/pci/devices").join(DEVICE)).unwrap();
    supervisor.begin(MARK, &step("not/there")).unwrap();
    assert!(matches!(supervisor.next_event(), Event::Ended(MARK, Ok(Done::Already))));
}

/// Whatever else is started may hang for ever, and must not keep the locks then.
#[test]
fn only_helpers_get_the_locks() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    let mut supervisor = bench.supervisor(&held, None, LONG);
    bench.fifo("remove");
    supervisor.begin(MARK, &step("remove")).unwrap();
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let has_locks = |pid: u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        open.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(bench.root.path().join("locks"))))
    };
    let (other_has, this_has) = (has_locks(other.id()), has_locks(std::process::id()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(this_has && !other_has);
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let helper = children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid| has_locks(*pid));
    assert!(helper.is_some() || children.is_empty());
    // The write waits for a reader of the pipe, and ends with one.
    drop(fs::File::open(bench.file("remove")).unwrap());
    supervisor.next_event();
}

#[test]
fn a_write_that_takes_too_long_gives_the_terminal_back_and_its_helper_keeps_the_locks() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    let fifo = bench.fifo("remove");
    let mut supervisor = bench.supervisor(&held, None, Duration::from_millis(1));
    let outcomes = execute(&[step("remove")], 0, &mut supervisor, 1);
    let unfinished = outcomes.detached.expect("it was given back");
    // A test has several threads, so there is no second process: the helper alone goes on.
    assert!(unfinished.late && unfinished.background.is_none());
    drop((supervisor, held));
    assert!(bench.hold().is_err(), "the helper has the locks");
    let holders = bench.locks().holders(&Place::from_chain("pci0000:00/01.0").unwrap()).unwrap();
    assert_eq!(holders.iter().map(|holder| holder.process.pid).collect::<Vec<_>>(), [unfinished.helper]);
    assert!(holders[0].process.command.starts_with("pcictl kernel-write "), "{}", holders[0].process.command);
    assert!(holders[0].process.command.contains(" 1 "), "{}", holders[0].process.command);

    assert_eq!(fs::read_to_string(&fifo).unwrap(), "1");
    wait_for_end(unfinished.helper);
    bench.hold().expect("the locks are free when it is done");
}

#[test]
fn a_helper_has_nothing_open_but_its_locks_and_pipes_and_is_alone_in_its_session() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("remove");
    // Something that a careless caller left open.
    let stray = fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&stray, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let mut supervisor = bench.supervisor(&held, None, Duration::from_millis(1));
    let outcomes = execute(&[step("remove")], 0, &mut supervisor, 1);
    let helper = outcomes.detached.unwrap().helper;
    let proc = PathBuf::from(format!("/proc/{helper}"));
    wait_until(|| {
        fs::read_to_string(proc.join("wchan")).is_ok_and(|wchan| wchan.contains("fifo")) || is_in_fifo(&proc)
    });

    let mut open: Vec<String> = fs::read_dir(proc.join("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    open.retain(|target| !target.starts_with("/dev/null") && !target.starts_with("socket:"));
    let locks = bench.root.path().join("locks").display().to_string();
    assert_eq!(open.len(), 3, "{open:?}");
    assert!(open.iter().all(|target| target.starts_with(&locks)), "{open:?}");
    assert_eq!(fs::read_to_string(proc.join("comm")).unwrap(), "pcictl-write\n");
    let stat = fs::read_to_string(proc.join("stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, helper.to_string());
    assert!(fs::read(proc.join("environ")).unwrap().is_empty());
    // What a terminal or an operator sends does not reach it.
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM, nix::sys::signal::SIGHUP] {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(helper as i32), signal).unwrap();
    }
    assert_eq!(fs::read_to_string(bench.file("remove")).unwrap(), "1");
    wait_for_end(helper);
}

#[test]
fn a_helper_that_is_killed_is_no_success() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("remove");
    let mut supervisor = bench.supervisor(&held, None, LONG);
    supervisor.begin(MARK, &step("remove")).unwrap();
    kill(children()[0]);
    assert!(matches!(supervisor.next_event(), Event::Ended(MARK, Err(Errno::ECANCELED))));
}

#[test]
fn a_helper_that_is_started_ahead_writes_when_its_turn_comes_and_never_before() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    for name in ["first", "second", "third"] {
        fs::write(bench.file(name), "").unwrap();
    }
    let mut supervisor = bench.supervisor(&held, None, LONG);
    supervisor.prestart(0, &["first", "second", "third"].map(step));
    let ready = children();
    assert_eq!(ready.len(), 3);
    supervisor.begin(StepRef { step: 1, undo: false }, &step("second")).unwrap();
    assert_eq!(children(), ready, "no other one was started");
    assert!(matches!(supervisor.next_event(), Event::Ended(StepRef { step: 1, undo: false }, Ok(Done::Done))));
    assert_eq!(children(), [ready[0], ready[2]]);
    // What is undone is another write than the one it was started for.
    supervisor.begin(StepRef { step: 2, undo: true }, &step("third")).unwrap();
    assert_eq!(children().len(), 3);
    supervisor.next_event();
    assert_eq!(children(), [ready[0], ready[2]]);

    drop(supervisor);
    assert!(children().is_empty());
    let texts = ["first", "second", "third"].map(|name| fs::read_to_string(bench.file(name)).unwrap());
    assert_eq!(texts, ["", "1", "1"]);
    drop(held);
    bench.hold().expect("those that were not needed have ended, and the locks are free");
}

#[test]
fn another_helper_takes_the_place_of_one_that_was_killed_before_its_turn() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    fs::write(bench.file("remove"), "").unwrap();
    let mut supervisor = bench.supervisor(&held, None, LONG);
    supervisor.prestart(0, &[step("remove")]);
    let ready = children()[0];
    kill(ready);
    wait_for_end(ready);
    supervisor.begin(MARK, &step("remove")).unwrap();
    assert!(matches!(supervisor.next_event(), Event::Ended(MARK, Ok(Done::Done))));
    assert_eq!(fs::read_to_string(bench.file("remove")).unwrap(), "1");
}

#[test]
fn a_helper_that_cannot_be_started_is_a_failed_step() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    let supervisor = Supervisor::new(&bench.sysfs, &held, None, LONG).unwrap();
    let mut supervisor = supervisor.with_program(bench.root.path().join("nowhere"));
    assert_eq!(execute(&[step("remove")], 0, &mut supervisor, 1).failure(), Some((0, Errno::ENOENT)));
}

/// The processes that this thread has started and not waited for, the oldest first.
fn children() -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", nix::unistd::gettid())).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::SIGKILL).unwrap();
}

/// Opening a FIFO waits in a system call that /proc names by number; with no rights to read it, the kernel's name does.
fn is_in_fifo(proc: &Path) -> bool {
    fs::read_to_string(proc.join("comm")).is_ok_and(|comm| comm == "pcictl-write\n")
        && fs::read_dir(proc.join("fd")).is_ok_and(|entries| entries.count() == 6)
}

fn wait_until(mut met: impl FnMut() -> bool) {
    while !met() {
        std::thread::yield_now();
    }
}

/// Until the process has ended; as nobody waits for it, it stays as a zombie, or is somebody else's child.
fn wait_for_end(pid: u32) {
    wait_until(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    });
}
