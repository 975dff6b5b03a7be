//! The command line: what can be typed, and nothing about the machine.

pub mod args;
pub(crate) mod values;
