//! What a dump holds, and what it does not.

use crate::dump::collector::DumpSummary;
use crate::host::text::escaped;
use crate::report::text::words::count;

/// A line on what was written.
pub(crate) fn summary(summary: &DumpSummary) -> String {
    let DumpSummary { target, functions, files, links, bytes, .. } = summary;
    let number = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX);
    let parts = [count(number(functions), "function"), count(number(files), "file"), count(number(links), "link")];
    format!("{}: {}, {} kB\n", escaped(target), parts.join(", "), bytes.div_ceil(1000))
}
