//! What every command works with: one machine or dumped tree, and the terminal.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::execute::executor::StepRunner;
use crate::host::machine::Machine;
use crate::operation::options::ChangeOptions;
use crate::state::journal::store::Journals;
use crate::terminal::Output;

/// What a command works with.
pub(crate) struct Context<'a> {
    /// The machine, or the dumped tree.
    pub(crate) machine: Machine,
    /// Where reports and messages go.
    pub(crate) output: &'a Output,
    /// Set when a command is tried on a dumped tree.
    pub(crate) rehearsal: Option<&'a Rehearsal>,
}

/// What stands for the machine when a command is tried on a dumped tree: a model of the kernel that changes the tree.
pub struct Rehearsal {
    /// The run directory.
    pub run: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Makes whoever makes the writes.
    pub kernel: Box<dyn Fn() -> Box<dyn StepRunner>>,
}

impl Context<'_> {
    /// What operations note of themselves.
    pub(crate) fn journals(&self) -> Journals {
        Journals::below(&self.machine.run, &self.machine.state)
    }

    /// Whether this is a dumped tree with nobody to change it.
    pub(crate) fn is_only_to_look_at(&self) -> bool {
        self.machine.sysfs.is_dump() && self.rehearsal.is_none()
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
