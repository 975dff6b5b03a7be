//! The `pcictl` binary: an outcome becomes an exit status, and nothing else happens here.

use std::mem::ManuallyDrop;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use pcictl::cli::args::Cli;
use pcictl::error::{Error, ExitStatus};
use pcictl::terminal::Output;

fn main() -> ExitCode {
    if let Some(code) = pcictl::execute::run_if_child() {
        return code;
    }
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(cli.common.talk());
    match pcictl::commands::run(&cli, &output) {
        Ok(status) => status,
        Err(error) => {
            output.error(&error);
            error.status().into()
        }
    }
}

/// What `Cli::try_parse` does, but that the definition of the command line is left to the end of the process: taking it
/// apart, option by option, is a quarter of what reading the command line costs.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = ManuallyDrop::new(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Help and version go to stdout; a command line that cannot be understood is one line on stderr, or a JSON document.
fn not_understood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitStatus::Done.into();
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut message =
        lines.next().unwrap_or("the command line cannot be understood").trim_start_matches("error: ").to_owned();
    let rest = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    // The list of subcommands would name hidden ones, too.
    for line in rest.filter(|line| !line.starts_with("[subcommands:")) {
        message.push_str(if message.ends_with(':') { " " } else { "; " });
        message.push_str(line);
    }
    let json = std::env::args().any(|arg| arg == "--json" || arg == "-j");
    Output::plain(json).error(&Error::usage(format!("{message}; see pcictl --help")));
    ExitStatus::Usage.into()
}
