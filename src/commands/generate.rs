//! `pcictl generate`: man pages and completions from the definition of the command line, so that they cannot lie.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, GenerateArgs};
use crate::error::{Error, ExitStatus, Result};

pub fn run(args: &GenerateArgs) -> Result<ExitStatus> {
    let man = args.directory.join("man");
    let completions = args.directory.join("completions");
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).map_err(|e| Error::io(directory.display(), &e))?;
    }
    clap_mangen::generate_to(Cli::command(), &man).map_err(|e| Error::io(man.display(), &e))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        complete(shell, &completions)?;
    }
    Ok(ExitStatus::Done)
}

fn complete(shell: Shell, directory: &Path) -> Result<()> {
    let mut command = Cli::command();
    clap_complete::generate_to(shell, &mut command, "pcictl", directory)
        .map_err(|e| Error::io(directory.display(), &e))?;
    Ok(())
}
