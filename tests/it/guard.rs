//! The guard on a tree of plain files, which fanotify marks as it marks those of sysfs: who waits, who goes on, who is denied,
//! and what is left when somebody is killed. What only a kernel can show is in tests/guest/cases/guard-*.
//!
//! All of it needs root: opens of files are held up for nobody else.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::processes;
use crate::support::run::{Run, Running};
use crate::support::{Tree, scratch_directory};

const PORT: &str = "0000:02:00.0";
const BELOW: &str = "0000:03:00.0";
const BESIDE: &str = "0000:04:00.0";

/// A machine of files of its own, with a guard.
struct Guarded {
    tree: Tree,
    run: TempDir,
    guard: Option<Child>,
}

impl Guarded {
    fn with(options: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let mut guarded = Self { tree: Tree::load("guest-switch8"), run: scratch_directory(), guard: None };
        guarded.start(options);
        Some(guarded)
    }

    /// Starts a guard and waits until it serves.
    fn start(&mut self, options: &str) {
        let command = self.pcictl(&format!("guard {options}"));
        self.start_as(command);
    }

    fn start_as(&mut self, mut command: Command) {
        let mut child = processes::start(command.stderr(Stdio::piped()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let serves = lines.by_ref().any(|line| {
            said.push(line.unwrap());
            said.iter().any(|line| line.contains("guarding "))
        });
        assert!(serves, "it ended: {said:?}");
        // What else it says nobody reads, and it must not mind.
        drop(lines);
        self.guard = Some(child);
    }

    fn pcictl(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pcictl"));
        command.arg("--sysroot").arg(self.tree.path()).args(words.split(' '));
        command.env("PCICTL_RUN_DIR", self.run.path());
        command
    }

    fn run(&self, words: &str) -> Run {
        Run::words(words).on(&self.tree).run_dir(self.run.path())
    }

    fn holder(&self, selector: &str) -> Running {
        let run = self.run(&format!("lock {selector} --")).and(["sh", "-c", "echo held; read line; exit 0"]);
        run.stdout("held\n").spawn().says("held")
    }

    fn file(&self, address: &str, name: &str) -> PathBuf {
        self.tree.device(address).join(name)
    }

    /// A shell that writes to a file, and then says so.
    fn writer(&self, file: &Path) -> Child {
        self.shell(&format!("echo 1 > {} && echo written", file.display()))
    }

    fn shell(&self, script: &str) -> Child {
        processes::start(
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()),
        )
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&processes::output(&mut self.pcictl("guard --status --json")).stdout).unwrap()
    }

    /// So many shells that write to a file, each of which then says so.
    fn writers(&self, count: usize, file: &Path) -> Child {
        let file = file.display();
        self.shell(&format!("for i in $(seq {count}); do (echo 1 > {file} && echo written) & done; wait"))
    }

    fn keeper(&self) -> Pid {
        let line = format!("pcictl\0guard-keeper\0{}\0", self.run.path().display());
        let is_it = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.as_bytes());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        Pid::from_raw(pids.into_iter().find(is_it).unwrap())
    }

    /// Waits until so many wait, and so many are inside.
    fn until(&self, waiting: usize, inside: usize) {
        loop {
            let status = self.status();
            let count = |key: &str| status[key].as_array().unwrap().len();
            if (count("waiting"), count("inside")) == (waiting, inside) {
                return;
            }
        }
    }

    /// Waits until a lock is to be had: the keeper lets go a moment after the guard.
    fn until_free(&self, selector: &str) {
        let mut lock = self.pcictl(&format!("lock --no-wait {selector} -- true"));
        while processes::output(&mut lock).status.code() != Some(0) {}
    }

    fn kill(&mut self, signal: Signal) {
        let mut guard = self.guard.take().unwrap();
        kill(Pid::from_raw(guard.id() as i32), signal).unwrap();
        guard.wait().unwrap();
    }

    /// What became of each raw write, as the log tells.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.run.path().join("guard.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The last record of this outcome, which is written a moment after the writer is done.
    fn record(&self, outcome: &str) -> Value {
        loop {
            if let Some(record) = self.log().into_iter().rfind(|record| record["outcome"] == outcome) {
                return record;
            }
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log().iter().for_each(|record| println!("{record}"));
        }
        if self.guard.is_some() {
            self.kill(Signal::SIGTERM);
        }
    }
}

/// What a writer that has got through says.
fn written(writer: Child) -> bool {
    writer.wait_with_output().unwrap().stdout == b"written\n"
}

#[test]
fn a_raw_writer_waits_for_who_has_the_lock_and_others_for_him() {
    let Some(machine) = Guarded::with("--wait 1000") else { return };
    let holder = machine.holder(PORT);
    let mut waits = machine.shell(&format!("exec 9>{}; echo in; read line", machine.file(BELOW, "remove").display()));
    machine.until(1, 0);
    assert!(written(machine.writer(&machine.file(BESIDE, "remove"))), "beside it nobody is in the way");
    let record = machine.record("done");
    assert!(record["file"].as_str().unwrap().ends_with(&format!("{BESIDE}/remove")), "{record}");
    holder.end();
    let mut said = String::new();
    BufReader::new(waits.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "in\n");
    machine.until(0, 1);
    machine
        .run(&format!("lock --no-wait {BELOW} -- true"))
        .stderr_like("pcictl: cannot lock [..] is locked by pid [..]\nhint: [..]\n")
        .status(75)
        .check();
    waits.kill().unwrap();
    waits.wait().unwrap();
    machine.until_free(BELOW);
}

#[test]
fn who_has_the_lock_goes_on_and_who_has_too_little_is_denied() {
    let Some(machine) = Guarded::with("--wait 1000") else { return };
    let write = |selector: &str, file: &Path| {
        let script = format!("echo 1 > {} && echo written", file.display());
        let mut command = machine.pcictl(&format!("lock {selector} -- sh -c"));
        let output = processes::output(command.arg(script));
        println!("{selector}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout == b"written\n"
    };
    assert!(write(PORT, &machine.file(BELOW, "remove")));
    assert!(write(PORT, &machine.file(PORT, "rescan")));
    // Its descriptors are closed to the command, but who started it has them and waits.
    assert!(write(&format!("--close {PORT}"), &machine.file(BELOW, "remove")));
    assert_eq!(machine.log(), [] as [Value; 0], "none of this is a raw write");
    // To remove what is above it would wait for itself.
    assert!(!write(BELOW, &machine.file(PORT, "remove")));
    let why = machine.record("denied")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("it would wait for itself"), "{why}");
}

#[test]
fn readers_do_not_wait() {
    let Some(machine) = Guarded::with("--wait 1000") else { return };
    let holder = machine.holder(PORT);
    let file = machine.file(BELOW, "driver_override");
    let before = fs::read(&file).unwrap();
    assert_eq!(before, fs::read(&file).unwrap());
    let writer = machine.writer(&file);
    machine.until(1, 0);
    holder.end();
    assert!(written(writer));
}

#[test]
fn who_waits_for_too_long_is_denied_and_told_by_whom() {
    let Some(machine) = Guarded::with("--wait 0.3") else { return };
    let holder = machine.holder(PORT);
    assert!(!written(machine.writer(&machine.file(BELOW, "remove"))));
    let why = machine.record("denied")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("is locked by pid") && why.contains("(waited "), "{why}");
    holder.end();
}

#[test]
fn the_next_guard_takes_over_who_waits_and_who_is_inside() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let mut inside = machine.shell(&format!("exec 9>{}; read line", machine.file(BELOW, "remove").display()));
    machine.until(0, 1);
    let waits = [PORT, BELOW].map(|address| machine.writer(&machine.file(address, "remove")));
    machine.until(2, 1);
    for _ in 0..3 {
        machine.kill(Signal::SIGKILL);
        machine.start("--wait 1000");
        machine.until(2, 1);
    }
    let second =
        machine.run("guard").stderr("pcictl: a guard is running already\nhint: pcictl guard --status shows it\n");
    second.status(75).check();
    // Whoever is killed while he waits leaves his number to the next one.
    let mut killed = machine.writer(&machine.file(BELOW, "remove"));
    machine.until(3, 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    machine.until(2, 1);
    assert!(written(machine.writer(&machine.file(BESIDE, "remove"))));
    inside.kill().unwrap();
    inside.wait().unwrap();
    assert!(waits.into_iter().all(written));
    machine.until(0, 0);
}

#[test]
fn a_guard_that_ends_as_it_should_lets_all_go_and_keeps_the_locks_of_who_is_inside() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let mut inside = machine.shell(&format!("exec 9>{}; read line", machine.file(BELOW, "remove").display()));
    machine.until(0, 1);
    let waits = machine.writer(&machine.file(BELOW, "remove"));
    machine.until(1, 1);
    machine.kill(Signal::SIGTERM);
    assert!(written(waits));
    let locked = || machine.pcictl(&format!("lock --no-wait {BELOW} -- true"));
    assert_eq!(processes::output(&mut locked()).status.code(), Some(75));
    inside.kill().unwrap();
    inside.wait().unwrap();
    machine.until_free(BELOW);
    let said = "pcictl: no guard is running: raw writes are not held up\nhint: [..]\n";
    machine.run("guard --status").stderr_like(said).status(1).check();
}

#[test]
fn a_report_holds_nobody_up() {
    let Some(machine) = Guarded::with("--report") else { return };
    let holder = machine.holder(PORT);
    assert!(written(machine.writer(&machine.file(BELOW, "remove"))));
    let why = machine.record("reported")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("it would have waited for pid"), "{why}");
    holder.end();
}

#[test]
fn locks_and_status_tell_for_whom_the_guard_holds_locks() {
    let Some(machine) = Guarded::with("--wait 1000") else { return };
    let mut inside = machine.shell(&format!("exec 9>{}; read line", machine.file(BELOW, "remove").display()));
    machine.until(0, 1);
    let (guard, writer) = (machine.guard.as_ref().unwrap().id(), inside.id());
    let file = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0/remove";
    let locks = format!(
        "all host bridges\n`- pci0000:00\n   `- [..]\n      `- [..]\n         `- [..]\n            `- 00.0 {BELOW}\n                  held exclusive, pid {guard} uid 0 for [..] --wait 1000, for pid {writer} (sh) in {file}\n"
    );
    machine.run("locks").stdout_like(&locks).check();
    let status = format!(
        "nothing is under way, interrupted or removed\nguard: pid {guard} has guarded [..] files for [..]: \
         1 raw write let through, [..] after a wait, 0 denied\npid {writer} (sh) is inside {file} (for [..])\n"
    );
    machine.run("status").stdout_like(&status).check();
    inside.kill().unwrap();
    inside.wait().unwrap();
    machine.until(0, 0);
}

#[test]
fn more_wait_than_the_guard_has_descriptors_for_and_nobody_is_denied() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    machine.kill(Signal::SIGTERM);
    machine.until_free(BELOW);
    let own = machine.pcictl("guard --wait 1000");
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=160:160").arg(own.get_program()).args(own.get_args());
    limited.env("PCICTL_RUN_DIR", machine.run.path());
    machine.start_as(limited);
    let holder = machine.holder(PORT);
    let writers = machine.writers(100, &machine.file(BELOW, "remove"));
    let beside = machine.writers(100, &machine.file(BESIDE, "remove"));
    while machine.status()["waiting"].as_array().unwrap().is_empty() {}
    holder.end();
    for writers in [writers, beside] {
        let written = writers.wait_with_output().unwrap().stdout;
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 100);
    }
    machine.until(0, 0);
    assert_eq!(machine.status()["denied"], 0);
    let mut hopeless = Command::new("prlimit");
    hopeless.arg("--nofile=100:100").arg(own.get_program()).args(own.get_args());
    let said = processes::output(hopeless.env("PCICTL_RUN_DIR", scratch_directory().path())).stderr;
    let expected = "pcictl: 100 open files are too few for a guard, which may not run out of them\n\
                    hint: raise the limit to 128 at least (ulimit -n, LimitNOFILE=)\n";
    assert_eq!(String::from_utf8_lossy(&said), expected);
}

#[test]
fn a_guard_that_has_no_memory_any_more_ends_and_the_next_one_serves_who_waits() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let holder = machine.holder(PORT);
    let first = machine.writer(&machine.file(BELOW, "remove"));
    machine.until(1, 0);
    let mut guard = machine.guard.take().unwrap();
    let limited = processes::output(Command::new("prlimit").args(["--as=1:1", "--pid", &guard.id().to_string()]));
    assert!(limited.status.success());
    let others = machine.writers(600, &machine.file(PORT, "remove"));
    assert_eq!(guard.wait().unwrap().signal(), Some(Signal::SIGABRT as i32));
    machine.start("--wait 1000");
    holder.end();
    assert!(written(first));
    let written = others.wait_with_output().unwrap().stdout;
    assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 600);
}

#[test]
fn a_guard_that_is_stopped_holds_nobody_up_for_ever() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let mut guard = machine.guard.take().unwrap();
    kill(Pid::from_raw(guard.id() as i32), Signal::SIGSTOP).unwrap();
    let said = "pcictl: a guard is there, and does not answer: it is stopped, or cannot go on\n[..]\n";
    machine.run("guard --status").stderr_like(said).status(124).check();
    // Its keeper ends it, waits for another one in vain, and lets all go.
    assert!(written(machine.writer(&machine.file(BELOW, "remove"))));
    assert_eq!(guard.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn a_keeper_that_is_stopped_is_ended_by_the_next_guard() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let holder = machine.holder(BESIDE);
    let mut inside = machine.shell(&format!("exec 9>{}; read line", machine.file(BELOW, "remove").display()));
    let waits = machine.writer(&machine.file(BESIDE, "remove"));
    machine.until(1, 1);
    kill(machine.keeper(), Signal::SIGSTOP).unwrap();
    machine.kill(Signal::SIGKILL);
    machine.start("--wait 1000");
    assert!(written(waits), "who waited for the guard before is let go");
    machine.until(0, 1);
    let locked = processes::output(&mut machine.pcictl(&format!("lock --no-wait {BELOW} -- true")));
    assert_eq!(locked.status.code(), Some(75), "who is inside keeps its locks");
    inside.kill().unwrap();
    inside.wait().unwrap();
    machine.until_free(BELOW);
    holder.end();
}

#[test]
fn who_is_inside_when_the_guard_comes_keeps_the_locks_of_whoever_keeps_others_out_then() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let is_locked = |machine: &Guarded| {
        let mut lock = machine.pcictl(&format!("lock --no-wait {BELOW} -- true"));
        processes::output(&mut lock).status.code() == Some(75)
    };
    let file = machine.file(BELOW, "remove");
    let opens = |machine: &Guarded| {
        let mut inside = machine.shell(&format!("exec 9>{}; echo in; read line", file.display()));
        let mut said = String::new();
        BufReader::new(inside.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "in\n");
        inside
    };
    // Somebody else's, who is inside a file above; this one came with a device that the dead guard had not marked.
    let mut above = machine.shell(&format!("exec 9>{}; read line", machine.file(PORT, "remove").display()));
    machine.until(0, 1);
    machine.kill(Signal::SIGKILL);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "").unwrap();
    let mut inside = opens(&machine);
    machine.start("--wait 1000");
    machine.until(0, 2);
    for one in [&mut above, &mut inside] {
        assert!(is_locked(&machine));
        one.kill().unwrap();
        one.wait().unwrap();
    }
    machine.until_free(BELOW);

    // A command's, which ends.
    machine.kill(Signal::SIGTERM);
    machine.until_free(BELOW);
    let mut inside = opens(&machine);
    let holder = machine.holder(PORT);
    machine.start("--wait 1000");
    machine.until(0, 1);
    holder.end();
    assert!(is_locked(&machine));
    inside.kill().unwrap();
    inside.wait().unwrap();
    machine.until_free(BELOW);
}

#[test]
fn without_guard_and_keeper_everything_is_as_if_there_had_been_none() {
    let Some(mut machine) = Guarded::with("--wait 1000") else { return };
    let holder = machine.holder(PORT);
    let waits = machine.writer(&machine.file(BELOW, "remove"));
    machine.until(1, 0);
    let keeper = machine.keeper();
    // Stopped, neither can start another one.
    kill(keeper, Signal::SIGSTOP).unwrap();
    machine.kill(Signal::SIGKILL);
    kill(keeper, Signal::SIGKILL).unwrap();
    assert!(written(waits));
    holder.end();
    machine.start("--wait 1000");
    assert!(written(machine.writer(&machine.file(BELOW, "remove"))));
}

#[test]
fn who_has_no_rights_holds_up_nobody() {
    let Some(machine) = Guarded::with("--wait 1000") else { return };
    let file = machine.file(BELOW, "driver_override");
    // Whoever may read, on this tree: all, as in sysfs.
    for directory in [machine.run.path(), machine.tree.path()] {
        let open = processes::output(Command::new("chmod").args(["-R", "a+rX"]).arg(directory));
        assert!(open.status.success());
    }
    let reads = format!("while cat {} >/dev/null; do echo read; done", file.display());
    let mut flood: Vec<Child> = (0..8)
        .map(|_| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &reads]).uid(65534).gid(65534).stdout(Stdio::piped()).stderr(Stdio::null());
            processes::start(&mut shell)
        })
        .collect();
    let mut lines: Vec<_> =
        flood.iter_mut().map(|shell| BufReader::new(shell.stdout.take().unwrap()).lines()).collect();
    for _ in 0..10 {
        lines.iter_mut().for_each(|lines| assert_eq!(lines.next().unwrap().unwrap(), "read"));
        assert!(written(machine.writer(&file)));
    }
    // Nor can they come to wait themselves.
    let mut writes = Command::new("sh");
    writes.args(["-c", &format!("echo 1 > {}", file.display())]).uid(65534).gid(65534);
    assert!(!processes::output(&mut writes).status.success());
    for shell in &mut flood {
        shell.kill().unwrap();
        shell.wait().unwrap();
    }
    machine.until(0, 0);
    assert_eq!(machine.status()["let_go_on"], 10);
}

#[test]
fn a_dumped_tree_is_guarded_only_to_try_it() {
    let tree = Tree::shared("guest-switch8");
    let run = scratch_directory();
    for options in ["--stop-first", "--refuse mounted"] {
        Run::words(&format!("guard {options}"))
            .on(tree)
            .run_dir(run.path())
            .stderr("pcictl: --sysroot: drivers and users of a dumped tree are not this machine's\n")
            .status(2)
            .check();
    }
}
