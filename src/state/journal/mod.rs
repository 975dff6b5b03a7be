//! What an operation was going to do, and how far it got: written before anything is done, so that whoever comes after
//! a crash knows.
//!
//! Not promised: that the journal is right about the machine. It says what was given to the kernel; what became of it is
//! looked up in the tree, see [`progress`].

pub mod progress;
pub(crate) mod record;
pub mod store;
