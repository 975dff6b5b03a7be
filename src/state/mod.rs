//! What outlives a process: the journals of operations and the ledger of removed devices.

pub(crate) mod file;
pub mod journal;
pub mod ledger;
