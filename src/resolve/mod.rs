//! From what an operator typed to functions and buses of this machine.

pub(crate) mod functions;
pub mod scan_target;
