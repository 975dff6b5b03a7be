//! From what an operator typed to functions and buses of this machine.
//!
//! - [`functions`]: which functions a selector means.
//! - [`scan_target`]: which bus brings something back; the one answer for rescan, lock and show.

pub(crate) mod functions;
pub mod scan_target;
