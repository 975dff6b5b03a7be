//! What outlives a process: the journals of operations, the ledger of removed devices, persistent overrides.
//!
//! - [`file`](mod@file): directories that only root can change, files replaced as a whole.
//! - [`journal`]: what an operation was going to do, and how far it got.
//! - [`driverctl`]: driver overrides that outlive a reboot.
//! - [`audit`]: what was done to which device, when and by whom.
//! - [`ledger`]: what devices were when they were removed.

pub(crate) mod audit;
pub(crate) mod driverctl;
pub(crate) mod file;
pub mod journal;
pub mod ledger;
