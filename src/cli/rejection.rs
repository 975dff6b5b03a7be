//! What is wrong with a command line, in pcictl's own words: clap's tips are of no use to an operator here, as every
//! word that begins with a dash could be "passed as a value".

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::args::Cli;
use crate::error::Error;

/// The error for a command line that clap refused; `words` are the arguments without the program's name.
pub fn explain(error: &clap::Error, words: &[OsString]) -> Error {
    let command = command_name(words);
    let help = command.as_ref().map_or_else(|| "pcictl --help".to_owned(), |name| format!("pcictl {name} --help"));
    let (message, hint) = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(error, command.as_deref()),
        ErrorKind::InvalidSubcommand => {
            let of = command.as_ref().map_or_else(String::new, |name| format!(" of pcictl {name}"));
            let message = format!("{}: not a command{of}", text(error, ContextKind::InvalidSubcommand));
            (message, did_you_mean(error, ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingSubcommand => ("a command is missing".to_owned(), None),
        ErrorKind::MissingRequiredArgument => missing(error, command.as_deref()),
        ErrorKind::InvalidValue => invalid_value(error),
        ErrorKind::ValueValidation => (
            format!(
                "{}: {:?} is not valid: {}",
                option(&text(error, ContextKind::InvalidArg)),
                text(error, ContextKind::InvalidValue),
                error.source().map(ToString::to_string).unwrap_or_default()
            ),
            None,
        ),
        ErrorKind::ArgumentConflict => conflict(error, command.as_deref()),
        _ => (first_line(error), None),
    };
    let hint = match hint {
        Some(question) if question.ends_with('?') => format!("{question} See {help}"),
        Some(hint) => format!("{hint}; see {help}"),
        None => format!("see {help}"),
    };
    Error::usage(message).hint(hint)
}

/// Whether the arguments ask for JSON, as far as that can be told from a command line that is not valid.
pub fn wants_json(words: &[OsString]) -> bool {
    let is_flags = |text: &str| {
        text.strip_prefix('-')
            .is_some_and(|flags| !flags.is_empty() && flags.chars().all(|flag| "hjnqsvyV".contains(flag)))
    };
    let own = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect::<Vec<_>>();
    own.iter().any(|word| matches!(*word, "--json" | "--format=json") || (is_flags(word) && word.contains('j')))
        || own.windows(2).any(|pair| pair == ["--format", "json"])
}

/// The command that was typed, `remove` or `slot on`: the first words that are neither an option nor an option's value.
fn command_name(words: &[OsString]) -> Option<String> {
    let (mut command, mut names) = (Cli::command(), Vec::new());
    command.build();
    let mut words = words.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word {
            "--color" | "--sysroot" => _ = words.next(),
            // `pcictl help slot` is about slot.
            "help" => {}
            _ if word.starts_with('-') => {}
            _ => {
                let Some(found) = command.find_subcommand(word).cloned() else { break };
                names.push(found.get_name().to_owned());
                command = found;
            }
        }
    }
    (!names.is_empty()).then(|| names.join(" "))
}

fn unknown_argument(error: &clap::Error, command: Option<&str>) -> (String, Option<String>) {
    let typed = text(error, ContextKind::InvalidArg);
    let name = command.map_or_else(|| "pcictl".to_owned(), |name| format!("pcictl {name}"));
    if command == Some("lock") && !typed.starts_with('-') {
        return no_command();
    }
    let what = if typed.starts_with('-') { "not an option" } else { "one argument too many" };
    (format!("{typed}: {what} of {name}"), did_you_mean(error, ContextKind::SuggestedArg))
}

fn missing(error: &clap::Error, command: Option<&str>) -> (String, Option<String>) {
    let names = texts(error, ContextKind::InvalidArg).join(" ");
    if names.contains("<SELECTOR>") {
        let or = if matches!(command, Some("rescan" | "lock")) { ", or --all for everything" } else { "" };
        return ("no device given".to_owned(), Some(format!("name one, such as 0000:03:00.0{or}")));
    }
    if names.contains("<COMMAND>") {
        return no_command();
    }
    if names.contains("<SLOT>") {
        return ("no slot given".to_owned(), Some("pcictl slot list shows the slots that there are".to_owned()));
    }
    (format!("{names}: missing"), None)
}

fn no_command() -> (String, Option<String>) {
    let hint = "write it after \"--\", as in: pcictl lock 1a:00.0 -- true";
    ("no command given".to_owned(), Some(hint.to_owned()))
}

fn invalid_value(error: &clap::Error) -> (String, Option<String>) {
    let (argument, value) = (text(error, ContextKind::InvalidArg), text(error, ContextKind::InvalidValue));
    let name = option(&argument);
    let known = texts(error, ContextKind::ValidValue).join(", ");
    if value.is_empty() {
        let hint = (!known.is_empty()).then(|| format!("the values are {known}"));
        return (format!("{name}: a value is missing"), hint);
    }
    if name == "--force" && matches!(value.as_str(), "all" | "any" | "everything" | "yes" | "true") {
        return (
            format!("--force: {value:?} is not a kind of use; there is no blanket --force"),
            Some(format!("name what you accept: {known}")),
        );
    }
    let hint = did_you_mean(error, ContextKind::SuggestedValue);
    (format!("{name}: {value:?} is not one of {known}"), hint)
}

fn conflict(error: &clap::Error, command: Option<&str>) -> (String, Option<String>) {
    let one = text(error, ContextKind::InvalidArg);
    let others = texts(error, ContextKind::PriorArg);
    let all = |name: &str| name.starts_with("--all");
    if all(&one) || others.iter().any(|name| all(name)) {
        let what = if command == Some("lock") { "the whole machine" } else { "every bus" };
        return (format!("--all already means {what}"), Some("give either --all or selectors".to_owned()));
    }
    let other = others.first().map_or("itself", String::as_str);
    if option(other) == option(&one) {
        return (format!("{}: given twice", option(&one)), None);
    }
    (format!("{} and {}: give one of them", option(&one), option(other)), None)
}

fn did_you_mean(error: &clap::Error, kind: ContextKind) -> Option<String> {
    // What is hidden from people is no advice to them.
    let is_hidden = |name: &String| Cli::command().find_subcommand(name).is_some_and(clap::Command::is_hide_set);
    // The best one is the last one.
    let suggested: Vec<String> = texts(error, kind).into_iter().rev().filter(|name| !is_hidden(name)).collect();
    (!suggested.is_empty()).then(|| format!("did you mean {}?", suggested.join(" or ")))
}

/// `--wait` for `--wait <TIME>`.
fn option(argument: &str) -> &str {
    let name = argument.split_whitespace().next().unwrap_or(argument);
    // One without a dash, that may be left out, is in brackets.
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or("invalid command line").trim_start_matches("error: ").to_owned()
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    texts(error, kind).into_iter().next().unwrap_or_default()
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
