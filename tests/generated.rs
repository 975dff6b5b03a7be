//! The man pages and completions in the repository are what the binary generates now.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a plain name");
        (name, fs::read_to_string(entry.path()).expect("text"))
    };
    entries.map(|entry| read(entry.expect("an entry"))).collect()
}

#[test]
fn man_pages_and_completions_are_not_stale() {
    let scratch = tempfile::tempdir().unwrap();
    let output = support::pcictl(["generate", scratch.path().to_str().unwrap()], scratch.path()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    for directory in ["man", "completions"] {
        let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory));
        let generated = files(&scratch.path().join(directory));
        let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&generated), "run: pcictl generate .");
        for (name, text) in &generated {
            assert!(committed[name] == *text, "{directory}/{name} is stale; run: pcictl generate .");
        }
    }
}
