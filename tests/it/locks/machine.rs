//! A machine made of files, and processes that hold and wait for its locks.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{Tree, pcictl, scratch_directory};

/// A downstream port of a switch, what is below it, and what is below its neighbour: all of the tree `guest-switch8`.
pub const PORT: &str = "0000:02:00.0";
pub const BELOW: &str = "0000:03:00.0";
pub const BESIDE: &str = "0000:04:00.0";

pub struct Machine {
    tree: Tree,
    pub run: TempDir,
}

impl Machine {
    pub fn new() -> Self {
        Self { tree: Tree::load("guest-switch8"), run: scratch_directory() }
    }

    pub fn command(&self, words: &str) -> Command {
        let tree = self.tree.path().to_str().expect("text");
        let mut command = pcictl(["--sysroot", tree].into_iter().chain(words.split(' ')), self.run.path());
        // Messages show the command line; the path of the binary would only make it long.
        command.arg0("pcictl");
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// `pcictl lock` with a shell script for a command.
    pub fn lock(&self, options: &str, script: &str) -> Command {
        let mut command = self.command(&format!("lock {options} --"));
        command.args(["sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Holds locks until told otherwise.
    pub fn holder(&self, options: &str) -> Holder {
        self.holder_running(options, "echo held; read line")
    }

    /// Runs a script under a lock, and returns when it has said "held".
    pub fn holder_running(&self, options: &str, script: &str) -> Holder {
        let mut child = self.lock(options, script).spawn().expect("it runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Holder { child, stdout }
    }

    /// Starts something that has to wait, and returns when it does.
    pub fn waiter(&self, mut command: Command) -> Child {
        let mut child = command.spawn().expect("it runs");
        let stderr = child.stderr.as_mut().expect("a pipe");
        let mut line = Vec::new();
        // A byte at a time: what comes after the line is for whoever reads next.
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            assert_eq!(stderr.read(&mut byte).expect("a byte"), 1, "{}", text(&line));
            line.push(byte[0]);
        }
        assert!(text(&line).contains(": waiting for up to "), "{}", text(&line));
        child
    }

    /// What `pcictl locks --json` says.
    pub fn locks(&self) -> serde_json::Value {
        let output = self.run("locks --json");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// A `pcictl lock` whose command runs.
pub struct Holder {
    child: Child,
    pub stdout: BufReader<ChildStdout>,
}

impl Holder {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the command end, and with it the lock.
    pub fn release(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
    }

    /// For a command that is ended by something else.
    pub fn wait_without_release(mut self) -> Output {
        let stdin = self.child.stdin.take();
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).expect("its output");
        let status = self.child.wait().expect("it ends");
        drop(stdin);
        Output { status, stdout, stderr: Vec::new() }
    }
}

impl Drop for Holder {
    /// Whatever the test came to, nobody is left waiting for input.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The node of a place in what `pcictl locks --json` printed.
pub fn node<'a>(within: &'a serde_json::Value, place: &str) -> &'a serde_json::Value {
    fn find<'a>(within: &'a serde_json::Value, place: &str) -> Option<&'a serde_json::Value> {
        if within["place"] == place {
            return Some(within);
        }
        within["children"].as_array()?.iter().find_map(|child| find(child, place))
    }
    find(within, place).unwrap_or_else(|| panic!("no {place} in {within}"))
}

pub fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("it can be signalled");
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
