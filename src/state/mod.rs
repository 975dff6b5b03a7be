//! What outlives a process: the journals of operations and the ledger of removed devices.
//!
//! - [`journal`]: what an operation was going to do, and how far it got.
//! - [`ledger`]: what devices were when they were removed.

pub mod journal;
pub mod ledger;
