//! What the integration tests share: machines made of files, and the binary run the same way everywhere.
//!
//! A tree is not a simulated kernel: writing to its `remove` removes nothing. [`Tree::remove`] plays that part where a
//! test wants to see a device gone.

pub mod dump;
pub mod fake;
pub mod golden;
pub mod maketree;
pub mod processes;
pub mod run;
pub mod site;
pub mod snapshot;
pub mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dump::{Dump, Order};
use nix::libc;
use snapshot::Snapshot;
use tempfile::TempDir;

/// Fails if something that was printed is JSON of the program's, but not in the published form.
pub fn check_form(printed: &[u8]) {
    if let Err(error) = schema_check::check(printed) {
        panic!("{error}");
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the dumps lie.
pub fn trees_dir() -> PathBuf {
    repository().join("tests/trees")
}

/// The names of all committed trees, sorted.
pub fn tree_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(trees_dir())
        .expect("tests/trees")
        .filter_map(|entry| Some(entry.expect("an entry").file_name().to_str()?.strip_suffix(".tree")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The dump `tests/trees/NAME.tree`.
pub fn load_dump(name: &str) -> Dump {
    let path = trees_dir().join(format!("{name}.tree"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Dump::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A machine as files, in a directory of its own that goes away with the value.
pub struct Tree {
    path: PathBuf,
    /// Nobody's, if another process made it.
    _directory: Option<TempDir>,
    /// What it was when it was unpacked, if all tests share it.
    unpacked: Option<Arc<Snapshot>>,
}

type Shared = BTreeMap<(String, Order), &'static OnceLock<Tree>>;

static SHARED: Mutex<Shared> = Mutex::new(Shared::new());

/// Statics are never dropped, so the shared trees are taken away when the program ends.
extern "C" fn remove_shared_trees() {
    for tree in SHARED.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(|tree| tree.get()) {
        let _ = fs::remove_dir_all(tree.path());
    }
}

impl Tree {
    /// The tree `tests/trees/NAME.tree`, unpacked once for all tests, which must not change it.
    pub fn shared(name: &str) -> &'static Self {
        Self::shared_in_order(name, Order::FirstFirst)
    }

    /// The same, with its names made in that order.
    pub fn shared_in_order(name: &str, order: Order) -> &'static Self {
        let tree = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.is_empty() {
                // SAFETY: the function is there as long as the program, and does not unwind.
                unsafe { libc::atexit(remove_shared_trees) };
            }
            *shared.entry((name.to_owned(), order)).or_insert_with(|| Box::leak(Box::default()))
        };
        tree.get_or_init(|| {
            let mut tree = Self::unpack(&load_dump(name), order);
            tree.unpacked = Some(Snapshot::of(tree.path()).into());
            tree
        })
    }

    /// A copy of `tests/trees/NAME.tree` of the test's own.
    pub fn load(name: &str) -> Self {
        Self::unpack(&load_dump(name), Order::FirstFirst)
    }

    /// Unpacks a dump written in the test itself.
    pub fn parse(text: &str) -> Self {
        Self::unpack(&Dump::parse(text).unwrap_or_else(|error| panic!("{error}")), Order::FirstFirst)
    }

    /// Unpacks a dump.
    pub fn unpack(dump: &Dump, order: Order) -> Self {
        let directory = scratch_directory();
        let tree = Self { path: directory.path().to_owned(), _directory: Some(directory), unpacked: None };
        dump.unpack(tree.path(), &trees_dir(), order).expect("the dump unpacks");
        tree
    }

    /// The one that another process has unpacked.
    pub fn of_another(path: &Path) -> Self {
        Self { path: path.to_owned(), _directory: None, unpacked: None }
    }

    /// The root: what `--sysroot` takes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The real directory of a function.
    pub fn device(&self, address: &str) -> PathBuf {
        let link = self.path().join("sys/bus/pci/devices").join(address);
        link.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", link.display()))
    }

    /// Every function that is there, and the driver that has it.
    pub fn functions(&self) -> BTreeMap<String, Option<String>> {
        let entries = fs::read_dir(self.path().join("sys/bus/pci/devices")).expect("devices").flatten();
        let driver = |path: PathBuf| Some(fs::read_link(path.join("driver")).ok()?.file_name()?.to_str()?.to_owned());
        entries.map(|entry| (entry.file_name().into_string().expect("text"), driver(entry.path()))).collect()
    }

    /// Writes a file, given relative to the root; links on the way are followed, and a missing file is made.
    pub fn edit(&self, path: &str, content: impl AsRef<[u8]>) {
        let target = self.path().join(path);
        fs::write(&target, content).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    }

    /// Takes a function and all below it away, with every link that led there. Its virtual functions lie beside it, not
    /// below: take them first.
    pub fn remove(&self, address: &str) {
        fs::remove_dir_all(self.device(address)).expect("the function's directory goes");
        for top in ["sys/bus/pci", "sys/class", "sys/dev", "sys/kernel"] {
            remove_dangling(&self.path().join(top));
        }
    }
}

/// A directory that goes away with the value: in memory where there is such a place, as a tree has thousands of files.
pub fn scratch_directory() -> TempDir {
    let builder = || tempfile::Builder::new().prefix("pcictl-").to_owned();
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).expect("a temporary directory")
}

/// Removes the links below `directory` that lead to a device no more.
fn remove_dangling(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_symlink() {
            let target = fs::read_link(&path).expect("a link");
            let leads_to_device = target.components().any(|part| part.as_os_str() == "devices");
            if leads_to_device && !path.exists() {
                fs::remove_file(&path).expect("a dangling link goes");
            }
        } else if path.is_dir() {
            remove_dangling(&path);
        }
    }
}

/// A document without the times that it was made at.
pub fn timeless(mut document: serde_json::Value) -> serde_json::Value {
    if let Some(keys) = document.as_object_mut() {
        keys.remove("began").zip(keys.remove("ended")).expect("every document tells when it was made");
    }
    document
}
