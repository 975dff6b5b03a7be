//! The files that there are to begin with: dumped trees, and a corpus for each target.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where dumped trees lie.
pub fn trees() -> PathBuf {
    repository().join("tests/trees")
}

/// The names of the dumped trees, in order, and of the one that this crate adds.
pub fn tree_names() -> Vec<String> {
    let mut names = names(&trees());
    names.retain(|name| name.ends_with(".tree"));
    names.iter().map(|name| name.trim_end_matches(".tree").to_owned()).collect()
}

/// What lies over each tree: files that a running pcictl and a site leave, which few trees have.
pub fn overlay() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("more.tree")
}

/// Where the corpus of a target is.
pub fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The corpus of a target, each entry with its name.
pub fn entries(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = corpus(target);
    let read = |name: String| fs::read(directory.join(&name)).ok().map(|bytes| (name, bytes));
    names(&directory).into_iter().filter_map(read).collect()
}

/// The targets that have a corpus.
pub fn with_corpus() -> Vec<String> {
    names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}
