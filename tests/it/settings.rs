//! /etc/pcictl and the layers below it: what a site sets for all commands, and what it protects.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::run::Run;
use crate::support::{Tree, scratch_directory};

/// A downstream port of the tree `guest-switch8`.
const PORT: &str = "0000:02:00.0";

/// A tree with these files in it.
fn with(tree: &str, files: &[(&str, &str)]) -> Tree {
    let tree = Tree::load(tree);
    for (path, text) in files {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    tree
}

#[test]
fn a_site_sets_how_long_to_wait_and_the_command_line_wins() {
    let tree = with("guest-switch8", &[("usr/lib/pcictl/pcictl.conf", "wait = 0\n")]);
    let run_dir = scratch_directory();
    let lock = |options: &[&str], script: &str| {
        Run::new(["lock"]).and(options).and([PORT, "--", "sh", "-c", script]).on(&tree).run_dir(run_dir.path())
    };
    let holder = lock(&[], "echo held; read line; exit 0").stdout("held\n").spawn().says("held");
    // Without a setting it would wait for 30 s, and say so.
    let locked =
        "pcictl: cannot lock 0000:02:00.0: it is locked by pid [..] sh -c echo held; read line; exit 0\nhint: [..]\n";
    lock(&[], "echo never").stderr_like(locked).status(75).check();
    let waited =
        format!("pcictl: {PORT}: waiting for up to 0.0[..]\npcictl: cannot lock [..] (waited [..] s)\nhint: [..]\n");
    lock(&["--wait", "50ms"], "echo never").stderr_like(&*waited).status(75).check();

    // The site's own file replaces the package's, and an empty one masks it.
    fs::create_dir_all(tree.path().join("etc/pcictl")).unwrap();
    tree.edit("etc/pcictl/pcictl.conf", "# ours\nwait = 50ms\n");
    lock(&[], "echo never").stderr_like(&*waited).status(75).check();
    lock(&["--no-wait"], "echo never").stderr_like(locked).status(75).check();
    tree.edit("etc/pcictl/pcictl.conf", "");
    let waiter = lock(&[], "echo in")
        .stdout("in\n")
        .stderr_like("pcictl: [..]: waiting for up to [..]\n[..]: got the lock[..]\n");
    let waiter = waiter.spawn().waits();
    holder.end();
    waiter.end();
}

#[test]
fn a_setting_that_is_none_refuses_with_file_and_line() {
    for (text, why) in [
        ("\nwiat = 5\n", "2: \"wiat\" is not a setting; the settings are wait, timeout, settle, jobs"),
        ("wait 5\n", "1: \"wait 5\" is not NAME = VALUE"),
        ("timeout = soon\n", "1: timeout: \"soon\" is not valid: use seconds (5, 0.5) or a unit (500ms, 5s, 2m, 1h)"),
        ("jobs = 2000\n", "1: jobs: \"2000\" is not valid: use a number from 1 to 1024"),
    ] {
        let tree = with("guest-switch8", &[("etc/pcictl/pcictl.conf", text)]);
        // What the command line says does not mend the file.
        Run::new(["remove", "-n", "--wait", "1", PORT])
            .on(&tree)
            .stderr_like(format!("pcictl: @/etc/pcictl/pcictl.conf:{why}\nhint: correct the file[..]\n"))
            .status(2)
            .check();
        // Who only looks does not need it.
        assert!(Run::words("list --no-header").on(&tree).text().contains(PORT));
        let told = Run::words("doctor").on(&tree).status(1).text();
        assert!(told.contains(&format!("warning: @/etc/pcictl/pcictl.conf:{why}\n")), "{told}");
    }
}

#[test]
fn what_a_site_protects_is_listed_with_what_matches_nothing() {
    let tree = with(
        "guest-switch8",
        &[
            ("usr/lib/pcictl/protected.d/10-vendor.conf", "0000:02:00.0 the vendor's\n"),
            ("usr/lib/pcictl/protected.d/20-vendor.conf", "0000:03:00.0 the vendor's, replaced\n"),
            ("run/pcictl/protected.d/15-boot.conf", "0000:04:00.0 until the next boot\n"),
            ("etc/pcictl/protected.d/20-vendor.conf", "# ours\n0000:77:00.0 a typo\n"),
        ],
    );
    Run::words("show --protected")
        .on(&tree)
        .stdout(
            "\
0000:02:00.0  the vendor's
  protects    0000:02:00.0
  written in  @/usr/lib/pcictl/protected.d/10-vendor.conf:1
0000:04:00.0  until the next boot
  protects    0000:04:00.0
  written in  @/run/pcictl/protected.d/15-boot.conf:1
0000:77:00.0  a typo
  protects    nothing: no device matches it
  written in  @/etc/pcictl/protected.d/20-vendor.conf:2
",
        )
        .check();
    let document = Run::words("show --protected --json").on(&tree).json();
    assert_eq!(document["protected"][1]["functions"], json!(["0000:04:00.0"]));
    assert_eq!(document["protected"][2]["functions"], json!([]));
    // Each layer protects.
    for (address, is_protected) in [("0000:02:00.0", true), ("0000:03:00.0", false), ("0000:04:00.0", true)] {
        let plan = Run::new(["remove", "-n", "--json", address]).on(&tree);
        let plan = if is_protected { plan.status(4) } else { plan }.json();
        assert_eq!(plan["needs_force"] == json!(["protected"]), is_protected, "{plan}");
    }
    symlink("/dev/null", tree.path().join("etc/pcictl/protected.d/10-vendor.conf")).unwrap();
    fs::write(tree.path().join("etc/pcictl/protected.d/15-boot.conf"), "").unwrap();
    fs::remove_file(tree.path().join("etc/pcictl/protected.d/20-vendor.conf")).unwrap();
    fs::remove_file(tree.path().join("usr/lib/pcictl/protected.d/20-vendor.conf")).unwrap();
    Run::words("show --protected").on(&tree).stdout("the site protects nothing\n").check();
}

#[test]
fn a_copy_of_a_machine_has_its_layers() {
    let tree = with(
        "guest-switch8",
        &[
            ("usr/lib/pcictl/protected.d/10-vendor.conf", "0000:02:00.0 the vendor's\n"),
            ("usr/lib/pcictl/protected.d/20-vendor.conf", "0000:04:00.0 masked\n"),
            ("etc/pcictl/pcictl.conf", "wait = 5m\n"),
        ],
    );
    fs::create_dir_all(tree.path().join("etc/pcictl/protected.d")).unwrap();
    symlink("/dev/null", tree.path().join("etc/pcictl/protected.d/20-vendor.conf")).unwrap();
    let copies = scratch_directory();
    let copy = copies.path().join("copy");
    let _ = Run::new(["dump", copy.to_str().unwrap()]).on(&tree).output();
    let listed =
        |root: &str| Run::new(["show", "--protected", "--json", "--sysroot", root]).json()["protected"].clone();
    let selectors = |root: &str| -> Vec<String> {
        listed(root).as_array().unwrap().iter().map(|entry| entry["selector"].to_string()).collect()
    };
    assert_eq!(selectors(copy.to_str().unwrap()), ["\"0000:02:00.0\""]);
    assert_eq!(fs::read_to_string(copy.join("etc/pcictl/pcictl.conf")).unwrap(), "wait = 5m\n");
}
