//! Performs plans. The engine knows a trait, not the kernel; the supervisor makes the writes with helper processes, so
//! that a write which never returns hangs a helper and not the operator.

pub mod executor;
pub(crate) mod helper_pool;
pub(crate) mod probe;
pub(crate) mod signals;
pub mod supervisor;
pub mod writer;
pub(crate) mod command;
pub(crate) mod journaled;
pub(crate) mod outcome;
pub(crate) mod scope;

/// Does the work of a child process, if this process was started to be one: pcictl runs itself for writes and reads that
/// may never return.
pub fn run_if_child() -> Option<std::process::ExitCode> {
    writer::run_if_helper().or_else(probe::run_if_probe)
}
