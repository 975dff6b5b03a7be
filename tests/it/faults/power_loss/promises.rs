//! What must be on disk at each moment of a command, whatever the disk does with what was not synced: it was promised.
//!
//! - Once the kernel was written to, the markers of the operation and the ledger's entries that were there at that time.
//! - From the start, what the ledger waited for: it stays there, or goes to the past of its place.
//! - Where journals outlive a boot, each line that came before the latest write to the kernel.
//! - Every file of these as a whole, from its first byte to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::disk::{Disk, Files};
use super::recording::is_of_kernel;
use super::trace::{Op, is_hidden};
use crate::faults::machine::entries_of;

/// What is promised at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promises {
    markers: BTreeSet<PathBuf>,
    /// Entries that were waited for before the command, as text.
    entries: BTreeSet<String>,
    new_entries: BTreeSet<String>,
    journals: BTreeMap<PathBuf, Vec<u8>>,
    /// The command is over.
    is_over: bool,
}

/// Whether a file is a record in this directory.
pub fn is_record(path: &Path, directory: &str) -> bool {
    let is_whole = path.extension().is_some_and(|end| end == "json" || end == "journal");
    path.parent() == Some(Path::new(directory)) && is_whole && !is_hidden(path)
}

impl Promises {
    /// Those of a machine right before a command. What an operation that was cut off has written is not waited for: it may be
    /// taken back.
    pub fn before(base: &Files, is_cut_off: bool) -> Self {
        let markers = base.keys().filter(|path| is_record(path, "state/operations")).cloned().collect();
        let entries = waited_for(base);
        let (entries, new_entries) = if is_cut_off { (BTreeSet::new(), entries) } else { (entries, BTreeSet::new()) };
        Self { markers, entries, new_entries, ..Self::default() }
    }

    /// A change was made, and this is what is seen since.
    pub fn change(&mut self, op: &Op, disk: &Disk) {
        match op {
            _ if is_of_kernel(op) => {
                self.new_entries.extend(waited_for(&disk.seen()));
                for (path, content) in disk.seen() {
                    if is_record(&path, "state/operations") {
                        self.markers.insert(path);
                    } else if is_record(&path, "run/journal") {
                        self.journals.insert(path, content.unwrap_or_default());
                    }
                }
            }
            Op::Remove(path) | Op::Rename(path, _) => {
                self.markers.remove(path);
                self.journals.remove(path);
                // What was crossed off or taken back.
                let left = waited_for(&disk.seen());
                self.new_entries.retain(|entry| left.contains(entry));
            }
            _ => {}
        }
    }

    /// The command has ended.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Names of operations that `status` must tell of.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.markers.iter().filter_map(|path| path.file_stem()?.to_str())
    }

    /// Whether nothing may be left of any operation.
    pub fn is_over(&self) -> bool {
        self.is_over && self.markers.is_empty()
    }

    /// What is not on disk, or not as a whole.
    pub fn broken(&self, files: &Files, are_journals_kept: bool) -> Result<(), String> {
        for (path, content) in files.iter().filter_map(|(path, content)| Some((path, content.as_ref()?))) {
            let directories = ["state/operations", "state/ledger", "state/ledger/history"];
            let is_json = directories.iter().any(|directory| is_record(path, directory));
            if is_json && serde_json::from_slice::<Value>(content).is_err() {
                return Err(format!("{} is damaged", path.display()));
            }
        }
        let lost = |path: &Path| Err(format!("{} is lost", path.display()));
        if let Some(path) = self.markers.iter().find(|path| !files.contains_key(*path)) {
            return lost(path);
        }
        let (there, past) = (waited_for(files), past(files));
        let is_kept = |entry: &&String| there.contains(*entry) || past.contains(*entry);
        let promised = self.new_entries.iter().filter(|entry| !there.contains(*entry));
        let mut lost_entries = promised.chain(self.entries.iter().filter(|entry| !is_kept(entry)));
        if let Some(entry) = lost_entries.next() {
            return Err(format!("this entry is lost: {entry}"));
        }
        for (path, promised) in self.journals.iter().filter(|_| are_journals_kept) {
            let is_there =
                files.get(path).and_then(Option::as_ref).is_some_and(|content| content.starts_with(promised));
            if !is_there {
                return lost(path);
            }
        }
        Ok(())
    }
}

/// The entries in the files of the ledger.
fn waited_for(files: &Files) -> BTreeSet<String> {
    let files = files.iter().filter(|(path, _)| is_record(path, "state/ledger"));
    let entries = files.filter_map(|(_, content)| content.as_ref()).flat_map(|content| entries_of(content));
    entries.map(|entry| entry.to_string()).collect()
}

/// What is past, there and in history.
fn past(files: &Files) -> BTreeSet<String> {
    let directories = ["state/ledger", "state/ledger/history"];
    let files = files.iter().filter(|(path, _)| directories.iter().any(|directory| is_record(path, directory)));
    let mut past = BTreeSet::new();
    for content in files.filter_map(|(_, content)| content.as_ref()) {
        let file: Value = serde_json::from_slice(content).unwrap_or_default();
        past.extend(file["past"].as_array().into_iter().flatten().map(|closed| closed["entry"].to_string()));
    }
    past
}
