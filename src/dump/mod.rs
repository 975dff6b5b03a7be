//! A copy of what the readers of this program read, so that a report can be looked into on another machine.
//!
//! What is not on the list in [`rules`], [`processes`] or [`files`] is not copied: a new reader adds its file there, and the
//! test that dumps every tree of tests/trees and compares what the commands say of both fails until it does. Nothing is
//! read that may wait for a driver's lock, wakes a device or is somebody's secret. Not promised: one moment. The machine
//! goes on while it is copied, and what changes meanwhile is copied as it is found.
//!
//! - [`format`](mod@format): the text form of a tree (`.tree`).
//! - [`target`]: the directory or file that is written, and nothing outside of it.
//! - [`anonymize`]: replacements for what names people, machines and parts.
//! - [`scope`]: which functions are copied.
//! - [`rules`]: which files of /sys are copied, and how.
//! - [`collector`]: reads one thing, has it anonymized, writes it, and keeps count.
//! - [`devices`]: walks /sys.
//! - [`processes`]: copies what matters of /proc.
//! - [`files`]: the rest: the site's list, journals, ledger, names, links to disks.

pub(crate) mod format;
pub(crate) mod target;
pub(crate) mod anonymize;
pub(crate) mod scope;
pub(crate) mod rules;
pub(crate) mod collector;
pub(crate) mod devices;
pub(crate) mod processes;
pub(crate) mod files;
