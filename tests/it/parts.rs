//! A machine of thousands of functions is read in parts, by several threads, and looks as if it had been read in one go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::path::Path;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use support::{maketree, scratch_directory};

const SELF: Pid = Pid::from_raw(0);

/// What pcictl prints; on one processor it starts no threads.
fn printed(tree: &Path, arguments: &[&str], processors: &CpuSet) -> (i32, String, String) {
    sched_setaffinity(SELF, processors).expect("this thread's own, or one of them");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcictl"));
    let output = command.args(arguments).arg("--sysroot").arg(tree).output().expect("pcictl runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit status"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_machine_read_in_parts_is_the_same_as_one_read_in_one_go() {
    let all = sched_getaffinity(SELF).expect("the processors");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|number| all.is_set(*number).expect("a number in range"));
    one.set(first.expect("a processor")).expect("a number in range");
    let tree = scratch_directory();
    maketree::make(tree.path(), 5_000).expect("a tree");
    let commands: [&[&str]; 4] =
        [&["list", "--json"], &["list", "-o", "address,class,name,driver"], &["tree"], &["tree", "-o", "address"]];
    for command in commands {
        let (in_one, in_parts) = (printed(tree.path(), command, &one), printed(tree.path(), command, &all));
        assert_eq!(in_one.0, 0, "{}", in_one.2);
        assert!(in_one.1.lines().count() >= 5_000, "{command:?}");
        assert!(in_one == in_parts, "{command:?} differs:\n{}", first_difference(&in_one.1, &in_parts.1));
    }
}

fn first_difference(one: &str, other: &str) -> String {
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    differ.map_or_else(|| "one is longer".to_owned(), |(one, other)| format!("  {one}\n  {other}"))
}
