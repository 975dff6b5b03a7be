//! The form of JSON documents: a head that is the same for all, then the keys of the report in their own order.
//!
//! A key that belongs to a kind of document is always there: `null` stands for what is unknown or does not exist, an empty
//! list for none. Nothing is ever taken away from a schema, only added (pcictl-json(7)).

use std::io::{self, Write};
use std::time::SystemTime;

use serde::Serialize;

use crate::host::clock::rfc3339;

/// The schema that documents are in.
const SCHEMA: u32 = 1;

/// A report that can be printed as a JSON document.
pub(crate) trait Document: Serialize {
    /// The kind of document, as `document` names it.
    const KIND: &'static str;

    /// Whether something was changed, or would be; `None` leaves it to what the operation did.
    fn changed(&self) -> Option<bool> {
        None
    }
}

/// The kernel that is spoken of, and the boot that it is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    /// As `uname -r` says; `None` where a dump does not tell, or it was not looked at.
    pub(crate) release: Option<String>,
    /// Its random boot id.
    pub(crate) boot_id: Option<String>,
}

/// What the head of a document says, besides what it is.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    /// The kernel.
    pub(super) kernel: Kernel,
    /// When the command, or this look of several, began.
    pub(super) began: SystemTime,
    /// The operation, as its journal is called, once it has begun.
    pub(super) operation: Option<String>,
    /// Something was changed and stays so.
    pub(super) changed: bool,
}

/// A whole document.
#[derive(Serialize)]
struct Whole<'a, T: Serialize> {
    schema: u32,
    document: &'static str,
    version: &'static str,
    kernel_release: Option<&'a str>,
    boot_id: Option<&'a str>,
    began: String,
    ended: String,
    operation_id: Option<&'a str>,
    changed: bool,
    #[serde(flatten)]
    body: &'a T,
}

impl Circumstances {
    /// A run that begins now.
    pub(super) fn now() -> Self {
        Self { kernel: Kernel::default(), began: SystemTime::now(), operation: None, changed: false }
    }

    /// Writes a document over several lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write<T: Document>(&self, report: &T, mut out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, &self.whole(report))?;
        writeln!(out)
    }

    /// A document in one line, without its end.
    pub(super) fn line<T: Document>(&self, report: &T) -> String {
        // Reports are structs with string keys, which can always be written.
        serde_json::to_string(&self.whole(report)).unwrap_or_default()
    }

    fn whole<'a, T: Document>(&'a self, report: &'a T) -> Whole<'a, T> {
        Whole {
            schema: SCHEMA,
            document: T::KIND,
            version: env!("CARGO_PKG_VERSION"),
            kernel_release: self.kernel.release.as_deref(),
            boot_id: self.kernel.boot_id.as_deref(),
            began: rfc3339(self.began),
            ended: rfc3339(SystemTime::now()),
            operation_id: self.operation.as_deref(),
            changed: report.changed().unwrap_or(self.changed),
            body: report,
        }
    }
}

/// Whether a line of a document only tells when it was made.
pub(super) fn is_time(line: &[u8]) -> bool {
    line.starts_with(br#"  "began": "#) || line.starts_with(br#"  "ended": "#)
}
