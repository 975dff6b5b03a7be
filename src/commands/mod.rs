//! The commands, a file each, reading like the contract's steps; this file dispatches.
//!
//! - [`list`], [`tree`], [`show`]: look at functions.
//! - [`remove`], [`rescan`], [`replug`]: change the machine.
//! - [`unbind`], [`bind`], [`driver_override`]: drivers of functions that stay where they are.
//! - [`wait`]: waits for what others change.
//! - [`sriov`]: VFs of a physical function.
//! - [`reset`], [`power`]: reset functions that stay where they are; how they may sleep and wake.
//! - [`slot`]: slots and their power.
//! - [`guard`]: makes raw writers take part.
//! - [`lock`], [`locks`]: run something under locks; who holds them.
//! - [`status`], [`recover`], [`doctor`]: what is under way, interrupted, stuck.
//! - [`history`]: what was done to which device.
//! - [`dump`]: copies what the others read.
//! - [`complete`]: tells shells what may come next on a command line.
//! - [`settings`]: reads what a site has chosen for all of them.

pub(crate) mod bind;
pub(crate) mod complete;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod locks;
pub(crate) mod driver_override;
pub(crate) mod power;
pub(crate) mod recover;
pub(crate) mod remove;
pub(crate) mod replug;
pub(crate) mod rescan;
pub(crate) mod reset;
pub(crate) mod show;
pub(crate) mod sriov;
pub mod settings;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod unbind;
pub(crate) mod wait;

use std::process::ExitCode;

use crate::cli::args::Cli;
use crate::cli::args::Command;
use crate::error::{ExitStatus, Result};
use crate::execute::signals::ignore_file_size_limit;
use crate::host::machine::Machine;
use crate::operation::audit;
use crate::operation::context::{Context, Rehearsal};
use crate::terminal::document::Kernel;
use crate::terminal::output::Output;

/// Runs the command that was asked for and returns its status; that of `lock` is its command's.
///
/// # Errors
/// The command failed; the error knows the exit status.
pub fn run(cli: &Cli, output: &Output) -> Result<ExitCode> {
    run_on(cli, output, None)
}

/// Runs a command on a dumped tree, with a model of the kernel that changes it.
///
/// # Errors
/// The command failed; the error knows the exit status.
pub fn rehearse(cli: &Cli, output: &Output, rehearsal: &Rehearsal) -> Result<ExitCode> {
    run_on(cli, output, Some(rehearsal))
}

fn run_on(cli: &Cli, output: &Output, rehearsal: Option<&Rehearsal>) -> Result<ExitCode> {
    let outcome = dispatch(cli, output, rehearsal);
    match &cli.command {
        Command::Doctor(args) => outcome.or_else(|error| doctor::failed(output, args, error)),
        _ => outcome,
    }
}

fn dispatch(cli: &Cli, output: &Output, rehearsal: Option<&Rehearsal>) -> Result<ExitCode> {
    match &cli.command {
        Command::List(args) if args.list_columns => return Ok(list::columns(output).into()),
        Command::Complete(args) => return Ok(complete::answer::run(output, args).into()),
        _ => {}
    }
    let mut machine = Machine::open(cli.common.sysroot.as_deref())?;
    if let Some(rehearsal) = rehearsal {
        machine = machine.with_directories(rehearsal.run.clone(), rehearsal.state.clone());
    }
    if output.is_json() {
        let boot_id = Some(machine.boot_id()).filter(|id| !id.is_empty());
        output.set_kernel(Kernel { release: machine.kernel_release(), boot_id });
    }
    let context = Context::new(machine, output, rehearsal);
    if cli.command.writes() {
        ignore_file_size_limit();
    }
    let outcome = match &cli.command {
        // Their statuses are not all ours.
        Command::Lock(args) => return lock::run(&context, args).inspect(|_| end_dry_run(cli, output)),
        Command::Doctor(args) => return doctor::run(&context, args),
        Command::List(args) => list::run(&context, args),
        Command::Tree(args) => tree::run(&context, args),
        Command::Show(args) => show::run(&context, args),
        Command::Remove(args) => remove::run(&context, args),
        Command::Rescan(args) => rescan::run(&context, args),
        Command::Replug(args) => replug::run(&context, args),
        Command::Unbind(args) => unbind::run(&context, args),
        Command::Bind(args) => bind::run(&context, args),
        Command::Override(args) => driver_override::run(&context, args),
        Command::Wait(args) => wait::run(&context, args),
        Command::Sriov(args) => sriov::run(&context, args),
        Command::Reset(args) => reset::run(&context, args),
        Command::Power(args) => power::run(&context, args),
        Command::Slot(args) => slot::run(&context, args),
        Command::Locks(args) => locks::run(&context, args),
        Command::Status(args) => status::run(&context, args),
        Command::History(args) => history::run(&context, args),
        Command::Recover(args) => recover::run(&context, args),
        Command::Guard(args) => guard::run(&context, args),
        Command::Dump(args) => dump::run(&context, args),
        // Answered above, where no machine need be there.
        Command::Complete(_) => Ok(ExitStatus::Done),
    };
    audit::end(&context, outcome.as_ref().copied());
    let status = outcome?;
    end_dry_run(cli, output);
    Ok(status.into())
}

fn end_dry_run(cli: &Cli, output: &Output) {
    if cli.command.is_dry_run() {
        output.end_dry_run();
    }
}
