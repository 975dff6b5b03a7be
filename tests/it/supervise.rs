//! Writes by the writer, against FIFOs that stand for files of sysfs: opening one for writing lasts until somebody reads it,
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
/// One at a time: locks that are to be inherited by a writer are, for a moment, inherited by all that this process starts.
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
        Supervisor::new(&self.sysfs, held, journal, timeout).unwrap()
    }
}

fn step(file: &str) -> Step {
    let action = Action::Remove { address: DEVICE.parse().unwrap() };
    Step { action, file: file.into(), value: "1".into(), after: Vec::new() }
}

const MARK: StepRef = StepRef { step: 0, undo: false };
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn the_writer_writes_the_value_and_reports_what_the_kernel_said() {
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
fn only_the_writer_gets_the_locks() {
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
    let writer = children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid| has_locks(*pid));
    assert!(writer.is_some() || children.is_empty());
    // The write waits for a reader of the pipe, and ends with one.
    drop(fs::File::open(bench.file("remove")).unwrap());
    supervisor.next_event();
}

#[test]
fn a_write_that_takes_too_long_gives_the_terminal_back_and_its_writer_keeps_the_locks() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    let fifo = bench.fifo("remove");
    let mut supervisor = bench.supervisor(&held, None, Duration::from_millis(1));
    let outcomes = execute(&[step("remove")], 0, &mut supervisor, 1);
    let unfinished = outcomes.detached.expect("it was given back");
    // A test has several threads, so there is no second process: the writer alone goes on.
    assert!(unfinished.late && unfinished.background.is_none());
    drop((supervisor, held));
    assert!(bench.hold().is_err(), "the writer has the locks");
    let holders = bench.locks().holders(&Place::from_chain("pci0000:00/01.0").unwrap()).unwrap();
    assert_eq!(holders.iter().map(|holder| holder.process.pid).collect::<Vec<_>>(), [unfinished.helper]);
    assert!(holders[0].process.command.starts_with("pcictl kernel-write "), "{}", holders[0].process.command);
    assert!(holders[0].process.command.contains(" 1 ("), "{}", holders[0].process.command);

    assert_eq!(fs::read_to_string(&fifo).unwrap(), "1");
    wait_for_end(unfinished.helper);
    bench.hold().expect("the locks are free when it is done");
}

#[test]
fn the_writer_has_nothing_open_but_its_locks_and_its_line_and_is_alone_in_its_session() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("remove");
    // Something that a careless caller left open.
    let stray = fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&stray, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let mut supervisor = bench.supervisor(&held, None, Duration::from_millis(1));
    let outcomes = execute(&[step("remove")], 0, &mut supervisor, 1);
    let writer = outcomes.detached.unwrap().helper;
    let proc = PathBuf::from(format!("/proc/{writer}"));
    wait_until(|| is_ready(writer) && !writes(writer).is_empty());

    let mut open: Vec<String> = fs::read_dir(proc.join("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    assert_eq!(open.len(), 7, "{open:?}");
    open.retain(|target| !target.starts_with("/dev/null") && !target.starts_with("socket:"));
    let locks = bench.root.path().join("locks").display().to_string();
    assert_eq!(open.len(), 3, "{open:?}");
    assert!(open.iter().all(|target| target.starts_with(&locks)), "{open:?}");
    for task in fs::read_dir(proc.join("task")).unwrap() {
        assert_eq!(fs::read_to_string(task.unwrap().path().join("comm")).unwrap(), "pcictl-write\n");
    }
    let stat = fs::read_to_string(proc.join("stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, writer.to_string());
    // What a terminal or an operator sends does not reach it.
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM, nix::sys::signal::SIGHUP] {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(writer as i32), signal).unwrap();
    }
    drop(supervisor);
    assert_eq!(fs::read_to_string(bench.file("remove")).unwrap(), "1");
    wait_for_end(writer);
}

#[test]
fn a_writer_that_is_killed_is_no_success_and_another_one_makes_the_next_write() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("remove");
    fs::write(bench.file("next"), "").unwrap();
    let mut supervisor = bench.supervisor(&held, None, LONG);
    supervisor.begin(MARK, &step("remove")).unwrap();
    let first = children();
    kill(first[0]);
    assert!(matches!(supervisor.next_event(), Event::Ended(MARK, Err(Errno::ECANCELED))));
    assert!(children().is_empty());
    supervisor.begin(MARK, &step("next")).unwrap();
    assert!(matches!(supervisor.next_event(), Event::Ended(MARK, Ok(Done::Done))));
    assert_eq!(fs::read_to_string(bench.file("next")).unwrap(), "1");
    assert!(children().len() == 1 && children() != first);
}

/// Killed unseen: what it had in hand is judged, what it had answered stays answered, and nothing is begun twice.
#[test]
fn what_a_killed_writer_had_in_hand_is_told_before_what_comes_after_it() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("hangs");
    for name in ["done", "next"] {
        fs::write(bench.file(name), "").unwrap();
    }
    let mut supervisor = bench.supervisor(&held, None, LONG);
    let writer = children()[0];
    supervisor.begin(mark(0), &step("hangs")).unwrap();
    supervisor.begin(mark(1), &step("done")).unwrap();
    let is_done = || fs::read_to_string(bench.file("done")).unwrap() == "1";
    wait_until(|| is_done() && is_ready(writer) && writes(writer).len() == 1);
    kill(writer);
    wait_for_end(writer);
    supervisor.begin(mark(2), &step("next")).unwrap();
    let told: Vec<Event> = (0..3).map(|_| supervisor.next_event()).collect();
    let is_told = |mark: StepRef, result: Result<Done, Errno>| {
        told.iter().any(|event| matches!(event, Event::Ended(m, r) if *m == mark && *r == result))
    };
    assert!(is_told(mark(0), Err(Errno::ECANCELED)) && is_told(mark(2), Ok(Done::Done)), "{told:?}");
    // Killed between the write and its answer it would be neither.
    assert!(is_told(mark(1), Ok(Done::Done)) || is_told(mark(1), Err(Errno::ECANCELED)), "{told:?}");
}

#[test]
fn writes_share_a_writer_and_one_that_hangs_does_not_keep_the_others() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    bench.fifo("hangs");
    let mut supervisor = bench.supervisor(&held, None, LONG);
    let writer = children();
    assert_eq!(writer.len(), 1, "it is there before the first write");
    supervisor.begin(mark(0), &step("hangs")).unwrap();
    for number in 1..=40 {
        let name = format!("file{number}");
        fs::write(bench.file(&name), "").unwrap();
        supervisor.begin(mark(number), &step(&name)).unwrap();
        assert!(matches!(supervisor.next_event(), Event::Ended(m, Ok(Done::Done)) if m == mark(number)));
        assert_eq!(fs::read_to_string(bench.file(&name)).unwrap(), "1");
    }
    assert_eq!(children(), writer, "no other one was started");
    // The two threads are the one that takes orders and the one that hangs.
    wait_until(|| fs::read_dir(format!("/proc/{}/task", writer[0])).unwrap().count() == 2);
    let hangs = writes(writer[0]);
    assert_eq!(hangs.len(), 1, "{hangs:?}");
    assert!(hangs[0].starts_with(&format!("{} 1 (", bench.file("hangs").display())), "{hangs:?}");
    let thread = hangs[0].rsplit_once('(').unwrap().1.trim_end_matches(')');
    assert!(Path::new(&format!("/proc/{}/task/{thread}", writer[0])).exists());
    assert_eq!(fs::read_to_string(bench.file("hangs")).unwrap(), "1");
    assert!(matches!(supervisor.next_event(), Event::Ended(m, Ok(Done::Done)) if m == mark(0)));

    drop(supervisor);
    assert!(children().is_empty(), "it has ended, and was waited for");
    drop(held);
    bench.hold().expect("the locks are free");
}

#[test]
fn a_write_for_which_no_thread_can_be_started_was_not_begun() {
    let bench = Bench::new();
    let held = bench.hold().unwrap();
    fs::write(bench.file("remove"), "").unwrap();
    let mut supervisor = bench.supervisor(&held, None, LONG);
    let writer = children()[0];
    wait_until(|| is_ready(writer));
    // No memory for a stack.
    let none = nix::libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: it is told a limit, and tells none.
    let limited = unsafe { nix::libc::prlimit(writer as i32, nix::libc::RLIMIT_AS, &none, std::ptr::null_mut()) };
    assert_eq!(limited, 0);
    supervisor.begin(MARK, &step("remove")).unwrap();
    assert!(matches!(supervisor.next_event(), Event::NotBegun(MARK, Errno::EAGAIN)));
    assert_eq!(fs::read_to_string(bench.file("remove")).unwrap(), "");
}

fn mark(step: usize) -> StepRef {
    StepRef { step, undo: false }
}

/// Whether its command line is its own.
fn is_ready(writer: u32) -> bool {
    fs::read_to_string(format!("/proc/{writer}/cmdline")).unwrap().starts_with("pcictl kernel-write")
}

/// What the command line of a writer says that it is writing.
fn writes(writer: u32) -> Vec<String> {
    let command = fs::read_to_string(format!("/proc/{writer}/cmdline")).unwrap();
    let command = command.trim_end_matches('\0').trim_end();
    let writes = command.strip_prefix("pcictl kernel-write").unwrap_or_else(|| panic!("{command}"));
    writes.split(',').map(|write| write.trim().to_owned()).filter(|write| !write.is_empty()).collect()
}

/// The processes that this thread has started and not waited for, the oldest first.
fn children() -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", nix::unistd::gettid())).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::SIGKILL).unwrap();
}

fn wait_until(mut met: impl FnMut() -> bool) {
    while !met() {
        std::thread::yield_now();
    }
}

/// Until the process has ended with all its threads; as nobody waits for it, it stays as a zombie, or is somebody else's child.
fn wait_for_end(pid: u32) {
    wait_until(|| {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z') && threads <= 1)
    });
}
