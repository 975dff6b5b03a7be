//! Gives anything to what takes foreign text and bytes, and sees that it neither panics nor hangs, and that its memory
//! grows no faster than what it was given.
//!
//! - [`memory`]: counts what is allocated.
//! - [`random`]: numbers that a seed tells.
//! - [`mutate`]: makes other bytes of bytes.
//! - [`sources`]: the files that there are to begin with.
//! - [`script`]: what is done to a dumped tree, as text.
//! - [`tree`]: a dumped tree, changed by scripts, and all commands that look at it.
//! - [`target`]: what is given bytes, parsers and trees alike.
//! - [`check`]: one case, and whether all was well.
//! - [`watch`]: ends a process that has worked on one case for too long.
//! - [`hunt`]: many cases.
//! - [`findings`]: makes what was found small, and keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod memory;
pub mod random;
pub mod mutate;
pub mod sources;
pub mod script;
pub mod tree;
pub mod target;
pub mod check;
pub mod watch;
pub mod hunt;
pub mod findings;

/// All that is allocated is counted, in whatever program this is part of.
#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
