//! Walks directories from the top down, in order, without ever following a link.
//!
//! What stands in a directory comes before what stands below it: first its files and links, then its directories, each by
//! name. Whoever walks says of each directory whether to go into it; one that is not gone into is never opened.

use std::fs::FileType;
use std::io;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::error::Result;

/// Deeper than any tree of devices. A directory at this depth is not gone into.
const DEEPEST: usize = 48;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A directory.
    Directory,
    /// A link, wherever it leads.
    Link,
    /// A plain file.
    File,
    /// A socket, a FIFO or a device node.
    Other,
}

impl EntryKind {
    fn of(kind: FileType) -> Self {
        match () {
            () if kind.is_dir() => Self::Directory,
            () if kind.is_symlink() => Self::Link,
            () if kind.is_file() => Self::File,
            () => Self::Other,
        }
    }
}

/// Calls `visit` with the path below `root` of everything in it, and what it is; it answers whether to go into a directory.
/// Names that are no text are given to `odd`, and so is what cannot be read. A `root` that is not there holds nothing.
///
/// # Errors
/// The first one that `visit` returns.
pub(crate) fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&str, EntryKind) -> Result<bool>,
    odd: &mut dyn FnMut(&Path, &io::Error),
) -> Result<()> {
    let order = |a: &DirEntry, b: &DirEntry| {
        (a.file_type().is_dir(), a.file_name()).cmp(&(b.file_type().is_dir(), b.file_name()))
    };
    let mut walk = WalkDir::new(root).min_depth(1).max_depth(DEEPEST).follow_links(false).sort_by(order).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let error = error.into_io_error().unwrap_or_else(|| io::Error::other("a link that goes round"));
                // A device may go while its directory is read.
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    odd(&path, &error);
                }
                continue;
            }
        };
        let kind = EntryKind::of(entry.file_type());
        let goes_in = match entry.path().strip_prefix(root).ok().and_then(Path::to_str) {
            Some(path) => visit(path, kind)?,
            None => {
                odd(entry.path(), &io::Error::other("its name is no text"));
                false
            }
        };
        if kind == EntryKind::Directory && !goes_in {
            walk.skip_current_dir();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_come_first_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["a/below", "closed/below"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("a/z"), "").unwrap();
        fs::write(root.path().join("b"), "").unwrap();
        symlink("/etc", root.path().join("c")).unwrap();
        let mut seen = Vec::new();
        let mut visit = |path: &str, _| {
            seen.push(path.to_owned());
            Ok(path != "closed")
        };
        walk(root.path(), &mut visit, &mut |path, error| unreachable!("{}: {error}", path.display())).unwrap();
        assert_eq!(seen, ["b", "c", "a", "a/z", "a/below", "closed"]);
        walk(&root.path().join("none"), &mut |path, _| unreachable!("{path}"), &mut |_, _| {}).unwrap();
    }
}
