//! What is in some directories, down to the inode: the proof that a command only looked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Every path below some directories, with what tells whether somebody wrote there: even a file that is made and removed
/// again leaves its directory changed. Reading leaves no trace.
///
/// A list, and no map, because two of them are equal almost every time and thousands of paths take long to sort.
#[derive(Default)]
pub struct Snapshot(Vec<(OsString, Entry)>);

/// Kind and permissions, inode, size, and when content and inode last changed.
type Entry = (u32, u64, u64, [i64; 4]);

impl Snapshot {
    /// Looks at a directory; one that does not exist has nothing in it.
    pub fn of(directory: &Path) -> Self {
        Self::default().and(directory)
    }

    /// Looks at another directory as well.
    pub fn and(mut self, directory: &Path) -> Self {
        self.add(directory);
        self
    }

    fn add(&mut self, path: &Path) {
        let Ok(metadata) = fs::symlink_metadata(path) else { return };
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        if metadata.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.add(&entry.path());
            }
        }
        self.0.push((path.into(), (metadata.mode(), metadata.ino(), metadata.size(), times)));
    }

    /// The paths that are not the same in a later snapshot, each with what happened to it.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        if self.0 == later.0 {
            return Vec::new();
        }
        let [before, after] = [self, later].map(|snapshot| {
            let entries = snapshot.0.iter().map(|(path, entry)| (path.to_string_lossy(), entry));
            entries.collect::<BTreeMap<_, _>>()
        });
        let gone_or_changed = before.iter().filter_map(|(path, entry)| match after.get(path) {
            None => Some(format!("{path} is gone")),
            Some(now) if now != entry => Some(format!("{path} changed")),
            Some(_) => None,
        });
        let new = after.keys().filter(|path| !before.contains_key(*path));
        gone_or_changed.chain(new.map(|path| format!("{path} is new"))).collect()
    }
}
