//! What is done to a dumped tree, as text: a line for each change, which people can read and a finding consists of.
//!
//! ```text
//! tree busy
//! on 0000:06:00.0
//! run show --json @
//! write 1 proc/swaps Filename\t\t\tType\n
//! journal 1 run/pcictl/journal/1-2.journal {"header":{}}\n
//! link sys/class/net/eth0 ../../devices/virtual/net/lo
//! remove proc/1
//! directory proc/cmdline
//! fifo etc/kdump.conf
//! ```
//!
//! Bytes are escaped as in Rust; without `run` all commands are run; the number says how often they are repeated. Each line of a journal gets its sum,
//! which no chance finds. A line that is none of these is passed over, so any bytes are a script.

use std::fmt::Write as _;

/// A tree, the function that commands are about, and what is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The tree's name.
    pub tree: String,
    /// The function.
    pub on: Option<String>,
    /// Which commands look at it then; all without.
    pub commands: Vec<String>,
    /// What is done, in this order.
    pub changes: Vec<Change>,
}

/// Something that is done to a path of the tree, whatever was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the tree's root.
    pub path: String,
    /// What is there then.
    pub to: New,
}

/// What is put at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    /// A file with these bytes so many times.
    File(usize, Vec<u8>),
    /// A journal of these lines, so many times, each with its sum.
    Journal(usize, Vec<u8>),
    /// A symbolic link.
    Link(Vec<u8>),
    /// Nothing.
    Nothing,
    /// An empty directory.
    Directory,
    /// What nobody writes into.
    Fifo,
}

impl Script {
    /// Reads a script.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut script = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut words = line.splitn(2, ' ');
            let (word, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            match word {
                "tree" => rest.clone_into(&mut script.tree),
                "on" => script.on = Some(rest.to_owned()),
                "run" => script.commands.push(rest.to_owned()),
                word => script.changes.extend(change(word, rest)),
            }
        }
        script
    }

    /// The script as text.
    pub fn text(&self) -> String {
        let mut text = format!("tree {}\n", self.tree);
        if let Some(on) = &self.on {
            let _ = writeln!(text, "on {on}");
        }
        for command in &self.commands {
            let _ = writeln!(text, "run {command}");
        }
        for Change { path, to } in &self.changes {
            let path = path.as_bytes().escape_ascii().to_string().replace(' ', "\\x20");
            let _ = match to {
                New::File(times, bytes) => writeln!(text, "write {times} {path} {}", bytes.escape_ascii()),
                New::Journal(times, bytes) => writeln!(text, "journal {times} {path} {}", bytes.escape_ascii()),
                New::Link(target) => writeln!(text, "link {path} {}", target.escape_ascii()),
                New::Nothing => writeln!(text, "remove {path}"),
                New::Directory => writeln!(text, "directory {path}"),
                New::Fifo => writeln!(text, "fifo {path}"),
            };
        }
        text
    }

    /// The same with so many times as much in each file.
    #[must_use]
    pub fn times(mut self, factor: usize) -> Self {
        for change in &mut self.changes {
            if let New::File(times, _) | New::Journal(times, _) = &mut change.to {
                *times *= factor;
            }
        }
        self
    }
}

fn change(word: &str, rest: &str) -> Option<Change> {
    let (times, rest) = match word {
        "write" | "journal" => rest.split_once(' ').and_then(|(times, rest)| Some((times.parse().ok()?, rest)))?,
        _ => (1, rest),
    };
    let (path, content) = rest.split_once(' ').unwrap_or((rest, ""));
    let to = match word {
        "write" => New::File(times, unescaped(content)),
        "journal" => New::Journal(times, unescaped(content)),
        "link" => New::Link(unescaped(content)),
        "remove" => New::Nothing,
        "directory" => New::Directory,
        "fifo" => New::Fifo,
        _ => return None,
    };
    Some(Change { path: String::from_utf8(unescaped(path)).ok()?, to })
}

/// Undoes [`escape_ascii`](slice::escape_ascii).
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let (new, length) = match (byte, after.first()) {
            (b'\\', Some(b'n')) => (b'\n', 1),
            (b'\\', Some(b't')) => (b'\t', 1),
            (b'\\', Some(b'r')) => (b'\r', 1),
            (b'\\', Some(b'x')) => {
                let digits = after.get(1..3).and_then(|digits| std::str::from_utf8(digits).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(value) => (value, 3),
                    None => (b'\\', 0),
                }
            }
            (b'\\', Some(&other @ (b'\\' | b'\'' | b'"'))) => (other, 1),
            _ => (byte, 0),
        };
        bytes.push(new);
        rest = &after[length..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_is_written() {
        let change = |path: &str, to| Change { path: path.to_owned(), to };
        let script = Script {
            tree: "busy".to_owned(),
            on: Some("0000:06:00.0".to_owned()),
            commands: vec!["list --json".to_owned(), "status".to_owned()],
            changes: vec![
                change("proc/a b", New::File(3, (0..=255).collect())),
                change("run/j", New::Journal(2, b"{}\n".to_vec())),
                change("sys/link", New::Link(b"../x \\ y".to_vec())),
                change("sys", New::Nothing),
                change("etc", New::Directory),
                change("proc/1", New::Fifo),
            ],
        };
        assert_eq!(Script::parse(script.text().as_bytes()), script);
        assert_eq!(Script::parse(b"write x\nwrite 1\nnonsense\n\xff\0").changes, []);
    }
}
