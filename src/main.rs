//! The `pcictl` binary: an outcome becomes an exit status, and nothing else happens here.

#![deny(clippy::disallowed_methods)]

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use pcictl::cli::args::Cli;
use pcictl::cli::rejection;
use pcictl::commands::{self, settings::settings};
use pcictl::error::{Error, ErrorKind, ExitStatus};
use pcictl::terminal::output::{Output, Talk};

/// What went wrong with a report that could not be printed.
const LOST: &str = "cannot write to standard output";

fn main() -> ExitCode {
    if let Some(code) = pcictl::guard::helpers::run_if_helper() {
        return code;
    }
    let mut status = ExitCode::SUCCESS;
    if let Err(error) = run(&mut status) {
        Output::new(Talk::PLAIN).error(&Error::new(ErrorKind::Failed, format!("{error:#}")));
        // What was done stays done, and any other status says more than that its report was lost.
        if status == ExitCode::SUCCESS {
            status = ExitStatus::Failed.into();
        }
    }
    status
}

/// Sets the status of the command that was asked for; an error is about what was printed, and comes on top.
fn run(status: &mut ExitCode) -> anyhow::Result<()> {
    let cli = match Cli::read(Vec::new()) {
        Ok(cli) => cli,
        Err(error) => return not_run(&error, status),
    };
    let output = Output::new(cli.talk());
    let outcome = match settings(&cli) {
        Ok(settings) if settings.is_empty() => commands::run(&cli, &output),
        // It was valid with other defaults, and is with these.
        Ok(settings) => match Cli::read(settings) {
            Ok(cli) => commands::run(&cli, &output),
            Err(error) => return not_run(&error, status),
        },
        Err(error) => Err(error),
    };
    *status = outcome.unwrap_or_else(|error| {
        output.error(&error);
        error.status().into()
    });
    output.written().context(LOST)
}

/// Help and version are printed; a command line that is not valid is an error, or a JSON document.
fn not_run(error: &clap::Error, status: &mut ExitCode) -> anyhow::Result<()> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let output = Output::new(Talk { json: rejection::wants_json(&words), ..Talk::PLAIN });
    match error.kind() {
        DisplayHelp | DisplayVersion => output.record(error.print().and_then(|()| io::stdout().flush())),
        DisplayHelpOnMissingArgumentOrSubcommand => {
            *status = ExitStatus::Usage.into();
            // A closed stderr has no reader.
            let _ = error.print();
        }
        _ => {
            *status = ExitStatus::Usage.into();
            output.error(&rejection::explain(error, &words));
        }
    }
    output.written().context(LOST)
}
