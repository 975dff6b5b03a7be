//! From what an operator typed to functions and buses of this machine.

pub mod functions;
pub mod scan_target;
