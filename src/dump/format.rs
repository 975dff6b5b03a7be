//! The text form of a tree, one entry at a time; `tests/it/support/dump.rs` explains it and reads it.
//!
//! A line at the left margin names a directory; those below it, indented, are what it holds: `NAME = TEXT`, `NAME : HEX`,
//! `NAME -> TARGET`, with `{MODE}` after the name of a file that is not readable. There are no escapes, so a name that would
//! be taken for something else cannot be written.

use std::fmt::Write as _;

/// The permissions of a file of which only its name is known: it is there to be written, or was not asked.
pub(crate) const UNASKED: u32 = 0o200;

/// The permissions of a file that could not be read.
pub(crate) const UNREADABLE: u32 = 0o000;

/// The permissions of any other file.
pub(crate) const READABLE: u32 = 0o644;

/// The lines of a text as `change` makes them, each with its end; those of which it makes nothing are left out.
pub(crate) fn changed_lines(text: &str, change: &dyn Fn(&str) -> Option<String>) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some(line) = change(line) {
            written.push_str(&line);
            written.push('\n');
        }
    }
    written
}

/// The lines of a text that begin with one of these.
pub(crate) fn lines_of(text: &str, starts: &[&str]) -> String {
    changed_lines(text, &|line| starts.iter().any(|start| line.starts_with(start)).then(|| line.to_owned()))
}

/// The line that opens a directory; `None` if its name cannot be written.
pub(crate) fn directory(path: &str) -> Option<String> {
    let is_plain = !path.starts_with(['#', ' ']) && !path.contains(['\n', '\r']) && !path.trim().is_empty();
    is_plain.then(|| format!("{path}:\n"))
}

/// A link; `None` if its name or its target cannot be written.
pub(crate) fn link(name: &str, target: &str) -> Option<String> {
    let is_plain = is_writable(name) && !target.contains(['\n', '\r']);
    is_plain.then(|| format!("  {name} -> {target}\n"))
}

/// A file; `None` if its name cannot be written.
pub(crate) fn file(name: &str, content: &[u8], mode: u32) -> Option<String> {
    if !is_writable(name) {
        return None;
    }
    let mode = if mode == READABLE { String::new() } else { format!(" {{{mode:03o}}}") };
    let head = format!("  {name}{mode}");
    Some(match text(content) {
        Some(text) => format!("{head} ={}", lines(text)),
        None => format!("{head} :{}\n", hex(content)),
    })
}

/// What the content is as lines; `None` for bytes, for a last line without its end, and for nothing.
fn text(content: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
    let is_printable = |c: char| matches!(c, '\n' | '\t' | ' '..='~') || c.is_alphanumeric();
    text.chars().all(is_printable).then_some(text)
}

fn lines(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    let mut lines = text.split('\n').peekable();
    let mut mark = " ";
    // Writing to a string cannot fail.
    while let Some(line) = lines.next() {
        let _ =
            if line.is_empty() { writeln!(written, "{}", mark.trim_end()) } else { writeln!(written, "{mark}{line}") };
        let mut more = 0;
        while lines.next_if_eq(&line).is_some() {
            more += 1;
        }
        if more > 0 {
            let _ = writeln!(written, "    +{more}");
        }
        mark = "    + ";
    }
    written
}

fn hex(content: &[u8]) -> String {
    let mut written = String::with_capacity(content.len() * 2 + content.len() / 16 + 1);
    for (index, byte) in content.iter().enumerate() {
        if index % 16 == 0 {
            written.push(' ');
        }
        let _ = write!(written, "{byte:02x}");
    }
    written
}

/// Whether a reader would take this name for nothing else.
fn is_writable(name: &str) -> bool {
    let has_sign = [" = ", " : ", " -> ", " < "].iter().any(|sign| name.contains(sign));
    let ends_in_sign = [" =", " :", " ->", " <", "}"].iter().any(|sign| name.ends_with(sign));
    !(name.is_empty() || has_sign || ends_in_sign || name.starts_with([' ', '+']) || name.contains(['\n', '\r', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_text_where_it_reads_as_such_and_bytes_elsewhere() {
        for (content, written) in [
            (&b"0x8086\n"[..], "  a = 0x8086\n"),
            (b"\n\n\nx\n", "  a =\n    +2\n    + x\n"),
            (b"x\ny\n\ny\n", "  a = x\n    + y\n    +\n    + y\n"),
            (b"x\tz\n", "  a = x\tz\n"),
            (b"", "  a :\n"),
            (b"x", "  a : 78\n"),
            (b"x\r\n", "  a : 780d0a\n"),
            (b"\xff\n", "  a : ff0a\n"),
        ] {
            assert_eq!(file("a", content, READABLE).as_deref(), Some(written));
        }
        assert_eq!(file("a", b"", UNASKED).as_deref(), Some("  a {200} :\n"));
        assert_eq!(file("a", b"", UNREADABLE).as_deref(), Some("  a {000} :\n"));
        assert_eq!(directory("sys/a b").as_deref(), Some("sys/a b:\n"));
        assert_eq!(link("a", "../b").as_deref(), Some("  a -> ../b\n"));
    }

    #[test]
    fn names_that_would_be_misread_are_refused() {
        for name in ["", " a", "+a", "a = b", "a :", "a -> b", "a {644}", "a\nb", "a/b"] {
            assert_eq!(file(name, b"", READABLE), None, "{name:?}");
            assert_eq!(link(name, "x"), None, "{name:?}");
        }
        assert_eq!(directory("#a"), None);
        assert_eq!(link("a", "x\ny"), None);
    }
}
