//! What a disk may hold when the power goes: the model of a journaling file system that promises no more than fsync(2) does.
//!
//! - A change of names (a file made, renamed or removed) is on disk once its directory was synced after it; before that it may
//!   be there or not, whatever became of the changes before and after it. A rename is one change, also from one directory to
//!   another.
//! - What was written to a file is on disk once the file was synced after it. Before that there may be any part of it from its
//!   start on, or zeros in its place, or zeros after a part.
//! - A file that was synced and whose name is not on disk is lost.
//!
//! "All File Systems Are Not Created Equal" (Pillai and others, OSDI 2014) measured that file systems in use do all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::trace::{Op, is_hidden};

/// Files with their content; directories have none.
pub type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// A small generator of numbers, which a seed starts.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Directory,
    File(usize),
}

/// Changes of names that are on disk together or not at all.
struct NameChange {
    changes: Vec<(PathBuf, Option<Node>)>,
    is_durable: bool,
}

enum Write {
    Append(Vec<u8>),
    Cut(usize),
}

struct File {
    base: Rc<Vec<u8>>,
    writes: Vec<Write>,
    /// How many of the writes are on disk.
    durable: usize,
}

/// How much of what was written to a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// So many writes, each of them whole.
    Whole(usize),
    /// Between the writes that are on disk and all of them.
    Torn { durable: usize, all: usize, how: Tear },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tear {
    /// All but the last byte.
    Short,
    /// The first half.
    Half,
    /// Zeros.
    Zeros,
    /// The first half, and zeros for the other one.
    HalfZeros,
}

/// What the disk may hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct State(BTreeMap<PathBuf, (Node, Option<Version>)>);

/// A disk on which changes are made.
pub struct Disk {
    base: BTreeMap<PathBuf, Node>,
    names: Vec<NameChange>,
    files: Vec<File>,
    /// What whoever looks now sees.
    view: BTreeMap<PathBuf, Node>,
}

impl Disk {
    /// A disk with this on it.
    pub fn new(content: &Files) -> Self {
        let mut disk = Self { base: BTreeMap::new(), names: Vec::new(), files: Vec::new(), view: BTreeMap::new() };
        for (path, content) in content {
            let node = match content {
                None => Node::Directory,
                Some(content) => disk.new_file(content.clone()),
            };
            disk.base.insert(path.clone(), node);
        }
        disk.view.clone_from(&disk.base);
        disk
    }

    fn new_file(&mut self, content: Vec<u8>) -> Node {
        self.files.push(File { base: Rc::new(content), writes: Vec::new(), durable: 0 });
        Node::File(self.files.len() - 1)
    }

    /// Makes a change.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeDirectory(path) => self.rename(vec![(path.clone(), Some(Node::Directory))]),
            Op::Open(path) if self.view.contains_key(path) => {}
            Op::Open(path) => {
                let node = self.new_file(Vec::new());
                self.rename(vec![(path.clone(), Some(node))]);
            }
            Op::Append(path, bytes) => self.file(path).writes.push(Write::Append(bytes.clone())),
            Op::Cut(path, length) => self.file(path).writes.push(Write::Cut(*length)),
            Op::Rename(from, to) => {
                let node = *self.view.get(from).unwrap_or_else(|| panic!("{from:?} is not there"));
                assert!(matches!(node, Node::File(_)), "{from:?} is no file");
                self.rename(vec![(from.clone(), None), (to.clone(), Some(node))]);
            }
            Op::Remove(path) | Op::RemoveDirectory(path) => self.rename(vec![(path.clone(), None)]),
            Op::Link(path, _) => panic!("{path:?} is a link, and nobody should need one"),
            Op::Sync(path) => self.sync(path),
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let Some(Node::File(file)) = self.view.get(path).copied() else { panic!("{path:?} is no file") };
        &mut self.files[file]
    }

    fn rename(&mut self, changes: Vec<(PathBuf, Option<Node>)>) {
        set_names(&mut self.view, &changes);
        self.names.push(NameChange { changes, is_durable: false });
    }

    fn sync(&mut self, path: &Path) {
        match self.view.get(path) {
            Some(Node::File(file)) => {
                let file = &mut self.files[*file];
                file.durable = file.writes.len();
            }
            // The top of all that is watched is in no list.
            _ => {
                let is_in = |changed: &Path| changed.parent() == Some(path);
                let names = self.names.iter_mut();
                names
                    .filter(|name| name.changes.iter().any(|(changed, _)| is_in(changed)))
                    .for_each(|name| name.is_durable = true);
            }
        }
    }

    /// What is seen now.
    pub fn seen(&self) -> Files {
        let content = |node: &Node| match node {
            Node::Directory => None,
            Node::File(file) => Some(self.bytes(*file, Version::Whole(self.files[*file].writes.len()))),
        };
        self.view.iter().map(|(path, node)| (path.clone(), content(node))).collect()
    }

    /// States that the disk may be in, of the files that `is_of_interest` chooses: all of them if they are few, else
    /// `limit` of them by chance, the first and the last among them.
    pub fn states(&self, is_of_interest: &dyn Fn(&Path) -> bool, limit: usize, chance: &mut Chance) -> BTreeSet<State> {
        let is_open =
            |name: &&NameChange| !name.is_durable && name.changes.iter().any(|(path, _)| is_of_interest(path));
        let open = self.names.iter().filter(is_open).count();
        let subsets = 1_usize.checked_shl(open.min(40) as u32).unwrap_or(usize::MAX);
        let mut states = BTreeSet::new();
        if subsets <= limit {
            for subset in 0..subsets {
                self.add_versions(&self.names_on_disk(subset, is_of_interest), limit, chance, &mut states);
            }
        } else {
            for number in 0..limit {
                let subset = match number {
                    0 => 0,
                    1 => subsets - 1,
                    _ => chance.below(subsets),
                };
                self.add_versions(&self.names_on_disk(subset, is_of_interest), 8, chance, &mut states);
            }
        }
        states
    }

    /// The names that are on disk, of those changes that are on disk for sure and of those whose bit is set.
    fn names_on_disk(&self, subset: usize, is_of_interest: &dyn Fn(&Path) -> bool) -> BTreeMap<PathBuf, Node> {
        let mut names = self.base.clone();
        let mut bit = 0;
        for NameChange { changes, is_durable } in &self.names {
            if !changes.iter().any(|(path, _)| is_of_interest(path)) {
                continue;
            }
            let is_there = *is_durable || {
                bit += 1;
                subset >> (bit - 1) & 1 == 1
            };
            if is_there {
                set_names(&mut names, changes);
            }
        }
        let is_reached = |path: &Path| {
            let above = path.ancestors().skip(1).filter(|above| above.components().count() > 0);
            above.into_iter().all(|above| names.get(above) == Some(&Node::Directory))
        };
        // Files of interest, with the directories that lead to them.
        let is_kept = |(path, node): &(&PathBuf, &Node)| {
            (**node == Node::Directory || is_of_interest(path)) && !is_hidden(path) && is_reached(path)
        };
        names.iter().filter(is_kept).map(|(path, node)| (path.clone(), *node)).collect()
    }

    /// Every combination of what the files may hold, or so many of them.
    fn add_versions(
        &self,
        names: &BTreeMap<PathBuf, Node>,
        limit: usize,
        chance: &mut Chance,
        states: &mut BTreeSet<State>,
    ) {
        let choices: Vec<Vec<Option<Version>>> = names
            .values()
            .map(|node| match node {
                Node::Directory => vec![None],
                Node::File(file) => self.versions(*file).into_iter().map(Some).collect(),
            })
            .collect();
        let count = choices.iter().fold(1_usize, |count, choice| count.saturating_mul(choice.len()));
        for number in 0..count.min(limit) {
            let mut left = match number {
                0 => 0,
                1 => count - 1,
                _ if count > limit => chance.below(count),
                number => number - 1,
            };
            let mut chosen = BTreeMap::new();
            for ((path, node), choice) in names.iter().zip(&choices) {
                chosen.insert(path.clone(), (*node, choice[left % choice.len()]));
                left /= choice.len();
            }
            states.insert(State(chosen));
        }
    }

    /// What a file may hold, from what is on disk for sure to all that was written.
    fn versions(&self, file: usize) -> Vec<Version> {
        let File { writes, durable, .. } = &self.files[file];
        let (durable, all) = (*durable, writes.len());
        let mut versions: Vec<Version> = (durable..=all).map(Version::Whole).collect();
        if self.bytes(file, Version::Whole(all)).len() > self.bytes(file, Version::Whole(durable)).len() {
            let torn = [Tear::Short, Tear::Half, Tear::Zeros, Tear::HalfZeros];
            let at = versions.len() - 1;
            versions.splice(at..at, torn.map(|how| Version::Torn { durable, all, how }));
        }
        versions
    }

    fn bytes(&self, file: usize, version: Version) -> Vec<u8> {
        let File { base, writes, .. } = &self.files[file];
        let (count, tear) = match version {
            Version::Whole(count) => (count, None),
            Version::Torn { durable, all, how } => (all, Some((durable, how))),
        };
        let mut bytes = base.to_vec();
        let mut kept = bytes.len();
        for (index, write) in writes[..count].iter().enumerate() {
            if tear.is_some_and(|(durable, _)| index == durable) {
                kept = bytes.len();
            }
            match write {
                Write::Append(more) => bytes.extend(more),
                Write::Cut(length) => bytes.resize(*length, 0),
            }
        }
        let half = kept + bytes.len().saturating_sub(kept) / 2;
        match tear.map(|(_, how)| how) {
            None => {}
            Some(Tear::Short) => bytes.truncate(bytes.len() - 1),
            Some(Tear::Half) => bytes.truncate(half),
            Some(Tear::Zeros) => bytes[kept..].fill(0),
            Some(Tear::HalfZeros) => bytes[half..].fill(0),
        }
        bytes
    }

    /// The files of a state.
    pub fn files(&self, state: &State) -> Files {
        let content = |(node, version): &(Node, Option<Version>)| match (node, version) {
            (Node::File(file), Some(version)) => Some(self.bytes(*file, *version)),
            _ => None,
        };
        state.0.iter().map(|(path, node)| (path.clone(), content(node))).collect()
    }
}

fn set_names(names: &mut BTreeMap<PathBuf, Node>, changes: &[(PathBuf, Option<Node>)]) {
    for (path, node) in changes {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

/// Everything below a directory, by paths that start with `name`.
pub fn read(directory: &Path, name: &str) -> Files {
    fn add(directory: &Path, name: &Path, files: &mut Files) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        files.insert(name.into(), None);
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let below = name.join(entry.file_name());
            if entry.file_type().expect("a kind").is_dir() {
                add(&entry.path(), &below, files);
            } else {
                files.insert(below, Some(fs::read(entry.path()).expect("a file")));
            }
        }
    }
    let mut files = Files::new();
    add(directory, Path::new(name), &mut files);
    files
}

/// Makes files in a directory.
pub fn write(files: &Files, directory: &Path) {
    for (path, content) in files {
        match content {
            None => fs::create_dir_all(directory.join(path)).expect("a directory"),
            Some(content) => fs::write(directory.join(path), content).expect("a file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(ops: &[Op]) -> BTreeSet<String> {
        let base = Files::from([("d".into(), None), ("d/old".into(), Some(b"old".to_vec()))]);
        let mut disk = Disk::new(&base);
        ops.iter().for_each(|op| disk.apply(op));
        let text = |content: Option<Vec<u8>>| content.map(|bytes| String::from_utf8(bytes).unwrap());
        let words = |state: &State| {
            let files = disk.files(state).into_iter();
            let words = files
                .filter_map(|(path, content)| Some(format!("{}={:?}", path.file_name()?.to_str()?, text(content)?)));
            words.collect::<Vec<_>>().join(" ")
        };
        disk.states(&|_| true, 1000, &mut Chance(1)).iter().map(words).collect()
    }

    #[test]
    fn what_was_not_synced_may_be_there_in_any_order_and_what_was_is_there() {
        let (new, old) = (PathBuf::from("d/new"), PathBuf::from("d/old"));
        let write = [Op::Open(new.clone()), Op::Append(new.clone(), b"ab".to_vec())];
        let nothing = r#"old="old""#.to_owned();
        let with = |new: &str| format!(r#"new="{new}" old="old""#);
        let of_new = ["", "a", r"\0\0", r"a\0", "ab"].map(with);
        assert_eq!(states(&write), of_new.iter().cloned().chain([nothing.clone()]).collect());
        let synced = [&write[..], &[Op::Sync(new.clone())]].concat();
        assert_eq!(states(&synced), [nothing, with("ab")].into());
        // A name may overtake what it was made from, and replaces the other one as a whole.
        let replaced = [&synced[..], &[Op::Rename(new.clone(), old.clone())]].concat();
        let is_replaced = |state: &String| state == r#"old="ab""#;
        assert_eq!(states(&replaced).iter().filter(|state| is_replaced(state)).count(), 1);
        assert_eq!(states(&replaced).len(), 3);
        let in_place = [&replaced[..], &[Op::Sync("d".into())]].concat();
        assert!(states(&in_place).iter().all(is_replaced));
        assert_eq!(states(&[&in_place[..], &[Op::Remove(old)]].concat()).len(), 2);
    }
}
