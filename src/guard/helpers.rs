//! pcictl run again, by a guard, to be one of the processes beside it.

use std::path::Path;
use std::process::ExitCode;

use crate::guard::{keeper, namespaces, waiter};

/// Becomes what the first argument says, if a guard has started this process to be that. Called by hand it is no command at
/// all.
pub fn run_if_helper() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    match word.to_str()? {
        keeper::SUBCOMMAND => keeper::run_if_started(Path::new(&arguments.next()?)),
        namespaces::SUBCOMMAND => namespaces::run_if_started(arguments.next()?.to_str()?),
        waiter::SUBCOMMAND => waiter::run_if_started(),
        _ => None,
    }
}
