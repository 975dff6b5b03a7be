//! Bad input ends in a message and perhaps a hint, exit 2 or 3, and touches nothing: neither the tree nor the locks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use crate::support::run::Run;
use crate::support::scratch_directory;

/// A command that would change something, for real or as a dry run, which is refused in one line, with a hint or without.
fn refused(arguments: &[&str]) -> Run {
    Run::new(arguments).tree("vmd").stderr_like("pcictl: [..]\n...\n")
}

#[test]
fn what_is_no_selector_is_a_usage_error() {
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
        "a/b/c",
        "../x",
        "/etc/passwd",
        "net/name/more",
    ];
    for command in ["remove", "rescan", "replug"] {
        for text in malformed {
            refused(&[command, "-n", text]).status(2).check();
        }
    }
}

#[test]
fn what_is_not_there_is_no_such_device() {
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
        refused(&["remove", "-n", text]).status(3).check();
    }
    // A rescan may well bring back what is gone, but not in a domain that this machine does not have.
    refused(&["rescan", "-n", "9999:00:00.0"])
        .stderr_like("pcictl: [..]\nhint: pcictl rescan --all [..]\n")
        .status(3)
        .check();
}

#[test]
fn a_host_bridge_cannot_be_removed_and_a_dump_not_be_changed() {
    for arguments in [
        &["remove", "-n", "pci0000:00"][..],
        &["remove", "0000:00:0e.0"],
        &["rescan", "0000:00:0e.0"],
        &["rescan", "--all"],
    ] {
        refused(arguments).status(2).check();
    }
}

#[test]
fn want_of_rights_is_told_and_nothing_goes_on_unlocked() {
    let run = scratch_directory();
    fs::set_permissions(run.path(), fs::Permissions::from_mode(0o555)).unwrap();
    Run::words("lock 0000:00:0e.0 -- echo ran")
        .tree("vmd")
        .run_dir(run.path())
        .stderr("pcictl: the lock directory @run/locks cannot be made: Permission denied\n")
        .status(77)
        .check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_at_all_is_answered_with_a_documented_status(text in "[^\\x00]{0,40}") {
        let output = Run::new(["list", "--sysroot", "/nowhere", "--", &text]).output();
        prop_assert!(matches!(output.status.code(), Some(2 | 3)), "{:?}: {:?}", text, output);
    }
}
