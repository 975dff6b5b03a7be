//! A machine of thousands of functions is read in parts, by several threads, and looks as if it had been read in one go.

use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::support::run::Run;
use crate::support::snapshot::Snapshot;
use crate::support::{maketree, scratch_directory};

const SELF: Pid = Pid::from_raw(0);

/// What pcictl prints; on one processor it starts no threads.
fn printed(tree: &Path, arguments: &[&str], processors: &CpuSet) -> String {
    sched_setaffinity(SELF, processors).expect("this thread's own, or one of them");
    let text = Run::new(arguments).on_big_tree(tree).text();
    let is_time = |line: &&str| ["  \"began\": ", "  \"ended\": "].iter().any(|key| line.starts_with(key));
    text.split_inclusive('\n').filter(|line| !is_time(line)).collect()
}

#[test]
fn a_machine_read_in_parts_is_the_same_as_one_read_in_one_go() {
    let all = sched_getaffinity(SELF).expect("the processors");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|number| all.is_set(*number).expect("a number in range"));
    one.set(first.expect("a processor")).expect("a number in range");
    let tree = scratch_directory();
    maketree::make(tree.path(), 5_000).expect("a tree");
    let before = Snapshot::of(tree.path());
    let commands: [&[&str]; 4] =
        [&["list", "--json"], &["list", "-o", "address,class,name,driver"], &["tree"], &["tree", "-o", "address"]];
    for command in commands {
        let (in_one, in_parts) = (printed(tree.path(), command, &one), printed(tree.path(), command, &all));
        assert!(in_one.lines().count() >= 5_000, "{command:?}");
        assert!(in_one == in_parts, "{command:?} differs:\n{}", first_difference(&in_one, &in_parts));
    }
    assert_eq!(before.changes(&Snapshot::of(tree.path())), [""; 0]);
}

fn first_difference(one: &str, other: &str) -> String {
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    differ.map_or_else(|| "one is longer".to_owned(), |(one, other)| format!("  {one}\n  {other}"))
}
