//! What a site has chosen for all commands: pcictl.conf of the highest layer that has one.

use crate::cli::args::Cli;
use crate::cli::settings::{FILE, Setting, parse};
use crate::error::{Error, Result};
use crate::host::layers;
use crate::host::root::Root;

/// What it sets for this command, of the machine that the command is about; nothing where there is no such file.
///
/// # Errors
/// The file cannot be read or understood.
pub fn settings(cli: &Cli) -> Result<Vec<Setting>> {
    if !cli.command.takes_settings() {
        return Ok(Vec::new());
    }
    // Without that directory nothing can be done, and that is said where it is tried.
    Root::open(cli.common.sysroot.as_deref()).map_or_else(|_| Ok(Vec::new()), |root| read(&root))
}

/// All that it sets.
///
/// # Errors
/// As [`settings`].
pub(crate) fn read(root: &Root) -> Result<Vec<Setting>> {
    match layers::file(root, FILE) {
        Ok(file) => file.map_or_else(|| Ok(Vec::new()), |file| parse(&file.place, &file.text)),
        Err(unusable) => Err(Error::io(&unusable.place, &unusable.error)),
    }
}
