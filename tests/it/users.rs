//! What cannot be looked into is said and refuses; a broken list of protected devices refuses whatever is forced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::Mode;
use serde_json::Value;
use support::{Tree, pcictl, scratch_directory};

/// Standard output, standard error and status of `remove -n` on a tree.
fn dry_run(tree: &Tree, arguments: &[&str]) -> (String, String, i32) {
    let run_dir = scratch_directory();
    let root = tree.path().to_str().unwrap();
    let arguments = ["remove", "-n", "--sysroot", root].into_iter().chain(arguments.iter().copied());
    let output = pcictl(arguments, run_dir.path()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(root, "@");
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn users(tree: &Tree, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    let (stdout, stderr, _) = dry_run(tree, &arguments);
    assert_eq!(stderr, "");
    serde_json::from_str::<Value>(&stdout).unwrap()
}

const IDLE: &str = "0000:06:00.0";

#[test]
fn a_process_that_may_not_be_looked_into_refuses() {
    let tree = Tree::load("busy");
    fs::set_permissions(tree.path().join("proc/812/fd"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(tree.path().join("proc/812/fd")).is_err() || nix::unistd::geteuid().is_root() {
        let plan = users(&tree, &[IDLE]);
        assert_eq!(plan["needs_force"], serde_json::json!(["unchecked"]));
        let why = plan["users"]["unchecked"][0].as_str().unwrap();
        assert!(why.starts_with("pid 812 may not be looked into"), "{why}");
        assert_eq!(dry_run(&tree, &[IDLE]).2, 4);
        assert_eq!(dry_run(&tree, &["--force", "unchecked", IDLE]).2, 0);
    }
    fs::set_permissions(tree.path().join("proc/812/fd"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_process_that_hangs_is_named_and_holds_nobody_up() {
    let tree = Tree::load("busy");
    // A FIFO without a writer keeps its reader like the lock of a process that hangs in the kernel.
    for pid in ["1", "812", "930"] {
        let maps = tree.path().join("proc").join(pid).join("maps");
        fs::remove_file(&maps).unwrap();
        nix::unistd::mkfifo(&maps, Mode::S_IRWXU).unwrap();
    }
    let plan = users(&tree, &[IDLE, "0000:0c:00.0"]);
    let unchecked: Vec<&str> =
        plan["users"]["unchecked"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(unchecked.len(), 3, "{unchecked:?}");
    for (line, pid) in unchecked.iter().zip(["pid 1 ", "pid 812 ", "pid 930 "]) {
        assert!(line.starts_with(pid) && line.contains("hangs in the kernel"), "{line}");
    }
    let found = plan["users"]["found"].as_array().unwrap();
    assert_eq!(found[0]["pid"], 910, "the others are still looked into: {found:?}");
}

#[test]
fn a_broken_list_of_protected_devices_refuses_whatever_is_forced() {
    let list = "etc/pcictl/protected.d/site.conf";
    for (text, why) in [
        (&b"0000:06:00.0\n"[..], "site.conf:1: a selector must be followed by the reason"),
        (b"# ok\n0000:06:00.9 what\n", "site.conf:2: "),
        (b"slot: what\n", "site.conf:1: "),
        (b"\xff\xfe\n", "site.conf: "),
    ] {
        let tree = Tree::load("busy");
        tree.edit(list, text);
        let (stdout, stderr, status) = dry_run(&tree, &["--force", "protected,unchecked", IDLE]);
        assert_eq!((stdout.as_str(), status), ("", 4), "{stderr}");
        assert!(stderr.starts_with(&format!("pcictl: @/etc/pcictl/protected.d/{why}")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_list_that_is_no_file_refuses_at_once() {
    let tree = Tree::load("busy");
    let fifo = tree.path().join("etc/pcictl/protected.d/site.conf");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let (stdout, stderr, status) = dry_run(&tree, &[IDLE]);
    assert_eq!((stdout.as_str(), status), ("", 4), "{stderr}");
    assert!(stderr.contains("site.conf: it is no file"), "{stderr}");
}

#[test]
fn a_list_names_groups_and_host_bridges_too() {
    for (line, kinds) in [
        ("class:NVME all disks", true),
        ("pci0000:00 everything", true),
        ("0000:06: a bus", true),
        ("0000:ff:00.0 was here once", false),
        ("eth9 an interface that is not there", false),
    ] {
        let tree = Tree::load("busy");
        tree.edit("etc/pcictl/protected.d/site.conf", format!("{line}\n"));
        let status = dry_run(&tree, &[IDLE]).2;
        assert_eq!(status, if kinds { 4 } else { 0 }, "{line}");
    }
}

#[test]
fn what_zfs_holds_is_known_from_its_cache_or_refuses() {
    let tree = Tree::load("busy");
    let pool = tree.path().join("proc/spl/kstat/zfs/tank");
    fs::create_dir_all(&pool).unwrap();
    fs::write(pool.join("state"), "ONLINE\n").unwrap();
    assert_eq!(users(&tree, &[IDLE])["needs_force"], serde_json::json!(["unchecked"]));
    fs::create_dir_all(tree.path().join("etc/zfs")).unwrap();
    tree.edit("etc/zfs/zpool.cache", b"\0\0tank\0path\0\0\x0e/dev/nvme1n1p1\0\0");
    assert_eq!(users(&tree, &[IDLE])["needs_force"], serde_json::json!(["holders"]));
    tree.edit("etc/zfs/zpool.cache", b"\0\0tank\0path\0\0\x0e/dev/nvme7n1p1\0\0");
    assert_eq!(users(&tree, &[IDLE]).get("needs_force"), None);
}

#[test]
fn forcing_a_danger_that_is_not_there_changes_nothing() {
    let tree = Tree::load("busy");
    assert_eq!(dry_run(&tree, &[IDLE]), dry_run(&tree, &["--force", "mounted,open", "--yes", IDLE]));
}
