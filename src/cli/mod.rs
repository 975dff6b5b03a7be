//! The command line: what can be typed, and nothing about the machine.

pub mod args;
mod help;
pub mod rejection;
pub(crate) mod values;
