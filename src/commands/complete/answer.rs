//! The answer as shells read it: a line for each word that may come next, `VALUE<TAB>DESCRIPTION`; or one line that begins
//! with a tab and tells the shell to complete by itself: `file`, `directory`, or `command N`, where the words from the Nth
//! on (the first is 0) are the command line of another program.
//!
//! The words are whole and match what was typed, which need not be their beginning: `1a` becomes `0000:1a:00.0`. Where what
//! all of them begin with does not hold what was typed, a first line `<TAB>list` tells the shell to show them and to leave the
//! word alone. A word that ends in `:`, `=`, `/` or `,` goes on. Completion has no errors: what cannot be read is not offered.

use std::path::{Path, PathBuf};

use crate::cli::args::CompleteArgs;
use crate::cli::completion::{self, Candidate, Expected, Kind, Wanted};
use crate::commands::complete::devices::Devices;
use crate::commands::complete::{names, selectors};
use crate::error::ExitStatus;
use crate::host::machine::Machine;
use crate::host::text::escaped;
use crate::operation::context::Context;
use crate::terminal::output::Output;

pub(crate) fn run(output: &Output, args: &CompleteArgs) -> ExitStatus {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let text = match completion::expected(&words) {
        Expected::Words(words) => lines(&words),
        Expected::Name(wanted) => name(output, &wanted),
        Expected::File => "\tfile\n".to_owned(),
        Expected::Directory => "\tdirectory\n".to_owned(),
        Expected::Command(first) => format!("\tcommand {first}\n"),
    };
    output.print(&text);
    ExitStatus::Done
}

fn name(output: &Output, wanted: &Wanted) -> String {
    let sysroot = wanted.sysroot.as_deref().map(below_home);
    let Ok(machine) = Machine::open(sysroot.as_deref()) else { return String::new() };
    let context = Context::new(machine, output, None);
    let found = candidates(&context, wanted);
    let is_path = wanted.kind == Kind::Function && wanted.typed.starts_with('/');
    if found.is_empty() && is_path && !context.machine.sysfs.is_dump() {
        return "\tfile\n".to_owned();
    }
    let typed = format!("{}{}", wanted.before, wanted.typed);
    let list = if is_lost_in(&typed, &found) { "\tlist\n" } else { "" };
    format!("{list}{}", lines(&found))
}

/// Whether a word would be lost if a shell replaced it by what all of these begin with.
fn is_lost_in(typed: &str, found: &[Candidate]) -> bool {
    let Some((first, others)) = found.split_first() else { return false };
    let length = others.iter().fold(first.value.len(), |length, other| {
        let same = first.value.bytes().zip(other.value.bytes()).take_while(|(a, b)| a == b).count();
        length.min(same)
    });
    let common = first.value.get(..length).unwrap_or_default();
    !common.is_empty() && !common.contains(&typed.to_ascii_lowercase())
}

fn candidates(context: &Context, wanted: &Wanted) -> Vec<Candidate> {
    if wanted.kind == Kind::Operation {
        return matching(names::operations(context), wanted);
    }
    let Some(devices) = &Devices::read(&context.machine.sysfs) else { return Vec::new() };
    match wanted.kind {
        Kind::Function => without_given(selectors::selectors(context, devices, wanted), wanted),
        Kind::Slot => matching(names::slots(devices), wanted),
        Kind::Driver => {
            let mut drivers = names::drivers(devices);
            if wanted.command == "override" {
                drivers.push(Candidate::new("none", "keeps every driver away"));
            }
            matching(drivers, wanted)
        }
        Kind::Method => matching(names::methods(devices, wanted), wanted),
        Kind::Expectation => matching(names::expectations(context, devices, wanted), wanted),
        Kind::Operation => Vec::new(),
    }
}

fn matching(mut found: Vec<Candidate>, wanted: &Wanted) -> Vec<Candidate> {
    found.retain(|candidate| candidate.value.starts_with(&wanted.typed));
    without_given(found, wanted)
}

fn without_given(mut found: Vec<Candidate>, wanted: &Wanted) -> Vec<Candidate> {
    found.retain(|candidate| !wanted.given.contains(&candidate.value));
    names::prefixed(&wanted.before, found)
}

/// A name that holds what would end a line or a word of the answer cannot be typed either.
fn lines(candidates: &[Candidate]) -> String {
    let offered = candidates.iter().filter(|candidate| escaped(&candidate.value) == candidate.value);
    offered.map(|candidate| format!("{}\t{}\n", candidate.value, escaped(&candidate.description))).collect()
}

/// A shell gives a word as it was typed, before it has expanded the tilde.
fn below_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}
