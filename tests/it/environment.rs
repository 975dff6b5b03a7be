//! What the machine around pcictl can do to it, and what it must say then: full disks, limits, missing /proc, and so on.
//!
//! One table: each row is a fault, how it is made, the command that it meets, and status, standard error and state that must
//! come of it. That the fault struck is seen in the system calls of the run, of which one must have ended as the row says.

mod rehearsal;
mod rows;
mod writer;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::support::dump::{Dump, Order};
use crate::support::run::is_like;
use crate::support::{Tree, load_dump, processes, scratch_directory};
use rows::{After, Row, THIS_MACHINE};

/// A machine that can be changed, with its directories.
struct Machine {
    tree: Tree,
    directory: TempDir,
}

impl Machine {
    fn new(tree: &str) -> Self {
        let tree = if tree == THIS_MACHINE { Dump::default() } else { load_dump(tree) };
        let machine = Self { tree: Tree::unpack(&tree, Order::FirstFirst), directory: scratch_directory() };
        for name in ["run", "state"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        // Of a tree without it is said each time that nobody can be seen.
        fs::create_dir_all(machine.tree.path().join("proc")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A text with the paths that differ each time.
    fn with_paths(&self, text: &str) -> String {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let text = text.replace("@program", env!("CARGO_BIN_EXE_pcictl"));
        text.replace("@run", &path("run")).replace("@state", &path("state")).replace("@scratch", &path(""))
    }

    /// A text without them.
    fn without_paths(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        let text = text.strip_prefix(rehearsal::BEFORE).unwrap_or(&text);
        let [run, state] = ["run", "state"].map(|name| self.path(name).to_str().unwrap().to_owned());
        text.replace(&run, "@run").replace(&state, "@state").replace(self.tree.path().to_str().unwrap(), "@")
    }

    fn rehearsal(&self, words: &str) -> Command {
        rehearsal::command(self.tree.path(), &self.path("run"), &self.path("state"), words)
    }

    /// The program itself, on a tree that it only looks at and locks, or on this machine.
    fn program(&self, row: &Row) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pcictl"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        if row.tree == THIS_MACHINE {
            assert_eq!(row.command, "doctor", "it only looks");
            command.arg(row.command);
            return command;
        }
        self.on_tree(command, row.command)
    }

    fn on_tree(&self, mut program: Command, words: &str) -> Command {
        program.arg("--sysroot").arg(self.tree.path()).args(words.split(' '));
        program.env("PCICTL_RUN_DIR", self.path("run")).env("PCICTL_STATE_DIR", self.path("state"));
        program
    }

    /// Meets the fault; what came of it, and its system calls.
    fn meet(&self, row: &Row) -> (Output, String) {
        shell(&self.with_paths(row.before)).expect("the fault can be made");
        let inner = if row.is_rehearsed { self.rehearsal(row.command) } else { self.program(row) };
        let log = self.path("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "256", "-o"]).arg(&log);
        command.args(row.strace.split_whitespace().map(|word| self.with_paths(word)));
        command.args(["sh", "-c", &self.with_paths(row.around), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = output(command.stdin(Stdio::null()));
        (output, fs::read_to_string(log).expect("a trace: is strace installed?"))
    }

    /// What the machine and pcictl's records say afterwards, without the fault.
    fn after(&self) -> After {
        let is_there = |function: &str| self.tree.functions().contains_key(function);
        let driver = self.tree.functions().get(rows::NVME).cloned().flatten();
        let status = output(&mut self.rehearsal("status"));
        let doctor = output(&mut self.rehearsal("doctor --quiet"));
        let locks = self.without_paths(&output(&mut self.rehearsal("locks")).stderr);
        assert_eq!(locks, "pcictl: no lock is held or waited for\n");
        assert_ne!(doctor.status.code(), Some(124));
        let told = self.without_paths(&status.stdout);
        match (is_there(rows::NVME), driver.is_some(), told.contains(rows::NVME), status.status.code()) {
            (true, true, false, Some(0)) => After::Unchanged,
            (false, false, false, Some(0)) => After::Removed,
            (false, false, true, Some(0)) => After::RemovedAndTold,
            (true, false, true, Some(5)) => After::HalfDone,
            other => panic!("{other:?}: {told}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let script = self.with_paths("umount -l @run @state");
        let _ = output(Command::new("sh").args(["-c", &script]));
    }
}

/// Runs a process that need not print what the tests' others do.
fn output(command: &mut Command) -> Output {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    processes::start(command).wait_with_output().expect("it ends")
}

fn shell(script: &str) -> Result<(), String> {
    let output = output(Command::new("sh").args(["-ec", script]));
    if output.status.success() { Ok(()) } else { Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr))) }
}

/// Whatever is mounted is so for this thread and what it starts, and no longer than they are there.
fn leave_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may have mounts of its own");
    let no = None::<&str>;
    mount(no, "/", no, MsFlags::MS_REC | MsFlags::MS_PRIVATE, no).expect("mounts of its own");
}

/// Tries a row; what is wrong, if anything is.
fn tried(row: &Row) -> Option<String> {
    leave_mounts();
    let machine = Machine::new(row.tree);
    let (output, trace) = machine.meet(row);
    let said = machine.without_paths(&output.stderr);
    let status = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
    let mut wrong = Vec::new();
    if status != row.status {
        wrong.push(format!("status {status} instead of {}", row.status));
    }
    let printed = machine.without_paths(&output.stdout);
    if !printed.contains(row.stdout) {
        wrong.push(format!("stdout must have {:?} and is\n{printed}", row.stdout));
    }
    if !is_like(row.stderr, &said) {
        wrong.push(format!("stderr must be like\n{}and is\n{said}", row.stderr));
    }
    if !trace.contains(row.sign) {
        let last: Vec<&str> = trace.lines().rev().take(15).collect();
        wrong.push(format!("no system call shows {:?}:\n{}", row.sign, last.join("\n")));
    }
    wrong.extend(shell(&machine.with_paths(row.afterwards)).err());
    if row.is_rehearsed {
        let after = machine.after();
        if after != row.after {
            wrong.push(format!("afterwards {after:?} instead of {:?}", row.after));
        }
    }
    (!wrong.is_empty()).then(|| format!("{}: {}\n{}", row.fault, row.command, wrong.join("\n")))
}

fn try_all(rows: &'static [Row]) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| std::thread::spawn(move || tried(row)).join().unwrap_or_else(|_| Some(row.fault.to_owned())))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_cannot_be_written() {
    try_all(rows::STORAGE);
}

#[test]
fn what_the_process_may_not_have() {
    try_all(rows::LIMITS);
}

#[test]
fn what_is_missing_or_odd() {
    try_all(rows::SURROUNDINGS);
}

#[test]
fn a_row_that_is_wrong_fails() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let right = &rows::STORAGE[0];
    let wrong = [
        Row { status: 0, ..*right },
        Row { stderr: "", ..*right },
        Row { stdout: "never", ..*right },
        Row { sign: "never", ..*right },
        Row { after: After::Removed, ..*right },
    ];
    for row in wrong {
        let found = std::thread::scope(|scope| scope.spawn(|| tried(&row)).join().unwrap());
        assert!(found.is_some());
    }
}
