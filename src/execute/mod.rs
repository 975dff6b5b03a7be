//! Performs plans. The engine knows a trait, not the kernel; the supervisor makes the writes with helper processes, so
//! that a write which never returns hangs a helper and not the operator.

pub mod executor;
pub mod helper_pool;
pub mod probe;
pub mod signals;
pub mod supervisor;
pub mod writer;
