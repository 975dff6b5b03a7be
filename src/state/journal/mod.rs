//! What an operation was going to do, and how far it got: written before anything is done, so that whoever comes after
//! a crash knows.
//!
//! Not promised: that the journal is right about the machine. It says what was given to the kernel; what became of it is
//! looked up in the tree.
//!
//! - [`record`]: the form of a journal, line by line.
//! - [`store`]: the journals' files.
//! - [`progress`]: where an operation stands that nobody works on, and the way on.

pub mod progress;
pub(crate) mod record;
pub mod store;
