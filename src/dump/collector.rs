//! Reads one thing, has it anonymized, writes it, and keeps count: the one way into a dump.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::dump::anonymize::Anonymizer;
use crate::dump::format;
use crate::dump::scope::DumpScope;
use crate::dump::target::{Target, Written};
use crate::error::{Result, plain};
use crate::host::bounded::BoundedReader;
use crate::host::machine::Machine;
use crate::terminal::document::Document;

/// More entries than a machine of 65,536 functions has.
const MOST_ENTRIES: u64 = 4_000_000;

/// More than that nobody attaches to a report.
const MOST_BYTES: u64 = 1 << 30;

/// What could not be copied, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Unread {
    /// Where it is.
    pub(crate) path: String,
    /// Why.
    pub(crate) why: String,
}

/// What a dump holds, and what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DumpSummary {
    /// Where it is.
    pub(crate) target: String,
    /// Whether names of people, machines and parts were replaced.
    pub(crate) anonymized: bool,
    /// Functions.
    pub(crate) functions: u64,
    /// Files, with those of which only the name is known.
    pub(crate) files: u64,
    /// Links.
    pub(crate) links: u64,
    /// Bytes in the files.
    pub(crate) bytes: u64,
    /// What could not be copied.
    pub(crate) unread: Vec<Unread>,
    /// What was left out, a line each.
    pub(crate) notes: Vec<String>,
}

impl Document for DumpSummary {
    const KIND: &'static str = "dump";
}

/// Copies one machine.
pub(crate) struct Collector<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// Which functions.
    pub(crate) scope: &'a DumpScope,
    /// Set if names are replaced.
    pub(crate) names: Option<Anonymizer>,
    /// What it comes to.
    pub(crate) summary: DumpSummary,
    reader: BoundedReader,
    target: Target,
    is_full: bool,
}

impl<'a> Collector<'a> {
    /// Copies this machine to a target that was just made.
    ///
    /// # Errors
    /// The machine's root cannot be opened.
    pub(crate) fn new(
        machine: &'a Machine,
        scope: &'a DumpScope,
        target: Target,
        names: Option<Anonymizer>,
    ) -> io::Result<Self> {
        let reader = BoundedReader::new(machine.sysfs.root(), machine.sysfs.is_dump())?;
        let summary = DumpSummary { anonymized: names.is_some(), ..DumpSummary::default() };
        Ok(Self { machine, scope, names, summary, reader, target, is_full: false })
    }

    /// Whether a limit was reached: nothing is written any more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Notes that something could not be copied.
    pub(crate) fn miss(&mut self, path: &str, why: impl Into<String>) {
        self.summary.unread.push(Unread { path: path.to_owned(), why: why.into() });
    }

    /// Reads a file below the root, and notes nothing.
    ///
    /// # Errors
    /// As for [`BoundedReader::read`].
    pub(crate) fn try_read(&mut self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.reader.read(path, limit)
    }

    /// Reads a file below the root; what has no value now reads as `None`, and what cannot be read is noted.
    pub(crate) fn read(&mut self, path: &str, limit: usize) -> Option<Vec<u8>> {
        match self.reader.read(path, limit) {
            Ok(bytes) => bytes,
            Err(error) => {
                if is_kept_from_us(&error) {
                    self.miss(&format!("/{path}"), plain(&error));
                }
                None
            }
        }
    }

    /// The same as text; bytes that are none are replaced.
    pub(crate) fn read_text(&mut self, path: &str, limit: usize) -> Option<String> {
        self.read(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Copies a file as it is, but for names. What cannot be read is there without content, unreadable.
    pub(crate) fn copy(&mut self, path: &str, limit: usize) -> Result<()> {
        match self.reader.read(path, limit) {
            Ok(Some(bytes)) => self.put(path, &bytes),
            Ok(None) => Ok(()),
            Err(error) if is_kept_from_us(&error) => {
                self.miss(&format!("/{path}"), plain(&error));
                self.bare(path, format::UNREADABLE)
            }
            // An attribute without a value now.
            Err(_) => Ok(()),
        }
    }

    /// Writes a file; names in it are replaced if that was asked for.
    pub(crate) fn put(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let replaced = self.names.as_ref().zip(std::str::from_utf8(content).ok());
        match replaced.map(|(names, text)| names.text(text)) {
            Some(text) => self.put_replaced(path, text.as_bytes()),
            None => self.put_replaced(path, content),
        }
    }

    /// Writes a file in which names are replaced already.
    pub(crate) fn put_replaced(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.write_file(path, content, format::READABLE)
    }

    /// Writes that a file is there, and nothing of its content.
    pub(crate) fn bare(&mut self, path: &str, mode: u32) -> Result<()> {
        self.write_file(path, b"", mode)
    }

    fn write_file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        if self.counts(content.len() as u64) {
            let written = self.target.file(&self.named(path), content, mode)?;
            self.summary.files += u64::from(self.is_done(written, path));
        }
        Ok(())
    }

    /// Writes a link.
    pub(crate) fn link(&mut self, path: &str, to: &str) -> Result<()> {
        if self.counts(0) {
            let to = self.named(to);
            let written = self.target.link(&self.named(path), &to)?;
            self.summary.links += u64::from(self.is_done(written, path));
        }
        Ok(())
    }

    /// Copies a link of the machine, if there is one that leads to what is copied.
    pub(crate) fn copy_link(&mut self, path: &str) -> Result<()> {
        let Ok(target) = std::fs::read_link(self.machine.sysfs.root().join(path)) else { return Ok(()) };
        match target.to_str() {
            Some(target) if self.scope.keeps(target) => self.link(path, target),
            Some(_) => Ok(()),
            None => {
                self.miss(&format!("/{path}"), "where it leads is no text");
                Ok(())
            }
        }
    }

    /// Makes sure that a directory is there.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        if self.counts(0) {
            let written = self.target.directory(&self.named(path))?;
            self.is_done(written, path);
        }
        Ok(())
    }

    /// Whether something below the root sits there without a link on the way, where links may have been laid by others.
    pub(crate) fn is_inside(&self, path: &str) -> bool {
        let root = self.machine.sysfs.root();
        let is_link = |path: &Path| root.join(path).is_symlink();
        !self.machine.sysfs.is_dump()
            || !Path::new(path).ancestors().filter(|path| !path.as_os_str().is_empty()).any(is_link)
    }

    /// Writes what is still in memory, and says what it all came to.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(self) -> Result<DumpSummary> {
        self.target.finish()?;
        Ok(self.summary)
    }

    /// A path as it is written.
    fn named(&self, path: &str) -> String {
        self.names.as_ref().map_or_else(|| path.to_owned(), |names| names.text(path))
    }

    fn is_done(&mut self, written: Written, path: &str) -> bool {
        if written == Written::Unnameable {
            self.miss(&format!("/{path}"), "the text form cannot say its name; dump into a directory");
        }
        written == Written::Done
    }

    fn counts(&mut self, bytes: u64) -> bool {
        let DumpSummary { files, links, .. } = self.summary;
        if !self.is_full && (files + links >= MOST_ENTRIES || self.summary.bytes + bytes > MOST_BYTES) {
            self.is_full = true;
            self.summary.notes.push(format!(
                "the dump ends here: it has {} entries and {} bytes, and more than {MOST_ENTRIES} or {MOST_BYTES} are not \
                 written; name functions to dump less",
                files + links,
                self.summary.bytes
            ));
        }
        if !self.is_full {
            self.summary.bytes += bytes;
        }
        !self.is_full
    }
}

/// Whether an error says that there is something, and that we do not get it. Others say that it has no value now.
fn is_kept_from_us(error: &io::Error) -> bool {
    use io::ErrorKind as Io;
    matches!(error.kind(), Io::PermissionDenied | Io::TimedOut | Io::Other) || error.raw_os_error().is_none()
}
