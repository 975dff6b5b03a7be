//! What is kept of the mutants that were tried: that it speaks of files and functions that there are. Trying them takes hours,
//! which tests/soak/mutants does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lines(name: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("tests").join(name)).unwrap();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The function that a mutation is about, without the type or the trait that it belongs to.
fn function(mutation: &str) -> Option<&str> {
    let whole = match mutation.rsplit_once(" in ") {
        Some((_, function)) => function,
        None => mutation.strip_prefix("replace ")?.split([' ', '(']).next()?,
    };
    whole.rsplit("::").next()
}

/// What is wrong with a line of the list of survivors.
fn fault(line: &str, files: &[String]) -> Option<String> {
    let Some((mutant, reason)) = line.split_once(" -- ") else { return Some("has no reason".to_owned()) };
    let Some((file, mutation)) = mutant.split_once(": ") else { return Some("has no file".to_owned()) };
    if reason.trim().is_empty() {
        return Some("has an empty reason".to_owned());
    }
    if !files.iter().any(|known| known == file) {
        return Some("is of a file that tests/mutants/files.txt does not list".to_owned());
    }
    let source = fs::read_to_string(root().join(file)).unwrap_or_default();
    let Some(name) = function(mutation.trim()) else { return Some("names no function".to_owned()) };
    let is_there = [format!("fn {name}("), format!("fn {name}<")].iter().any(|start| source.contains(start));
    (!is_there).then(|| format!("is of {name}, which is not in {file}"))
}

#[test]
fn every_survivor_is_of_a_function_that_is_there_and_has_its_reason() {
    let files = lines("mutants/files.txt");
    let faults: Vec<String> = lines("mutants/survivors.txt")
        .iter()
        .filter_map(|line| fault(line, &files).map(|fault| format!("{line}: {fault}")))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_file_is_there_and_has_a_row_in_the_results() {
    let files: BTreeSet<String> = lines("mutants/files.txt").into_iter().collect();
    assert!(files.iter().all(|file| root().join(file).is_file()), "{files:?}");
    let rows: BTreeSet<String> = lines("PROOF.md")
        .iter()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(file, _)| file.to_owned()))
        .filter(|file| file.starts_with("src/"))
        .collect();
    assert_eq!(rows, files);
}

#[test]
fn what_is_wrong_with_a_survivor_is_noticed() {
    let files = ["src/plan/undo.rs".to_owned()];
    let fault = |line: &str| fault(line, &files);
    let known = "src/plan/undo.rs: replace undo_order -> Vec<usize> with vec![]";
    assert!(fault(known).is_some_and(|why| why == "has no reason"));
    assert_eq!(fault("src/plan/undo.rs: replace | with ^ in undo -- why"), None);
    assert!(fault("src/plan/stop.rs: replace x with () -- why").is_some_and(|why| why.contains("does not list")));
    for gone in [
        "replace Plan::no_such -> bool with true",
        "replace && with || in no_such",
        "delete ! in <impl A for B>::no_such",
    ] {
        let why = fault(&format!("src/plan/undo.rs: {gone} -- why"));
        assert_eq!(why.as_deref(), Some("is of no_such, which is not in src/plan/undo.rs"));
    }
}
