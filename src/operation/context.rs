//! What every command works with: one machine or dumped tree, and the terminal.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::execute::executor::StepRunner;
use crate::host::machine::Machine;
use crate::operation::options::ChangeOptions;
use crate::pci::place::Place;
use crate::report::change::{PlannedChange, PlannedLock};
use crate::report::text;
use crate::report::text::words::LocksShown;
use crate::resolve::place_names::device_at;
use crate::state::audit::{AuditFile, OpenRecord};
use crate::state::file::Location;
use crate::state::journal::store::Journals;
use crate::terminal::output::Output;

/// What a command works with.
pub(crate) struct Context<'a> {
    /// The machine, or the dumped tree.
    pub(crate) machine: Machine,
    /// Where reports and messages go.
    pub(crate) output: &'a Output,
    /// Set when a command is tried on a dumped tree.
    pub(crate) rehearsal: Option<&'a Rehearsal>,
    /// The operation whose begin is recorded and whose end is not.
    pub(crate) recorded: RefCell<Option<OpenRecord>>,
    run: Location,
    state: Location,
    told: RefCell<BTreeSet<String>>,
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

impl<'a> Context<'a> {
    /// For one command.
    pub(crate) fn new(machine: Machine, output: &'a Output, rehearsal: Option<&'a Rehearsal>) -> Self {
        let location = |path: &Path| match rehearsal {
            None if machine.sysfs.is_dump() => Location::in_dump(path.to_path_buf(), machine.sysfs.root()),
            _ => Location::own(path.to_path_buf()),
        };
        let (run, state) = (location(&machine.run), location(&machine.state));
        Self { machine, output, rehearsal, recorded: RefCell::default(), run, state, told: RefCell::default() }
    }

    /// A message that is told once, however often what it is about is read.
    pub(crate) fn tell_once(&self, message: String) {
        if !self.told.borrow().contains(&message) {
            self.output.say(&message);
            self.told.borrow_mut().insert(message);
        }
    }

    /// What operations note of themselves.
    pub(crate) fn journals(&self) -> Journals {
        Journals::at(&self.run, &self.state)
    }

    /// Where the ledger and the markers of operations are.
    pub(crate) fn state_location(&self) -> &Location {
        &self.state
    }

    /// What was done by all operations.
    pub(crate) fn audit_file(&self) -> AuditFile {
        AuditFile::in_directory(self.state.clone())
    }

    /// Whether this is a dumped tree with nobody to change it.
    pub(crate) fn is_only_to_look_at(&self) -> bool {
        self.machine.sysfs.is_dump() && self.rehearsal.is_none()
    }

    /// Nothing is ever changed in a dumped tree.
    pub(crate) fn refuse_in_dump(&self, options: &ChangeOptions) -> Result<()> {
        if self.is_only_to_look_at() && !options.dry_run {
            let error = Error::usage("--sysroot: nothing can be changed in a dumped tree");
            return Err(error.hint("add --dry-run to see what would be done"));
        }
        Ok(())
    }

    /// Prints what would be done.
    pub(crate) fn print_plan(&self, plan: &PlannedChange) {
        self.output.report(plan, |plan| self.with_locks(&|shown| text::change::planned(plan, shown)));
    }

    /// Prints what would be locked.
    pub(crate) fn print_lock_plan(&self, plan: &PlannedLock) {
        self.output.report(plan, |plan| self.with_locks(&|shown| text::change::planned_lock(plan, shown)));
    }

    fn with_locks(&self, text: &dyn Fn(LocksShown<'_>) -> String) -> String {
        if self.output.is_verbose() {
            return text(LocksShown::All);
        }
        text(LocksShown::Named(&|place: &Place| device_at(&self.machine.sysfs, place)))
    }

    pub(crate) fn tell_notes(&self, notes: &[String]) {
        for note in notes {
            self.output.say(note);
        }
    }
}
