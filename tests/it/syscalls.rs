//! What a command costs in system calls: the same on a host of any size, and few. Counted by strace, never timed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::maketree::{self, SWITCH};
use support::scratch_directory;
use tempfile::TempDir;

/// What a start of the program costs, with the dynamic loader's share.
const START: usize = 150;

fn made(functions: usize) -> TempDir {
    let directory = scratch_directory();
    maketree::make(directory.path(), functions).expect("a tree");
    directory
}

/// Every system call of one run, a line each.
fn traced(tree: &Path, command: &str) -> Vec<String> {
    let scratch = scratch_directory();
    let log = scratch.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-s", "256", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_pcictl"))
        .args(command.split(' '))
        .arg("--sysroot")
        .arg(tree)
        // Cargo sets the paths that the dynamic loader would search for libraries.
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PCICTL_RUN_DIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("strace runs: apt-get install strace");
    assert!(status.success(), "{command}: {status}");
    let trace = fs::read_to_string(&log).expect("a trace");
    // Lines of signals, ends and second halves are no calls; F_GETFD is what std's own debug builds ask at each close.
    let is_call = |line: &&str| !["+++ ", "--- ", "<... ", "F_GETFD"].iter().any(|word| line.contains(word));
    trace.lines().filter(is_call).map(str::to_owned).collect()
}

fn count(tree: &Path, command: &str) -> usize {
    traced(tree, command).len()
}

/// The real directory of a function.
fn device(tree: &Path, address: &str) -> PathBuf {
    tree.join("sys/bus/pci/devices").join(address).canonicalize().expect("a function")
}

fn addresses(tree: &Path) -> Vec<String> {
    let entries = fs::read_dir(tree.join("sys/bus/pci/devices")).expect("devices");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// A function's own VFs, all functions below it, itself and its ancestors.
fn touched(tree: &Path, address: &str) -> usize {
    let top = device(tree, address);
    let near = addresses(tree).into_iter().filter(|other| {
        let directory = device(tree, other);
        let physical = directory.join("physfn").canonicalize().ok();
        top.starts_with(&directory) || directory.starts_with(&top) || physical.is_some_and(|of| of.starts_with(&top))
    });
    near.count()
}

#[test]
fn touching_one_function_costs_the_same_on_any_host() {
    let (small, large) = (made(64), made(4000));
    let commands = ["remove -n", "rescan -n", "replug -n", "show", "tree", "list", "list -o address,class,name,driver"];
    for command in commands {
        let command = format!("{command} {SWITCH}");
        let counts = [&small, &large].map(|tree| count(tree.path(), &command));
        assert!(counts[1] <= counts[0] + counts[0] / 10, "{command}: {counts:?} calls on 64 and 4,000 functions");
        let trace = traced(large.path(), &command);
        let lists_all = |line: &&String| line.contains("getdents") && line.contains("4000");
        assert_eq!(trace.iter().find(lists_all), None, "{command} lists every function");
    }
}

#[test]
fn a_plan_takes_four_calls_a_function() {
    let tree = made(1300);
    let all = addresses(tree.path());
    let has =
        |name: &str| all.iter().find(|address| device(tree.path(), address).join(name).exists()).expect("one").as_str();
    let physical = has("virtfn254");
    let port = device(tree.path(), physical).parent().and_then(Path::file_name).expect("a port").to_owned();
    let vmd = has("pci10000:00");
    let gpu = all.iter().find(|address| device(tree.path(), address).join("driver").ends_with("nvidia"));
    let mut targets = vec![SWITCH, physical, port.to_str().expect("text"), vmd];
    targets.extend(gpu.map(String::as_str));
    for address in targets {
        let most = touched(tree.path(), address) * 4 + START;
        for command in ["remove -n", "rescan -n", "replug -n", "show"] {
            let calls = count(tree.path(), &format!("{command} {address}"));
            assert!(calls <= most, "{command} {address}: {calls} calls, and {most} would do");
        }
    }
}

#[test]
fn a_listing_takes_five_calls_a_function() {
    let tree = made(1300);
    for (command, each) in [
        ("list -o address,class,name,driver", 5),
        ("list --json -o address,class,name,driver", 5),
        ("list -o address", 1),
        ("tree", 5),
        ("tree --json", 5),
    ] {
        let (calls, most) = (count(tree.path(), command), 1300 * each + START);
        assert!(calls <= most, "{command}: {calls} calls, and {most} would do");
    }
}

#[test]
fn names_are_looked_up_only_where_they_are_shown() {
    let tree = made(64);
    let opens = |command: &str| traced(tree.path(), command).iter().any(|line| line.contains("pci.ids"));
    assert!(opens("list -o name"));
    for command in ["list -o address,driver,ids", "remove -n 0000:01:00.0", "--version"] {
        assert!(!opens(command), "{command}");
    }
}
