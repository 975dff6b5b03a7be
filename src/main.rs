//! The `pcictl` binary: an outcome becomes an exit status, and nothing else happens here.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use pcictl::cli::args::Cli;
use pcictl::cli::rejection;
use pcictl::error::ExitStatus;
use pcictl::terminal::{Output, Talk};

fn main() -> ExitCode {
    if let Some(code) = pcictl::execute::run_if_child() {
        return code;
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return not_run(&error),
    };
    let output = Output::new(cli.common.talk());
    let status = match pcictl::commands::run(&cli, &output) {
        Ok(status) => status,
        Err(error) => {
            output.error(&error);
            error.status().into()
        }
    };
    with_lost_output(&output, status)
}

/// What `Cli::try_parse` does, but that the definition of the command line is left to the end of the process: taking it
/// apart, option by option, is a quarter of what reading the command line costs.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = ManuallyDrop::new(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Help and version are printed; a command line that is not valid is an error, or a JSON document.
fn not_run(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let output = Output::new(Talk { json: rejection::wants_json(&words), ..Talk::PLAIN });
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            output.record(error.print().and_then(|()| io::stdout().flush()));
            with_lost_output(&output, ExitStatus::Done.into())
        }
        DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed stderr has no reader.
            let _ = error.print();
            ExitStatus::Usage.into()
        }
        _ => {
            output.error(&rejection::explain(error, &words));
            ExitStatus::Usage.into()
        }
    }
}

/// Success turns into failure when a report could not be printed. What was done stays done, and any other status says
/// more than that.
fn with_lost_output(output: &Output, status: ExitCode) -> ExitCode {
    if output.report_lost() && status == ExitCode::SUCCESS { ExitStatus::Failed.into() } else { status }
}
