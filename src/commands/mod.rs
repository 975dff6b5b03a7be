//! The commands, a file each, reading like the contract's steps.

pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod locks;
pub(crate) mod recover;
pub(crate) mod remove;
pub(crate) mod replug;
pub(crate) mod rescan;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod tree;

use std::process::ExitCode;

use crate::cli::args::{Cli, Command};
use crate::error::Result;
use crate::execute::signals::ignore_file_size_limit;
use crate::host::machine::Machine;
use crate::operation::context::{Context, Rehearsal};
use crate::terminal::Output;

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
    let mut machine = Machine::open(cli.common.sysroot.as_deref())?;
    if let Some(rehearsal) = rehearsal {
        machine = machine.with_directories(rehearsal.run.clone(), rehearsal.state.clone());
    }
    let context = Context { machine, output, rehearsal };
    if matches!(cli.command, Command::Remove(_) | Command::Rescan(_) | Command::Replug(_) | Command::Recover(_)) {
        ignore_file_size_limit();
    }
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
        Command::Dump(args) => dump::run(&context, args),
    };
    status.map(ExitCode::from)
}
