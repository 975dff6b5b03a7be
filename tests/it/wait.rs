//! `pcictl wait` as a process that waits while a tree of files changes. Nothing is announced there, so what wakes it is
//! the regular look that it takes when it hears nothing; events are for the guest.
//!
//! Nobody waits by the clock here: with -v it says what it waits for before it sleeps, and then it ends by itself; the time
//! limit is for a program that does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::support::Tree;
use crate::support::run::{Run, Running};

const PORT: &str = "0000:02:00.0";
const BELOW: &str = "0000:03:00.0";

fn wait(tree: &Tree, words: &str) -> Run {
    Run::words(&format!("wait -v --timeout 2m {words}")).on(tree)
}

/// Starts it, and returns when it has looked and says what is missing.
fn waiting(run: Run, missing: &str) -> Running {
    let line = format!("pcictl: waiting for {missing}");
    run.stderr(format!("{line}\n")).spawn().tells(&line)
}

/// Takes the link away that says that the function is there; gives what it led to.
fn hide(tree: &Tree, address: &str) -> (PathBuf, PathBuf) {
    let link = tree.path().join("sys/bus/pci/devices").join(address);
    let target = fs::read_link(&link).expect("a link");
    fs::remove_file(&link).expect("it goes");
    (link, target)
}

#[test]
fn a_function_that_comes_is_heard_of() {
    let tree = Tree::load("guest-switch8");
    let (link, target) = hide(&tree, BELOW);
    let run = wait(&tree, &format!("{BELOW} {PORT}")).stdout(format!("{BELOW}: there\n{PORT}: there\n"));
    let waiter = waiting(run, &format!("{BELOW}: not there"));
    symlink(target, link).expect("it comes");
    waiter.end_by_itself();
}

#[test]
fn a_function_that_goes_is_heard_of() {
    let tree = Tree::load("guest-switch8");
    let run = wait(&tree, &format!("--gone {BELOW}")).stdout(format!("{BELOW}: gone\n"));
    let waiter = waiting(run, &format!("{BELOW}: still there"));
    tree.remove(PORT);
    waiter.end_by_itself();
    Run::words(&format!("wait --gone {PORT} {BELOW}"))
        .on(&tree)
        .stdout(format!("{PORT}: gone\n{BELOW}: gone\n"))
        .check();
}

#[test]
fn a_driver_that_binds_is_heard_of_whoever_had_the_function() {
    let tree = Tree::load("guest-switch8");
    let link = tree.device(BELOW).join("driver");
    fs::remove_file(&link).expect("slowpci goes");
    let run = wait(&tree, &format!("--driver vfio-pci {BELOW}"));
    let first = format!("pcictl: waiting for {BELOW}: no driver, not vfio-pci");
    let second = format!("pcictl: waiting for {BELOW}: bound to other, not vfio-pci");
    let waiter = run
        .stdout(format!("{BELOW}: bound to vfio-pci\n"))
        .stderr(format!("{first}\n{second}\n"))
        .spawn()
        .tells(&first);
    symlink("../drivers/other", &link).expect("another");
    let waiter = waiter.tells(&second);
    // In one step, so that it is never seen without any.
    let new = link.with_file_name("new");
    symlink("../drivers/vfio-pci", &new).expect("the one");
    fs::rename(new, link).expect("it takes its place");
    waiter.end_by_itself();
}

#[test]
fn a_name_that_nothing_has_yet_is_waited_for() {
    let tree = Tree::load("names");
    let run = wait(&tree, "--ready mlx4_0").stdout("mlx4_0 (0000:02:00.0): ready (mlx4_core)\n");
    let link = tree.path().join("sys/class/infiniband/mlx4_0");
    let target = fs::read_link(&link).expect("a link");
    fs::remove_file(&link).expect("it goes");
    let waiter = waiting(run, "mlx4_0: no device has that name");
    symlink(target, link).expect("it comes");
    waiter.end_by_itself();
}

#[test]
fn whoever_is_interrupted_says_what_was_missing() {
    let tree = Tree::shared("guest-switch8");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let missing = format!("{BELOW}: still there");
        let told = format!("pcictl: waiting for {missing}");
        let said = format!("{told}\npcictl: interrupted while waiting for {missing}\n");
        let waiter = wait(tree, &format!("--gone {BELOW}")).stderr(said).status(130).spawn().tells(&told);
        waiter.signal(signal);
        waiter.end_by_itself();
    }
}

#[test]
fn a_wait_that_ends_well_is_a_document() {
    let document = Run::words(&format!("wait -j --driver vfio-pci {BELOW}")).tree("guest-switch8").status(124).json();
    assert_eq!(document["error"]["kind"], "timed_out");
    let document = Run::words("wait -j --ready mlx4_0 0000:01:00.0").tree("names").json();
    assert_eq!((&document["schema"], &document["condition"]), (&1.into(), &"ready".into()));
    assert!(document["waited_seconds"].is_number());
    let selectors = &document["selectors"];
    assert_eq!(selectors[0]["selector"], "mlx4_0");
    assert_eq!(selectors[0]["functions"][0]["address"], "0000:02:00.0");
    assert_eq!(selectors[1]["functions"][0]["driver"], "nvme");
    let document = Run::words("wait -j --gone eth99 0000:01:00.7").tree("names").json();
    assert_eq!(document["selectors"][0]["why"], "eth99: no device has that name");
    assert_eq!(document["selectors"][1]["absent"], "0000:01:00.7");
}

#[test]
fn it_takes_no_lock_and_opens_nothing_for_writing() {
    let calls = Run::words("wait --ready 0000:01:00.0").tree("names").traced();
    let opened: Vec<&String> = calls.iter().filter(|call| call.contains("open")).collect();
    assert!(opened.iter().any(|call| call.contains("0000:01:00.0")), "it looked");
    for word in ["flock(", "F_SETLK", "F_OFD_SETLK", "O_WRONLY", "O_RDWR", "O_CREAT", "clone(", "fork("] {
        assert!(!calls.iter().any(|call| call.contains(word)), "{word}: {calls:#?}");
    }
}
