//! Every transcript in `tests/golden` still comes out as written: output, errors and status.

use std::fs;

use crate::support::dump::Order;
use crate::support::golden::{Golden, diff};
use crate::support::repository;

#[test]
fn transcripts_come_out_as_written() {
    let directory = repository().join("tests/golden");
    let mut paths: Vec<_> =
        fs::read_dir(directory).expect("tests/golden").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are no transcripts");
    let golden = Golden::default();
    let mut failures: Vec<String> = paths.iter().filter_map(|path| golden.check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let golden = Golden::in_order(Order::LastFirst);
    for path in &paths {
        let expected = fs::read_to_string(path).expect("a transcript");
        let changes = diff(&expected, &golden.run(&expected).expect("it runs"));
        if !changes.is_empty() {
            failures.push(format!("{}: depends on the order of directory entries\n{changes}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_transcript_that_is_not_well_formed_is_refused() {
    for (transcript, what) in [
        ("$ pcictl list\n  something\n", "line 1: the case has no '?' line"),
        ("$ pcictl list\n$ pcictl tree\n? 0\n", "line 1: the case has no '?' line"),
        ("$ pcictl list\noutput without its two spaces\n? 0\n", "line 2: neither output nor status"),
        ("$ pcictl list --sysroot @no-such-tree\n? 0\n", "there is no tree @no-such-tree"),
        ("$ pcictl 'list\n? 0\n", "a quote is left open"),
        ("$ lspci\n? 0\n", "no pcictl in it"),
    ] {
        let error = Golden::default().run(transcript).expect_err(transcript);
        assert!(error.contains(what), "{transcript:?} gave {error:?}");
    }
}

#[test]
fn a_diff_shows_what_changed_and_for_which_command() {
    let old = "$ pcictl list\n  a\n  b\n  c\n  d\n? 0\n";
    let new = "$ pcictl list\n  a\n  b\n  c\n  e\n? 1\n";
    assert_eq!(diff(old, new), " $ pcictl list\n ...\n   b\n   c\n-  d\n-? 0\n+  e\n+? 1\n");
    assert_eq!(diff(old, old), "");
}

#[test]
fn anything_the_program_does_otherwise_is_seen() {
    let golden = Golden::default();
    let now = golden.run("$ pcictl --no-such-flag\n? 0\n").expect("it runs");
    let expected = "$ pcictl --no-such-flag\n  never printed\n2> nor this\n? 99\n";
    let changes = diff(expected, &now);
    for line in ["-  never printed\n", "-2> nor this\n", "-? 99\n"] {
        assert!(changes.contains(line), "{changes}");
    }
    assert_eq!(golden.run(&now).expect("it runs again"), now, "what was taken over holds");
}
