//! What every command works with: one machine or dumped tree, where its state lives, and the terminal.

use std::path::PathBuf;

use crate::doctor::snapshot::Proc;
use crate::error::{Error, Result};
use crate::execute::executor::Kernel;
use crate::host::sysfs::Sysfs;
use crate::operation::options::ChangeOptions;
use crate::state::journal::store::Journals;
use crate::terminal::Output;

/// Where the lock files are unless `PCICTL_RUN_DIR` says otherwise.
const DEFAULT_RUN_DIRECTORY: &str = "/run/pcictl";

/// Where the ledger is, below the root, unless `PCICTL_STATE_DIR` says otherwise.
const DEFAULT_STATE_DIRECTORY: &str = "var/lib/pcictl";

/// What a command works with: one machine, or a dumped tree, and where words go.
pub(crate) struct Context<'a> {
    pub(crate) sysfs: Sysfs,
    pub(crate) proc: Proc,
    pub(crate) output: &'a Output,
    pub(crate) rehearsal: Option<&'a Rehearsal>,
}

/// What stands for the machine when a command is tried on a dumped tree: a model of the kernel that changes the tree.
pub struct Rehearsal {
    /// The run directory.
    pub run: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Makes whoever makes the writes.
    pub kernel: Box<dyn Fn() -> Box<dyn Kernel>>,
}

impl Context<'_> {
    /// Where the lock files are.
    pub(crate) fn run_directory(&self) -> PathBuf {
        let rehearsed = self.rehearsal.map(|rehearsal| rehearsal.run.clone());
        rehearsed.or_else(own_run_directory).unwrap_or_else(|| DEFAULT_RUN_DIRECTORY.into())
    }

    /// Whether the lock files are elsewhere than on this machine's own.
    pub(crate) fn has_own_run_directory(&self) -> bool {
        own_run_directory().is_some()
    }

    /// Where the ledger is.
    pub(crate) fn state_directory(&self) -> PathBuf {
        if let Some(rehearsal) = self.rehearsal {
            return rehearsal.state.clone();
        }
        std::env::var_os("PCICTL_STATE_DIR")
            .filter(|path| !path.is_empty())
            .map_or_else(|| self.sysfs.root().join(DEFAULT_STATE_DIRECTORY), PathBuf::from)
    }

    /// What operations note of themselves.
    pub(crate) fn journals(&self) -> Journals {
        Journals::below(&self.run_directory(), &self.state_directory())
    }

    /// Whether this is a dumped tree with nobody to change it.
    pub(crate) fn is_only_to_look_at(&self) -> bool {
        self.sysfs.is_dump() && self.rehearsal.is_none()
    }

    /// Nothing is ever changed in a dumped tree.
    pub(crate) fn refuse_in_dump(&self, options: &ChangeOptions) -> Result<()> {
        if self.is_only_to_look_at() && !options.dry_run {
            let message = "--sysroot is for looking; add --dry-run to see what would be done";
            return Err(Error::usage(message));
        }
        Ok(())
    }

    pub(crate) fn tell_notes(&self, notes: &[String]) {
        for note in notes {
            self.output.say(note);
        }
    }
}

fn own_run_directory() -> Option<PathBuf> {
    std::env::var_os("PCICTL_RUN_DIR").filter(|path| !path.is_empty()).map(PathBuf::from)
}
