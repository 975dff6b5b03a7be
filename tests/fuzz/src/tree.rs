//! A dumped tree, changed by scripts, and all commands that look at it.
//!
//! A tree is unpacked once; what a script changes is put back after it. Nothing is ever written outside of the tree, through
//! whatever links a script makes: each path is followed before it is used.

#[allow(dead_code)] // the tests of pcictl use more of it
#[path = "../../it/support/dump.rs"]
mod dump;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use clap::Parser;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pcictl::cli::args::Cli;
use pcictl::commands;
use pcictl::commands::settings::settings;
use pcictl::fuzz::with_sums;
use pcictl::terminal::output::Output;
use tempfile::TempDir;

use crate::mutate::mutated;
use crate::random::Random;
use crate::script::{Change, New, Script};
use crate::sources;

/// What looks at a tree; `@` stands for a function, `%` for a directory that is not there yet.
const COMMANDS: &[&str] = &[
    "list",
    "list --json",
    "tree",
    "show @",
    "show --json @",
    "show --protected",
    "remove --dry-run --json @",
    "remove --dry-run @",
    "rescan --dry-run --json @",
    "rescan --dry-run --all",
    "replug --dry-run --json @",
    "unbind --dry-run @",
    "reset --dry-run @",
    "sriov --dry-run @ 0",
    "slot list --json",
    "reset --list @",
    "sriov @",
    "list --long --output address,class,name,ids,driver,in-use,place,slot",
    "locks --json",
    "status",
    "status --json",
    "recover --dry-run",
    "doctor",
    "doctor --json",
    "history",
    "history --json @",
    "show /dev/nvme0n1",
    "show /mnt",
    "dump --anonymize %",
];

/// Trees that are unpacked, by name.
pub struct Forest {
    directory: TempDir,
    trees: BTreeMap<String, Tree>,
    dumps: usize,
}

struct Tree {
    root: PathBuf,
    /// Every path but directories, relative to the root.
    files: Vec<String>,
    /// Those that are not below sys.
    others: Vec<String>,
    functions: Vec<String>,
}

impl Default for Forest {
    fn default() -> Self {
        let builder = || tempfile::Builder::new().prefix("pcictl-fuzz-").to_owned();
        let directory = builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).expect("a directory");
        Self { directory, trees: BTreeMap::new(), dumps: 0 }
    }
}

impl Forest {
    fn tree(&mut self, name: &str) -> Option<&Tree> {
        if !self.trees.contains_key(name) {
            let root = self.directory.path().join("trees").join(name);
            let tree = Tree::unpack(name, root)?;
            self.trees.insert(name.to_owned(), tree);
        }
        self.trees.get(name)
    }

    /// Does what a script says, runs all commands, and undoes it.
    pub fn run(&mut self, script: &Script) {
        if !sources::tree_names().contains(&script.tree) {
            return;
        }
        self.dumps += 1;
        let copy = self.directory.path().join(format!("copy-{}", self.dumps));
        let stash = self.directory.path().join("stash");
        let Some(tree) = self.tree(&script.tree) else { return };
        let _ = fs::create_dir(&stash);
        let mut changed = Changed { root: &tree.root, stash, undo: Vec::new() };
        script.changes.iter().for_each(|change| changed.make(change));
        let function = script.on.as_deref().or_else(|| tree.functions.first().map(String::as_str));
        let is_wanted = |command: &str| script.commands.is_empty() || script.commands.iter().any(|one| one == command);
        for command in COMMANDS.iter().filter(|command| is_wanted(command)) {
            run(&tree.root, command, function.unwrap_or("0000:00:00.0"), &copy);
        }
        drop(changed);
        let _ = fs::remove_dir_all(&copy);
        let _ = fs::remove_file(&copy);
    }

    /// A script by chance: a few changes of files that a tree has.
    pub fn any_script(&mut self, random: &mut Random) -> Script {
        let names = sources::tree_names();
        let name = random.choose(&names).expect("there are trees").clone();
        let Some(tree) = self.tree(&name) else { return Script::default() };
        let on = random.choose(&tree.functions).cloned();
        let commands = (0..5).filter_map(|_| random.choose(COMMANDS)).map(|command| (*command).to_owned()).collect();
        let own = on.as_deref().map(|function| tree.of_function(function)).unwrap_or_default();
        let changes = (0..1 + random.below(4)).filter_map(|_| tree.any_change(&own, random)).collect();
        Script { tree: name, on, commands, changes }
    }
}

impl Tree {
    fn unpack(name: &str, root: PathBuf) -> Option<Self> {
        fs::create_dir_all(&root).ok()?;
        for file in [sources::trees().join(format!("{name}.tree")), sources::overlay()] {
            let mut dump = dump::Dump::parse(&fs::read_to_string(&file).ok()?).expect("a dump");
            // What the tree has itself stays.
            dump.0.retain(|path, _| !root.join(path).exists());
            dump.unpack(&root, &sources::trees(), dump::Order::FirstFirst).expect("it unpacks");
        }
        let root = root.canonicalize().ok()?;
        let mut files = Vec::new();
        list(&root, &root, &mut files);
        files.sort_unstable();
        let mut functions: Vec<String> = fs::read_dir(root.join("sys/bus/pci/devices")).map_or_else(
            |_| Vec::new(),
            |entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        );
        functions.sort_unstable();
        let others = files.iter().filter(|path| !path.starts_with("sys/")).cloned().collect();
        Some(Self { root, files, others, functions })
    }

    /// The files of a function's own directory.
    fn of_function(&self, function: &str) -> Vec<String> {
        let own = format!("/{function}/");
        self.files.iter().filter(|path| path.contains(&own)).cloned().collect()
    }

    /// A change of one of these files, of one outside of /sys, of which there are few, or of any.
    fn any_change(&self, own: &[String], random: &mut Random) -> Option<Change> {
        let mut path = match random.below(3) {
            0 => random.choose(own).or_else(|| random.choose(&self.files))?.clone(),
            1 => random.choose(&self.others)?.clone(),
            _ => random.choose(&self.files)?.clone(),
        };
        if random.once_in(10) {
            let above = path.rsplit_once('/').map(|(above, _)| above.to_owned());
            path = above.unwrap_or(path);
        }
        let to = self.any_content(&path, random);
        Some(Change { path, to })
    }

    fn any_content(&self, path: &str, random: &mut Random) -> New {
        let at = self.root.join(path);
        if let Ok(target) = fs::read_link(&at) {
            let other = random.choose(&self.files).and_then(|other| fs::read_link(self.root.join(other)).ok());
            return match random.below(6) {
                0 => New::Link(other.unwrap_or(target).as_os_str().as_bytes().to_vec()),
                1 => New::Link(b".".to_vec()),
                2 => New::Nothing,
                3 => New::File(1, b"1\n".to_vec()),
                _ => New::Link(mutated(target.as_os_str().as_bytes(), &[], random)),
            };
        }
        let content = fs::read(&at).unwrap_or_default();
        if path.ends_with(".journal") && !random.once_in(8) {
            return New::Journal(1 << random.below(4), mutated(&without_sums(&content), &[], random));
        }
        let other = random.choose(&self.files).and_then(|other| fs::read(self.root.join(other)).ok());
        match random.below(16) {
            0 => New::Nothing,
            1 => New::Directory,
            2 => New::Fifo,
            3 => New::Link(b"/dev/zero".to_vec()),
            4 => New::File(1, other.unwrap_or_default()),
            5 => New::File(1 << random.below(12), content),
            6 => New::File(1 << random.below(8), mutated(&content, &[], random)),
            _ => New::File(1, mutated(&content, &[other.unwrap_or_default()], random)),
        }
    }
}

/// The lines of a journal as they were before they got their sums.
fn without_sums(journal: &[u8]) -> Vec<u8> {
    let bodies = journal.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.get(17..));
    bodies.collect::<Vec<_>>().concat()
}

fn list(root: &Path, directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(root, &path, files);
        } else {
            files.extend(path.strip_prefix(root).ok().and_then(|path| path.to_str()).map(str::to_owned));
        }
    }
}

/// What was changed, until it is dropped.
struct Changed<'a> {
    root: &'a Path,
    stash: PathBuf,
    /// Each path, and where what was there before is; none where there was nothing.
    undo: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Changed<'_> {
    fn make(&mut self, change: &Change) {
        let Some(path) = self.inside(&change.path) else { return };
        let before = path.symlink_metadata().is_ok().then(|| self.stash.join(self.undo.len().to_string()));
        if before.as_ref().is_some_and(|stashed| fs::rename(&path, stashed).is_err()) {
            return;
        }
        self.undo.push((path.clone(), before));
        let _ = match &change.to {
            New::File(times, bytes) => fs::write(&path, repeated(bytes, *times)),
            New::Journal(times, bytes) => {
                fs::write(&path, with_sums(&String::from_utf8_lossy(&repeated(bytes, *times))))
            }
            New::Link(target) => symlink(OsStr::from_bytes(target), &path),
            New::Nothing => Ok(()),
            New::Directory => fs::create_dir(&path),
            New::Fifo => mkfifo(&path, Mode::S_IRWXU).map_err(Into::into),
        };
    }

    /// The path in its real directory, if that is in the tree.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let is_plain = path.components().all(|step| matches!(step, Component::Normal(_)));
        let (parent, name) = (self.root.join(path.parent()?), path.file_name()?);
        let parent = parent.canonicalize().ok().filter(|parent| is_plain && parent.starts_with(self.root))?;
        Some(parent.join(name))
    }
}

/// No file gets larger than this.
const LARGEST: usize = 10 << 20;

fn repeated(bytes: &[u8], times: usize) -> Vec<u8> {
    bytes.repeat(times.min(LARGEST / bytes.len().max(1)))
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        for (path, before) in self.undo.drain(..).rev() {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            if let Some(before) = before {
                fs::rename(before, path).expect("what was there comes back");
            }
        }
    }
}

fn run(root: &Path, command: &str, function: &str, copy: &Path) {
    let words = command.split(' ').map(|word| match word {
        "@" => OsStr::new(function),
        "%" => copy.as_os_str(),
        word => OsStr::new(word),
    });
    let words = [OsStr::new("pcictl"), OsStr::new("--sysroot"), root.as_os_str()].into_iter().chain(words);
    let Ok(cli) = Cli::try_parse_from(words) else { return };
    let output = Output::keeping(cli.talk());
    // As main does: what a site has set is read first.
    if let Err(error) = settings(&cli).and_then(|_| commands::run(&cli, &output)) {
        output.error(&error);
    }
    output.kept();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_changes_is_put_back_and_nothing_outside_is_touched() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "kept").unwrap();
        let mut forest = Forest::default();
        let tree = forest.tree("vmd").unwrap();
        let (root, files) = (tree.root.clone(), tree.files.clone());
        let link = |target: &Path| New::Link(target.as_os_str().as_bytes().to_vec());
        let change = |path: &str, to| Change { path: path.to_owned(), to };
        let changes = vec![
            change("sys/out", link(outside.path())),
            change("sys/out/file", New::File(1, b"lost".to_vec())),
            change("sys/out/new", New::Directory),
            change("../new", New::Directory),
            change("sys/bus", New::Fifo),
            change("proc", New::Nothing),
        ];
        forest.run(&Script { tree: "vmd".to_owned(), on: None, commands: Vec::new(), changes });
        assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "kept");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        let mut now = Vec::new();
        list(&root, &root, &mut now);
        now.sort_unstable();
        assert_eq!(now, files);
    }

    #[test]
    fn every_command_is_one() {
        for command in COMMANDS {
            let words = command.replace('@', "0000:00:00.0").replace('%', "/nowhere");
            assert!(Cli::try_parse_from(["pcictl"].into_iter().chain(words.split(' '))).is_ok(), "{command}");
        }
    }
}
