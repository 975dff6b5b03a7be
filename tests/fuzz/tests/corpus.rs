//! Every case that ever went wrong, and those that there are to begin with, do well; and what goes wrong is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuzz::check::{and_four_times, once};
use fuzz::findings::{place, smallest};
use fuzz::random::Random;
use fuzz::sources;
use fuzz::target::Target;

/// What others allocate meanwhile would be counted.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_entry_of_the_corpus_does_well() {
    let _alone = alone();
    let mut wrong = Vec::new();
    for target in Target::all() {
        for (name, bytes) in target.corpus() {
            let check = |bytes: &[u8]| and_four_times(&target, bytes);
            wrong.extend(check(&bytes).err().map(|why| format!("{}/{name}: {why}", target.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let targets: BTreeSet<String> = Target::all().iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets, sources::with_corpus().into_iter().collect());
    for name in targets {
        assert!(!sources::entries(&name).is_empty(), "{name}");
    }
}

/// Finds nothing wrong but a seven behind a five.
fn breaks(bytes: &[u8]) {
    assert!(!bytes.windows(2).any(|pair| pair == b"57"));
}

/// Remembers all pairs.
fn squares(bytes: &[u8]) {
    black_box(vec![0_u8; bytes.len() * bytes.len()]);
}

fn copies(bytes: &[u8]) {
    let mut lines = Vec::new();
    bytes.split(|byte| *byte == b'\n').for_each(|line| lines.push(line.to_vec()));
    black_box(lines);
}

#[test]
fn a_panic_is_found_and_made_small() {
    let _alone = alone();
    let target = Target::parser("breaks", breaks);
    assert!(once(&target, b"75").is_ok());
    let why = once(&target, b"a long 57 line").unwrap_err();
    let small = smallest(&target, b"a long 57 line".to_vec(), &why, &|target, bytes| once(target, bytes).err());
    assert_eq!(small, b"57");
}

#[test]
fn memory_that_grows_with_the_square_is_found_and_other_memory_is_not() {
    let _alone = alone();
    let input = vec![b'x'; 1000];
    let why = and_four_times(&Target::parser("squares", squares), &input).unwrap_err();
    assert_eq!(place(&why), "memory grows");
    for input in [&b"a\n".repeat(10_000), &input] {
        assert_eq!(and_four_times(&Target::parser("copies", copies), input), Ok(()));
    }
}

#[test]
fn a_seed_makes_the_same_cases() {
    let _alone = alone();
    let cases = |seed| {
        let (target, mut random) = (Target::named("tree").unwrap(), Random::of(seed, "tree"));
        (0..20).map(|_| target.any_case(&[b"tree vmd\n".to_vec()], &mut random)).collect::<Vec<_>>()
    };
    assert_eq!(cases(7), cases(7));
    assert_ne!(cases(7), cases(8));
}
