//! Bad input ends in one line that says what to do, exit 2 or 3, and touches nothing: neither the tree nor the locks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;
use support::{Tree, pcictl};

/// Every path below a directory with its length and its last change.
fn fingerprint(directory: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.unwrap();
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        found.insert(entry.into_path(), (metadata.len(), metadata.modified().unwrap()));
    }
    found
}

/// Runs a command that would change something, for real and not as a dry run, and gives its status and its one line.
fn refused(tree: &Tree, arguments: &[&str]) -> (i32, String) {
    let run = tempfile::tempdir().unwrap();
    let before = (fingerprint(tree.path()), fingerprint(run.path()));
    let root = tree.path().to_str().unwrap();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--sysroot", root]).collect();
    let output = pcictl(&arguments, run.path()).output().unwrap();
    assert_eq!(before, (fingerprint(tree.path()), fingerprint(run.path())), "{arguments:?} touched something");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to stdout: {output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{arguments:?}: not one line: {line:?}");
    (output.status.code().expect("an exit status"), line)
}

#[test]
fn what_is_no_selector_is_a_usage_error() {
    let tree = Tree::load("vmd");
    let malformed = [
        "03",
        ":",
        "0000:03",
        "0000:03:00",
        "0000:03:00.",
        "0000:03:20.0",
        "0000:03:00.8",
        "0000:100:00.0",
        "123456789:03:00.0",
        "0000:03:00.0.0",
        "0000:03:00.0:1",
        "g000:03:00.0",
        "0000:03:00.0 ",
        "",
        " ",
        "*",
        "03:",
        "pci@",
        "pci@03",
        "pci_0000_03_00",
        "pci_0000_03_00_0_0",
        "slot:",
        "driver:",
        "class:",
        "class:1",
        "id:",
        "id:1",
        "id:8086",
        "id:zzzz:0000",
        "a/b",
        "../x",
        "/etc/passwd",
        "name-that-is-much-too-long",
    ];
    for command in ["remove", "rescan", "replug"] {
        for text in malformed {
            let (status, line) = refused(&tree, &[command, "-n", text]);
            assert_eq!(status, 2, "{command} {text:?}: {line}");
        }
    }
}

#[test]
fn what_is_not_there_is_no_such_device() {
    let tree = Tree::load("vmd");
    for text in [
        "0000:99:00.0",
        "9999:00:00.0",
        "eth9",
        "/dev/sdz",
        "/sys/class/net/eth9",
        "slot:none",
        "driver:none",
        "class:gpu",
    ] {
        let (status, line) = refused(&tree, &["remove", "-n", text]);
        assert_eq!(status, 3, "{text:?}: {line}");
    }
    // A rescan may well bring back what is gone, but not in a domain that this machine does not have.
    let (status, line) = refused(&tree, &["rescan", "-n", "9999:00:00.0"]);
    assert_eq!(status, 3, "{line}");
}

#[test]
fn a_host_bridge_cannot_be_removed_and_a_dump_not_be_changed() {
    let tree = Tree::load("vmd");
    for arguments in [
        &["remove", "-n", "pci0000:00"][..],
        &["remove", "0000:00:0e.0"],
        &["rescan", "0000:00:0e.0"],
        &["rescan", "--all"],
    ] {
        let (status, line) = refused(&tree, arguments);
        assert_eq!(status, 2, "{arguments:?}: {line}");
    }
}

#[test]
fn want_of_rights_is_told_and_nothing_goes_on_unlocked() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::load("vmd");
    let run = tempfile::tempdir().unwrap();
    fs::set_permissions(run.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let root = tree.path().to_str().unwrap();
    let output = pcictl(["lock", "0000:00:0e.0", "--sysroot", root, "--", "echo", "ran"], run.path()).output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{line}");
    assert!(
        output.stdout.is_empty() && line.matches('\n').count() == 1 && line.contains("Permission denied"),
        "{line}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_at_all_is_answered_with_a_documented_status(text in "[^\\x00]{0,40}") {
        let run = tempfile::tempdir().unwrap();
        let output = pcictl(["list", "--sysroot", "/nowhere", "--", &text], run.path()).output().unwrap();
        prop_assert!(matches!(output.status.code(), Some(2 | 3)), "{:?}: {:?}", text, output);
    }
}
