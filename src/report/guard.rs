//! What a guard does now.

use serde::{Deserialize, Serialize};

use crate::pci::place::Place;
use crate::terminal::document::Document;

/// A guard as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct GuardReport {
    /// Its process.
    pub(crate) pid: u32,
    /// For how many seconds it has been there.
    pub(crate) seconds: u64,
    /// How many files it has marked.
    pub(crate) files: usize,
    /// How many raw writes it let go on.
    pub(crate) let_go_on: u64,
    /// How many of them had to wait.
    pub(crate) had_to_wait: u64,
    /// How many it denied.
    pub(crate) denied: u64,
    /// How many wait now.
    pub(crate) waiting_count: usize,
    /// Those who wait, the first ones.
    pub(crate) waiting: Vec<WriterAtFile>,
    /// Those who are inside.
    pub(crate) inside: Vec<WriterAtFile>,
}

impl Document for GuardReport {
    const KIND: &'static str = "guard";
}

/// Somebody at a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct WriterAtFile {
    /// The process.
    pub(crate) pid: u32,
    /// Its short name.
    pub(crate) comm: String,
    /// The file, below `sys`.
    pub(crate) file: String,
    /// For how many seconds.
    pub(crate) seconds: f64,
    /// The nodes that are held for it.
    pub(crate) holds: Vec<Place>,
}
