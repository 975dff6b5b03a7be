//! The commands, a file each, reading like the contract's steps.

mod bring_back;
mod doctor;
mod guard;
mod hold;
mod keep;
mod list;
mod lock;
mod locks;
mod operation;
mod recover;
mod remove;
mod replug;
mod rescan;
mod show;
mod status;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{Changing, Cli, Command};
use crate::doctor::Proc;
use crate::error::{Error, ErrorKind, Result};
use crate::execute::Kernel;
use crate::journal::Journals;
use crate::output::Output;
use crate::selector::{Selector, SelectorKind};
use crate::sysfs::Sysfs;

/// Where the lock files are unless `PCICTL_RUN_DIR` says otherwise.
const DEFAULT_RUN_DIRECTORY: &str = "/run/pcictl";

/// Where the ledger is, below the root, unless `PCICTL_STATE_DIR` says otherwise.
const DEFAULT_STATE_DIRECTORY: &str = "var/lib/pcictl";

/// What a command works with: one machine, or a dumped tree, and where words go.
struct Context<'a> {
    sysfs: Sysfs,
    proc: Proc,
    output: &'a Output,
    rehearsal: Option<&'a Rehearsal>,
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

/// Runs the command that was asked for; the status is its own, except that `lock` passes on its command's.
///
/// # Errors
/// Whatever kept it from being done; the error knows the exit status.
pub fn run(cli: &Cli, output: &Output) -> Result<ExitCode> {
    run_on(cli, output, None)
}

/// Runs a command that changes a dumped tree by a model of the kernel: what it does is what it would do to a machine.
///
/// # Errors
/// Whatever kept it from being done; the error knows the exit status.
pub fn rehearse(cli: &Cli, output: &Output, rehearsal: &Rehearsal) -> Result<ExitCode> {
    run_on(cli, output, Some(rehearsal))
}

fn run_on(cli: &Cli, output: &Output, rehearsal: Option<&Rehearsal>) -> Result<ExitCode> {
    if let Command::List(args) = &cli.command {
        if args.list_columns {
            return Ok(list::columns(output).into());
        }
    }
    let sysroot = cli.common.sysroot.as_deref();
    let proc = Proc::below(sysroot.unwrap_or(Path::new("/")));
    let context = Context { sysfs: Sysfs::open(sysroot)?, proc, output, rehearsal };
    let status = match &cli.command {
        Command::Lock(args) => return lock::run(&context, args),
        Command::List(args) => list::run(&context, args),
        Command::Tree(args) => tree::run(&context, args),
        Command::Show(args) => show::run(&context, args),
        Command::Remove(args) => remove::run(&context, args),
        Command::Rescan(args) => rescan::run(&context, args),
        Command::Replug(args) => replug::run(&context, args),
        Command::Locks(args) => locks::run(&context, args),
        Command::Status => status::run(&context),
        Command::Recover(args) => recover::run(&context, args),
        Command::Doctor => doctor::run(&context),
        Command::ReadOverrides(args) => {
            output.report(&(), |()| crate::ledger::read_here(&context.sysfs, &args.addresses));
            Ok(crate::error::ExitStatus::Done)
        }
    };
    status.map(ExitCode::from)
}

impl Context<'_> {
    /// Where the lock files are.
    fn run_directory(&self) -> PathBuf {
        let rehearsed = self.rehearsal.map(|rehearsal| rehearsal.run.clone());
        rehearsed.or_else(own_run_directory).unwrap_or_else(|| DEFAULT_RUN_DIRECTORY.into())
    }

    /// Whether the lock files are elsewhere than on this machine's own.
    fn has_own_run_directory(&self) -> bool {
        own_run_directory().is_some()
    }

    /// Where the ledger is.
    fn state_directory(&self) -> PathBuf {
        if let Some(rehearsal) = self.rehearsal {
            return rehearsal.state.clone();
        }
        std::env::var_os("PCICTL_STATE_DIR")
            .filter(|path| !path.is_empty())
            .map_or_else(|| self.sysfs.root().join(DEFAULT_STATE_DIRECTORY), PathBuf::from)
    }

    /// What operations note of themselves.
    fn journals(&self) -> Journals {
        Journals::below(&self.run_directory(), &self.state_directory())
    }

    /// Whether this is a dumped tree with nobody to change it.
    fn is_only_to_look_at(&self) -> bool {
        self.sysfs.is_dump() && self.rehearsal.is_none()
    }

    /// Nothing is ever changed in a dumped tree.
    fn refuse_in_dump(&self, changing: &Changing) -> Result<()> {
        if self.is_only_to_look_at() && !changing.dry_run {
            let message = "--sysroot is for looking; add --dry-run to see what would be done";
            return Err(Error::usage(message));
        }
        Ok(())
    }

    fn tell_notes(&self, notes: &[String]) {
        for note in notes {
            self.output.say(note);
        }
    }
}

fn own_run_directory() -> Option<PathBuf> {
    std::env::var_os("PCICTL_RUN_DIR").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn parse_selectors(texts: &[String]) -> Result<Vec<Selector>> {
    texts.iter().map(|text| text.parse::<Selector>().map_err(Error::from)).collect()
}

/// The selectors of a command that changes something: a wildcard is for looking only.
fn parse_exact_selectors(texts: &[String]) -> Result<Vec<Selector>> {
    let selectors = parse_selectors(texts)?;
    for selector in &selectors {
        if matches!(selector.kind, SelectorKind::Pattern(_)) {
            let message = format!(
                "{selector}: is a wildcard, and only list, tree and show take those; pcictl list {selector} shows what it means, name one of these"
            );
            return Err(Error::usage(message).fact("selector", selector.text.clone()));
        }
    }
    Ok(selectors)
}

/// A selector that named nothing that is there.
fn not_there(selector: &Selector, address: crate::address::PciAddress) -> Error {
    let named = if selector.text == address.to_string() { String::new() } else { format!(" ({address})") };
    let message = format!(
        "{selector}{named}: no such device; pcictl list shows what is there, pcictl rescan {address} may bring it back"
    );
    Error::new(ErrorKind::NoSuchDevice, message).about(address)
}
