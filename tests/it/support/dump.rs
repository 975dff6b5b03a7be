//! The plain-text form of a sysfs tree, and how it becomes directories again.
//!
//! A dump is one file a machine, made to be read and diffed. It looks like `ls -R`: a line at the left margin names a
//! directory, the lines below it, indented by two spaces, are what that directory holds.
//!
//! ```text
//! # A comment. Empty lines mean nothing either.
//! sys/devices/pci0000:00/0000:00:03.0:
//!   vendor = 0x8086
//!   resource = 0x00000000fe000000 0x00000000fe003fff 0x0000000000140204
//!     + 0x0000000000000000 0x0000000000000000 0x0000000000000000
//!     +11
//!   config : 8680a625 06041000
//!   remove {200} :
//!   driver -> ../../../bus/pci/drivers/nvme
//!   notes < notes.txt
//! ```
//!
//! - `NAME = TEXT` is a file holding that line and a newline. `+ TEXT` adds a line to it; `+N` repeats its last line N
//!   more times.
//! - `NAME : HEX` is a file of exactly those bytes: what is binary, lacks its newline, or is empty. Spaces are for the eye.
//! - `NAME -> TARGET` is a symbolic link, its target as the kernel wrote it; it may dangle.
//! - `NAME < FILE` is a copy of a file that lies beside the dump.
//! - `{MODE}` after a name gives octal permissions; without it a file is 644. `{200}` stands for what is there to be
//!   written and was never read, `{000}` for what could not be read.
//!
//! Directories exist because something lies in them or because they have a line of their own. There are no escapes: what
//! would need one is written as bytes. A name twice, or a path that leaves the tree, is an error. Link targets are not
//! looked at: dumps of broken machines are wanted.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// What stands at one path of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A file with its bytes and permissions.
    File { content: Vec<u8>, mode: u32 },
    /// A symbolic link with its target.
    Link(String),
    /// A copy of a file beside the dump.
    Include(String),
}

/// A parsed dump: every path relative to the tree's root, parents before what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump(pub BTreeMap<PathBuf, Node>);

/// In which order the names of a tree are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    #[default]
    FirstFirst,
    LastFirst,
}

/// Permissions of a file that has none written.
const DEFAULT_MODE: u32 = 0o644;

impl Dump {
    /// Reads the text of a dump; an error starts with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut dump = Self::default();
        let mut directory: Option<PathBuf> = None;
        let mut open_file: Option<PathBuf> = None;
        for (index, line) in text.lines().enumerate() {
            let at = |what: String| format!("line {}: {what}: {line}", index + 1);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(more) = line.strip_prefix("    +") {
                let file = open_file.as_ref().and_then(|path| dump.0.get_mut(path));
                let Some(Node::File { content, .. }) = file else {
                    return Err(at("continues nothing".into()));
                };
                continue_text(content, more).map_err(at)?;
            } else if let Some(entry) = line.strip_prefix("  ") {
                let Some(directory) = &directory else {
                    return Err(at("an entry before any directory".into()));
                };
                let (name, node, is_text) = parse_entry(entry).map_err(at)?;
                let path = join(directory, &name).map_err(at)?;
                open_file = is_text.then(|| path.clone());
                if dump.0.insert(path, node).is_some() {
                    return Err(at("a second time".into()));
                }
            } else if let Some(name) = line.strip_suffix(':') {
                let path = join(Path::new(""), name).map_err(at)?;
                open_file = None;
                for parent in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
                    match dump.0.get(parent) {
                        None => dump.0.insert(parent.into(), Node::Directory),
                        Some(Node::Directory) => break,
                        Some(_) => return Err(at(format!("{} is no directory", parent.display()))),
                    };
                }
                directory = Some(path);
            } else {
                return Err(at("neither a directory nor an entry".into()));
            }
        }
        Ok(dump)
    }

    /// Makes the tree below `root`, which exists. `beside` is where included files lie.
    ///
    /// File systems list a directory in an order of their own, often that of creation or its reverse: what must not
    /// depend on it is tried on trees made both ways.
    pub fn unpack(&self, root: &Path, beside: &Path, order: Order) -> io::Result<()> {
        let mut nodes: Vec<_> = self.0.iter().collect();
        if order == Order::LastFirst {
            nodes.reverse();
        }
        for (path, node) in nodes {
            let target = root.join(path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            match node {
                Node::Directory => fs::create_dir_all(&target)?,
                Node::File { content, mode } => {
                    fs::write(&target, content)?;
                    if *mode != DEFAULT_MODE {
                        fs::set_permissions(&target, Permissions::from_mode(*mode))?;
                    }
                }
                Node::Link(to) => symlink(to, &target)?,
                Node::Include(file) => {
                    fs::copy(beside.join(file), &target)?;
                }
            }
        }
        Ok(())
    }
}

/// One indented line, and whether `+` lines may follow it.
fn parse_entry(entry: &str) -> Result<(String, Node, bool), String> {
    let signs = [" = ", " : ", " -> ", " < "];
    // `NAME =` and `NAME :` may end there: an empty line, an empty file.
    let padded = format!("{entry} ");
    let (start, sign) = signs
        .iter()
        .filter_map(|sign| padded.find(sign).map(|start| (start, sign.trim())))
        .min()
        .ok_or("no '=', ':', '->' or '<' after the name")?;
    let value = entry.get(start + sign.len() + 2..).unwrap_or_default();
    let (name, mode) = parse_name(&entry[..start])?;
    let node = match (sign, mode) {
        ("=", mode) => Node::File { content: format!("{value}\n").into_bytes(), mode: mode.unwrap_or(DEFAULT_MODE) },
        (":", mode) => Node::File { content: parse_hex(value)?, mode: mode.unwrap_or(DEFAULT_MODE) },
        (_, Some(_)) => return Err("permissions are for files".into()),
        ("->", None) => Node::Link(value.into()),
        (_, None) => Node::Include(value.into()),
    };
    Ok((name.into(), node, sign == "="))
}

/// A name with or without its `{MODE}`.
fn parse_name(text: &str) -> Result<(&str, Option<u32>), String> {
    let Some((name, mode)) = text.strip_suffix('}').and_then(|text| text.split_once(" {")) else {
        return Ok((text, None));
    };
    match u32::from_str_radix(mode, 8) {
        Ok(mode) if mode <= 0o777 => Ok((name, Some(mode))),
        _ => Err(format!("{mode} is no file mode")),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16).ok_or(format!("'{c}' is no hexadecimal digit")))
        .collect::<Result<_, _>>()?;
    if digits.len() % 2 != 0 {
        return Err("half a byte".into());
    }
    Ok(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// What follows the `+`: nothing or ` TEXT` is a line, a number repeats the last one.
fn continue_text(content: &mut Vec<u8>, more: &str) -> Result<(), String> {
    if more.is_empty() || more.starts_with(' ') {
        content.extend_from_slice(more.get(1..).unwrap_or_default().as_bytes());
        content.push(b'\n');
        return Ok(());
    }
    let times: usize = more.parse().map_err(|_| format!("'{more}' is no number"))?;
    let start = content[..content.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let last = content[start..].to_vec();
    content.extend(last.repeat(times));
    Ok(())
}

fn join(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_inside {
        return Err(format!("'{name}' leaves the tree"));
    }
    Ok(directory.join(name))
}
