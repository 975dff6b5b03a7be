//! A place to run scripts in that call pcictl and other programs by name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{processes, scratch_directory};

/// A directory to work in, and programs that are found before all others of their name.
pub struct Site {
    directory: TempDir,
}

impl Site {
    /// With a pcictl that reads this tree.
    pub fn new(tree: &Path) -> Self {
        let site = Self::bare();
        site.program(
            "pcictl",
            &format!("exec '{}' --sysroot '{}' \"$@\"", env!("CARGO_BIN_EXE_pcictl"), tree.display()),
        );
        site
    }

    /// With no pcictl.
    pub fn bare() -> Self {
        let directory = scratch_directory();
        for name in ["bin", "run", "work"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    /// A file below it: `bin`, `run` and `work` are there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A script that is found before all others of its name.
    pub fn program(&self, name: &str, script: &str) {
        self.script(&format!("bin/{name}"), script);
    }

    /// A script that is found by its path.
    pub fn script(&self, path: &str, script: &str) {
        let path = self.path(path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command that has nothing of the environment of the tests.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        command.env("PCICTL_RUN_DIR", self.path("run")).current_dir(self.path("work"));
        command
    }

    /// Runs one to its end.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        processes::output(self.command(program).args(arguments))
    }
}
