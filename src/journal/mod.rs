//! What an operation was going to do, and how far it came: written before anything is done, so that whoever comes after
//! a crash knows.
//!
//! What it does not promise: that the journal is right about the machine. It says what was given to the kernel; what
//! became of it is looked up in the tree, see [`standing`].

pub mod record;
pub mod standing;
mod store;

pub use record::{Header, Record, SCHEMA};
pub use standing::{Standing, Way};
pub use store::{Found, Journal, Journals, note_end};

/// The boot that this machine is in; empty where the kernel does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
