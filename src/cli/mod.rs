//! The command line: what can be typed, and nothing about the machine.
//!
//! - [`values`]: how values are spelled and checked.
//! - [`settings`]: defaults of options that a site has chosen.
//! - [`help`]: headings, tables of selectors and examples of the help texts.
//! - [`lazy`]: options that are defined when their command is asked for.
//! - [`wait`]: the options of `wait`, which shares none with those that change something.
//! - [`change_help`]: the same for the commands that change functions.
//! - [`slot_help`]: the same for slots.
//! - [`guard_help`]: the same for the guard.
//! - [`history`]: the options and the help of `history`.
//! - [`doctor_help`]: the same for the doctor, with its statuses for monitors.
//! - [`groups`]: options that several commands share.
//! - [`guard`]: the options of the guard.
//! - [`change`], [`slot`]: the commands that change functions, and those of slots; each turns into plain options.
//! - [`version`]: what `--version` tells.
//! - [`args`]: the command line as a whole, and the other commands.
//! - [`rejection`]: what is said of a command line that cannot be understood.
//! - [`completion`]: what may come next on a command line that is not whole yet.

pub mod args;
#[macro_use]
mod help;
pub(crate) mod change;
mod change_help;
mod doctor_help;
mod groups;
pub(crate) mod guard;
mod guard_help;
pub(crate) mod history;
mod lazy;
pub(crate) mod slot;
mod slot_help;
pub(crate) mod completion;
pub mod rejection;
pub mod settings;
pub(crate) mod values;
mod version;
pub(crate) mod wait;
