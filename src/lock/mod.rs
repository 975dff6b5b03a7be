//! The lock protocol: flock(2) on one file per node, so that operations that could meet in the kernel meet here first.
//!
//! Every node has two files below `locks/` of the run directory: `NODE.lock`, held shared or exclusively while the work
//! goes on, and `NODE.gate`, a turnstile that everybody passes one by one on the way to the lock. Whoever waits for the
//! lock waits inside the gate, so an exclusive claim is not overtaken by shared ones that come later. All wait in one
//! order (a node's gate, its lock, then the next node's), and whoever is in a gate waits only for what comes later in
//! it; so somebody can always go on.
//!
//! A lock file is known by the mark in it and by what the kernel says of it, never by the path that somebody has it open by
//! (`validate`); and all of the machine uses the directory that its first process sees (`host_view`).
//!
//! Not promised: the locks are advisory (a raw `echo` does not take part), and they hold on one machine only. Whatever
//! is wrong with the files ends in an error; nothing ever goes on unlocked. The files are never unlinked. Processes in
//! line outside a gate are let in as the kernel wakes them: in order, except for a newcomer that arrives at the very
//! moment the gate is free.
//!
//! - [`claims`]: which nodes an operation must hold, in which mode and order.
//! - [`offset_tag`]: what a holder lets others see: since when, in which mode.
//! - [`flock`]: the call itself, and nothing else.
//! - [`proc_locks`]: the kernel's table of locks.
//! - [`owner`]: whether a process could have opened a lock file.
//! - [`host_view`]: which lock directory is the machine's one.
//! - [`conflict`]: words for a lock that somebody else has.
//! - [`fdinfo`]: which lock files a process has open.
//! - [`validate`]: why a new lock file may be relied on.
//! - [`holders`]: who holds or waits, by /proc.
//! - [`protocol`]: the number that says by which rules a directory's locks are taken.
//! - [`files`]: the lock files, and why they are trusted.
//! - [`carried`]: the locks that a process carries.
//! - [`acquire`]: takes locks, one claim after the other, with one deadline.

pub mod acquire;
pub(crate) mod carried;
pub mod claims;
pub mod conflict;
pub(crate) mod fdinfo;
pub mod files;
pub(crate) mod flock;
pub mod holders;
pub mod host_view;
pub(crate) mod offset_tag;
pub(crate) mod owner;
pub mod proc_locks;
pub mod protocol;
pub(crate) mod validate;
