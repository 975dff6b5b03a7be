//! A machine made of files, and processes that hold and wait for its locks.

use std::path::Path;

use tempfile::TempDir;

use crate::support::run::{Run, Running};
use crate::support::scratch_directory;

/// A downstream port of a switch, what is below it, and what is below its neighbour: all of the tree `guest-switch8`.
pub const PORT: &str = "0000:02:00.0";
pub const BELOW: &str = "0000:03:00.0";
pub const BESIDE: &str = "0000:04:00.0";

/// Where the locks of the machine are.
pub struct Machine {
    run: TempDir,
}

impl Machine {
    pub fn new() -> Self {
        Self { run: scratch_directory() }
    }

    pub fn run_dir(&self) -> &Path {
        self.run.path()
    }

    pub fn run(&self, words: &str) -> Run {
        Run::words(words).tree("guest-switch8").run_dir(self.run_dir())
    }

    /// `pcictl lock` with a shell script for a command.
    pub fn lock(&self, options: &str, script: &str) -> Run {
        self.run(&format!("lock {options} --")).and(["sh", "-c", script])
    }

    /// Whether a lock is to be had at once.
    pub fn assert_free(&self, options: &str) {
        self.run(&format!("lock --no-wait {options} -- true")).check();
    }

    /// Whether a lock is in somebody's hands.
    pub fn assert_locked(&self, options: &str) {
        let locked = "pcictl: cannot lock [..] is locked by pid [..]\n\
                      hint: wait longer with --wait TIME; pcictl locks[..] shows who else waits\n";
        self.run(&format!("lock --no-wait {options} -- echo never")).stderr_like(locked).status(75).check();
    }

    /// Holds locks until told otherwise.
    pub fn holder(&self, options: &str) -> Running {
        self.lock(options, "echo held; read line; exit 0").stdout("held\n").spawn().says("held")
    }

    /// What `pcictl locks --json` says.
    pub fn locks(&self) -> serde_json::Value {
        self.run("locks --json").json()
    }
}

/// What a command says that had to wait for the lock of a device and got it.
pub fn waited_for(device: &str) -> String {
    format!("pcictl: {device}: waiting for up to [..]\npcictl: {device}: got the lock after [..] s\n")
}

/// The node of a place in what `pcictl locks --json` printed.
pub fn node<'a>(within: &'a serde_json::Value, place: &str) -> &'a serde_json::Value {
    find_node(within, place).unwrap_or_else(|| panic!("no {place} in {within}"))
}

/// The same, if it is there.
pub fn find_node<'a>(within: &'a serde_json::Value, place: &str) -> Option<&'a serde_json::Value> {
    if within["place"] == place {
        return Some(within);
    }
    within["children"].as_array()?.iter().find_map(|child| find_node(child, place))
}
