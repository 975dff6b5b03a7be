//! The command line: what can be typed, and nothing about the machine.
//!
//! - [`values`]: how values are spelled and checked.
//! - [`args`]: the commands and their options, with their help; each turns into plain options.

pub mod args;
mod help;
pub mod rejection;
pub(crate) mod values;
