//! Two versions of pcictl that lock by different rules never meet: the first one after boot says which rules count.

use std::fs;
use std::os::unix::fs::symlink;

use super::machine::{Machine, PORT};

const OTHER: &str = "the locks in [..]/locks follow protocol 2, and pcictl [..] speaks 1; nothing was changed\n";
const HINT: &str = "hint: use the pcictl that has been used since this machine was booted, or reboot\n";

#[test]
fn the_first_to_lock_says_by_which_protocol() {
    let machine = Machine::new();
    machine.run("locks").stderr("pcictl: no lock is held or waited for\n").check();
    let protocol = machine.run_dir().join("locks/protocol");
    assert!(fs::read_link(&protocol).is_err(), "who only looks makes nothing");
    machine.run(&format!("lock {PORT} -- true")).check();
    assert_eq!(fs::read_link(&protocol).unwrap().to_str(), Some("1"));
    // It counts as well when whoever wrote it has ended.
    machine.run(&format!("lock {PORT} -- true")).check();
}

#[test]
fn nobody_locks_by_another_protocol_than_the_first() {
    let machine = Machine::new();
    fs::create_dir(machine.run_dir().join("locks")).unwrap();
    let protocol = machine.run_dir().join("locks/protocol");
    symlink("2", &protocol).unwrap();
    let refused = |what: &str| format!("pcictl: {what}{OTHER}{HINT}");
    for words in [format!("lock {PORT} -- echo ran"), format!("lock --no-wait {PORT} -- echo ran")] {
        machine.run(&words).stderr_like(refused("")).status(1).check();
    }
    // What is not known is not told as free.
    machine.run("locks").stderr_like(refused("")).status(1).check();
    let document = machine.run("locks --json").status(1).json();
    assert_eq!(document["error"]["protocol"], "2", "{document}");
    assert_eq!(fs::read_link(&protocol).unwrap().to_str(), Some("2"));
    let made: Vec<_> =
        fs::read_dir(machine.run_dir().join("locks")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made, ["protocol"], "no lock file is made");
}
