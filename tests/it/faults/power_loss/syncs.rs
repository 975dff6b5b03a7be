//! What a removal costs in syncs, counted and never timed: as few for 69 functions as for one, and none while drivers are
//! stopped, for the disk that is waited for may be the one that goes.

use super::recording::{Recording, is_of_kernel, path, record};
use super::subjects::Subject;
use super::trace::Op;

/// The changes between the first and the last that the kernel makes, and those before and after.
fn parts(recording: &Recording) -> [&[Op]; 3] {
    let ops = &recording.ops[..];
    let first = ops.iter().position(is_of_kernel).expect("the kernel does something");
    let last = ops.iter().rposition(is_of_kernel).unwrap_or(first);
    [&ops[..first], &ops[first..=last], &ops[last + 1..]]
}

/// The syncs of the ledger and of what is in it.
fn syncs(ops: &[Op]) -> usize {
    ops.iter().filter(|op| matches!(op, Op::Sync(path) if path.starts_with("state/ledger"))).count()
}

#[test]
fn a_removal_of_69_functions_is_written_down_with_two_syncs_and_crossed_off_with_four() {
    let [remove, back] = Subject::large().map(|subject| record(&subject));
    let [before, _, after] = parts(&remove);
    assert_eq!((syncs(before), syncs(after)), (2, 0));
    // One of them is the first time that there is a history.
    let [before, _, after] = parts(&back);
    assert_eq!((syncs(before), syncs(after)), (0, 4));
}

#[test]
fn no_disk_is_written_to_while_drivers_are_stopped() {
    let large = Subject::large();
    let commands = ["remove", "replug", "reset", "slot", "sriov"];
    let first = |word: &&str| Subject::all().into_iter().find(|subject| subject.words().first() == Some(word));
    let subjects = commands.iter().filter_map(first).chain(large);
    let mut tried = 0;
    for subject in subjects {
        let recording = record(&subject);
        let [_, between, _] = parts(&recording);
        let of_disk: Vec<&Op> = between.iter().filter(|op| path(op).starts_with("state")).collect();
        assert!(of_disk.is_empty(), "{}: {of_disk:?}", subject.name());
        tried += 1;
    }
    assert_eq!(tried, commands.len() + 2);
}
