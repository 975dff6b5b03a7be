//! Users are looked for twice before a change; the second time only processes that may have changed what they hold are gone
//! through. The devices are made, the processes real: a test stands between the two looks.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;
use pcictl::host::machine::Machine;
use pcictl::topology::fields::Fields;
use pcictl::topology::model::Topology;
use pcictl::usage::find::{find_again, find_first};
use pcictl::usage::scope::Scope;
use serde::Serialize;
use tempfile::TempDir;

use crate::support::{processes, scratch_directory};

/// A node that every machine has, and anybody may open.
const NODE: &str = "/dev/ptmx";

/// Where the kernel shows its number.
const NUMBER: &str = "dev/char/5:2";

/// Of a test that is started again in a process of its own: the process that it is about.
const ABOUT: &str = "PCICTL_TEST_ABOUT";

/// A machine with one function, which has [`NODE`], among the processes that run here.
struct Made {
    directory: TempDir,
    machine: Machine,
    scope: Scope,
}

fn made() -> Made {
    let directory = scratch_directory();
    let sys = directory.path().join("sys");
    let path = "devices/pci0000:00/0000:00:03.0";
    for below in [&format!("{path}/misc/ptmx"), "bus/pci/devices", "dev/char"] {
        fs::create_dir_all(sys.join(below)).unwrap();
    }
    fs::write(sys.join(path).join("modalias"), "pci:v00001AF4d00001005sv00000000sd00000000bc00scFFi00\n").unwrap();
    symlink(format!("../../../{path}"), sys.join("bus/pci/devices/0000:00:03.0")).unwrap();
    symlink(format!("../../{path}/misc/ptmx"), sys.join(NUMBER)).unwrap();
    let machine = Machine::open(Some(directory.path())).unwrap().among_own_processes().unwrap();
    let topology = Topology::load_all(&machine.sysfs, Fields::ALL).unwrap();
    let scope = Scope::of(&topology, topology.by_address());
    Made { directory, machine, scope }
}

/// What is said of this process.
fn said_of(report: &impl Serialize, pid: u32) -> Vec<String> {
    let report = serde_json::to_value(report).unwrap();
    let users = report["found"].as_array().unwrap().iter().map(|user| user["description"].as_str().unwrap().to_owned());
    users.filter(|user| user.starts_with(&format!("pid {pid} "))).collect()
}

fn has(report: &impl Serialize, pid: u32) -> bool {
    !said_of(report, pid).is_empty()
}

/// This test program as a process that does what it is told and sleeps meanwhile.
struct Actor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Actor {
    fn start() -> Self {
        let mut command = processes::this_test("second_look::a_process_that_does_what_it_is_told");
        let mut child = processes::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut actor = Self { child, stdin, stdout };
        actor.tell("");
        actor
    }

    /// Tells it to do that; returns what it says when it was done.
    fn tell(&mut self, what: &str) -> String {
        writeln!(self.stdin, "{what}").unwrap();
        let mut line = String::new();
        // The test harness speaks, too.
        while !line.starts_with("done") {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "{what}: it has ended");
        }
        // Until it sleeps again.
        std::thread::sleep(Duration::from_millis(50));
        line.trim().trim_start_matches("done").trim().to_owned()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the other tests start it"]
fn a_process_that_does_what_it_is_told() {
    let open = || nix::fcntl::open(NODE, OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty()).unwrap();
    let mut kept = Vec::new();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let mut said = String::new();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("open", _) => kept.push(open()),
            ("share", fifo) => {
                let fifo = nix::fcntl::open(Path::new(fifo), OFlag::O_RDWR, Mode::empty()).unwrap();
                // Nobody waits for it.
                // SAFETY: a disposition of the system's own; and the process made only makes system calls.
                let pid = unsafe {
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                    libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0)
                };
                if pid == 0 {
                    let _ = nix::unistd::read(&fifo, &mut [0]);
                    std::mem::forget(open());
                    // SAFETY: it runs nothing.
                    unsafe { libc::_exit(0) }
                }
                said = pid.to_string();
                kept.push(fifo);
            }
            _ => {}
        }
        println!("\ndone {said}");
    }
}

#[test]
fn a_process_that_opens_the_device_between_the_looks_is_found() {
    let (made, mut actor) = (made(), Actor::start());
    let (first, seen) = find_first(&made.machine, &made.scope).unwrap();
    assert!(!has(&first, actor.child.id()), "{first:?}");
    actor.tell("open");
    let second = find_again(&made.machine, &made.scope, &seen).unwrap();
    assert!(has(&second, actor.child.id()), "{second:?}");
    // One that held it already does so still.
    let (third, seen) = find_first(&made.machine, &made.scope).unwrap();
    let fourth = find_again(&made.machine, &made.scope, &seen).unwrap();
    let pid = actor.child.id();
    assert!(has(&fourth, pid) && said_of(&third, pid) == said_of(&fourth, pid), "{fourth:?}");
}

#[test]
fn who_has_a_node_that_only_appeared_between_the_looks_is_found() {
    let (made, mut actor) = (made(), Actor::start());
    let link = made.directory.path().join("sys").join(NUMBER);
    let target = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    actor.tell("open");
    let (first, seen) = find_first(&made.machine, &made.scope).unwrap();
    assert!(!has(&first, actor.child.id()), "{first:?}");
    symlink(target, &link).unwrap();
    let second = find_again(&made.machine, &made.scope, &seen).unwrap();
    assert!(has(&second, actor.child.id()), "{second:?}");
}

#[test]
fn what_a_process_left_in_a_table_that_it_shared_is_found() {
    let (made, mut actor) = (made(), Actor::start());
    let fifo = made.directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let sharer = actor.tell(&format!("share {}", fifo.display()));
    let (first, seen) = find_first(&made.machine, &made.scope).unwrap();
    assert!(!has(&first, actor.child.id()), "{first:?}");
    fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"x").unwrap();
    let mut tries = (0..500).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        Path::new("/proc").join(&sharer).exists()
    });
    assert!(tries.any(|is_there| !is_there), "it has ended");
    let second = find_again(&made.machine, &made.scope, &seen).unwrap();
    assert!(has(&second, actor.child.id()), "{second:?}");
}

#[test]
fn a_process_that_slept_is_gone_through_once() {
    // Among few processes nobody notes which of them run.
    let sleeper = || processes::start(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()));
    let crowd: Vec<_> = (0..40).map(|_| sleeper()).collect();
    let sleeper = sleeper();
    let (pid, directory) = (sleeper.id().to_string(), scratch_directory());
    let (log, program) = (directory.path().join("trace"), processes::this_test("second_look::two_looks"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=openat,openat2", "-o"]).arg(&log);
    strace.arg(program.get_program()).args(program.get_args()).env(ABOUT, &pid);
    let output = processes::output(&mut strace);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let trace = fs::read_to_string(&log).expect("a trace: is strace installed?");
    let opened = |path: &str| trace.lines().filter(|line| line.contains(&format!("\"{path}\""))).count();
    assert_eq!(opened(&pid), 1, "its directory, to go through it");
    assert_eq!(opened(&format!("{pid}/syscall")), 1, "whether it sleeps");
    for mut sleeper in crowd.into_iter().chain([sleeper]) {
        drop(sleeper.stdin.take());
        sleeper.wait().unwrap();
    }
}

#[test]
#[ignore = "another test starts it"]
fn two_looks() {
    let made = made();
    let pid: u32 = std::env::var(ABOUT).unwrap().parse().unwrap();
    let (first, seen) = find_first(&made.machine, &made.scope).unwrap();
    let second = find_again(&made.machine, &made.scope, &seen).unwrap();
    assert!(!has(&first, pid) && !has(&second, pid));
}
