//! The form of JSON documents: a head that is the same for all, then the keys of the report in their own order.
//!
//! A key that belongs to a kind of document is always there: `null` stands for what is unknown or does not exist, an empty
//! list for none. Nothing is ever taken away from a schema, only added (pcictl-json(7)).

use std::io::{self, Write};
use std::time::SystemTime;

use serde::Serialize;

use crate::host::clock::rfc3339;

/// The schema that documents are in: packaging/schema/pcictl-SCHEMA.json.
pub(crate) const SCHEMA: u32 = 1;

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

/// What every document begins with.
#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    document: &'static str,
    version: &'static str,
    kernel_release: Option<&'a str>,
    boot_id: Option<&'a str>,
    began: String,
    ended: String,
    operation_id: Option<&'a str>,
    changed: bool,
}

impl Circumstances {
    /// A run that begins now.
    pub(super) fn now() -> Self {
        Self { kernel: Kernel::default(), began: SystemTime::now(), operation: None, changed: false }
    }

    /// Writes a document over several lines.
    ///
    /// The head and the report are put together as text: what serde would make of a report that is flattened into another
    /// struct is compiled once more for each of thirty reports, and is a fifth of a megabyte.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write<T: Document>(&self, report: &T, out: &mut dyn Write) -> io::Result<()> {
        let head = serde_json::to_string_pretty(&self.head(T::KIND, report.changed()))?;
        write!(out, "{},", head.trim_end_matches("\n}"))?;
        serde_json::to_writer_pretty(Rest { out: &mut *out, begun: false }, report)?;
        writeln!(out)
    }

    /// A document in one line, without its end.
    pub(super) fn line<T: Document>(&self, report: &T) -> String {
        let mut text = Vec::new();
        // Memory can be written to, and reports are structs with string keys, which can always be written.
        let _ = self.write(report, &mut text);
        // No text in JSON has a line feed of its own.
        String::from_utf8_lossy(&text).lines().map(str::trim_start).collect()
    }

    fn head(&self, document: &'static str, changed: Option<bool>) -> Head<'_> {
        Head {
            schema: SCHEMA,
            document,
            version: env!("CARGO_PKG_VERSION"),
            kernel_release: self.kernel.release.as_deref(),
            boot_id: self.kernel.boot_id.as_deref(),
            began: rfc3339(self.began),
            ended: rfc3339(SystemTime::now()),
            operation_id: self.operation.as_deref(),
            changed: changed.unwrap_or(self.changed),
        }
    }
}

/// Takes an object without its first byte, the brace.
struct Rest<'a> {
    out: &'a mut dyn Write,
    begun: bool,
}

impl Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun || bytes.is_empty() {
            return self.out.write(bytes);
        }
        self.begun = true;
        self.out.write(&bytes[1..]).map(|length| length + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a line of a document only tells when it was made.
pub(super) fn is_time(line: &[u8]) -> bool {
    line.starts_with(br#"  "began": "#) || line.starts_with(br#"  "ended": "#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Report {
        text: &'static str,
    }

    impl Document for Report {
        const KIND: &'static str = "report";
    }

    #[test]
    fn head_and_report_are_one_object_over_several_lines_or_in_one() {
        let circumstances = Circumstances::now();
        let mut text = Vec::new();
        circumstances.write(&Report { text: "a\n  b" }, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["schema"], &value["document"], &value["text"]),
            (&1.into(), &"report".into(), &"a\n  b".into())
        );
        assert!(text.ends_with("  \"changed\": false,\n  \"text\": \"a\\n  b\"\n}\n"), "{text}");
        let line = circumstances.line(&Report { text: "a\n  b" });
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["text"], "a\n  b");
    }
}
