//! What may come next on a command line that is not whole yet: for the shells, which know nothing of pcictl's options.
//!
//! The answer follows from the definition of the command line, so that a new option is completed without a word here. Names
//! of things on the machine are left to whoever may look at it. clap_complete's own engine would read the same definition;
//! it is not used because it is unstable (`unstable-dynamic`), tells those who complete a value nothing of the other words
//! (`--sysroot`, what was given already, which command it is), takes a selector that is called like a command for that
//! command, and offers what is hidden where nothing else matches.
//!
//! Not promised: that the line up to here is valid. What cannot be understood is passed over, or nothing is offered.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, CommandFactory as _, ValueHint};

use crate::cli::args::Cli;

/// One word that may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The whole word.
    pub(crate) value: String,
    /// What it means.
    pub(crate) description: String,
}

/// What may stand at the end of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// One of these words.
    Words(Vec<Candidate>),
    /// The name of something on the machine.
    Name(Wanted),
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A word of another program's command line, which begins with this word.
    Command(usize),
}

/// A name that is asked for, and what is known of the line that it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What has the name.
    pub(crate) kind: Kind,
    /// The command that takes it.
    pub(crate) command: String,
    /// What stands before it in the same word.
    pub(crate) before: String,
    /// Its beginning.
    pub(crate) typed: String,
    /// What was given for the same argument.
    pub(crate) given: Vec<String>,
    /// The selectors that were given.
    pub(crate) selectors: Vec<String>,
    /// The dumped tree that the line is about.
    pub(crate) sysroot: Option<PathBuf>,
}

/// What can have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A function, or a group of them.
    Function,
    /// A slot.
    Slot,
    /// A driver.
    Driver,
    /// An interrupted operation.
    Operation,
    /// A method of resetting.
    Method,
    /// What `--expect` takes.
    Expectation,
}

/// What may stand for the last of these words, which are those after the program's name.
pub(crate) fn expected(words: &[String]) -> Expected {
    let Some((last, before)) = words.split_last() else { return Expected::Words(Vec::new()) };
    let mut root = Cli::command();
    root.build();
    let mut line = Line { command: &root, given: Vec::new(), open: None, rest: None, is_lost: false };
    before.iter().enumerate().for_each(|(at, word)| line.take(at, word));
    line.expected(last)
}

impl Candidate {
    /// A word with its meaning.
    pub(crate) fn new(value: impl Into<String>, description: impl Into<String>) -> Self {
        Self { value: value.into(), description: description.into() }
    }
}

impl Kind {
    /// What an argument names.
    fn of(argument: &Arg) -> Option<Self> {
        let value = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        match (argument.get_id().as_str(), value) {
            ("slot", _) => Some(Self::Slot),
            ("driver", _) => Some(Self::Driver),
            (_, Some("SELECTOR" | "PF")) => Some(Self::Function),
            (_, Some("OPERATION")) => Some(Self::Operation),
            (_, Some("METHOD")) => Some(Self::Method),
            (_, Some("WHAT")) => Some(Self::Expectation),
            _ => None,
        }
    }
}

/// A command line as far as it was read.
struct Line<'a> {
    /// The command that the next word is for.
    command: &'a Command,
    /// The arguments that were given, with their values.
    given: Vec<(&'a Arg, Option<String>)>,
    /// The option whose value is the next word.
    open: Option<&'a Arg>,
    /// The first word after `--`.
    rest: Option<usize>,
    /// A word was no command, or one that people are not told of.
    is_lost: bool,
}

impl<'a> Line<'a> {
    fn take(&mut self, at: usize, word: &str) {
        if let Some(option) = self.open.take() {
            self.given.push((option, Some(word.to_owned())));
        } else if self.rest.is_some() {
            self.positional_given(word);
        } else if word == "--" {
            self.rest = Some(at + 1);
        } else if let Some(text) = word.strip_prefix("--") {
            self.long(text);
        } else if let Some(text) = word.strip_prefix('-').filter(|text| !text.is_empty()) {
            self.short(text);
        } else if self.command.has_subcommands() {
            match self.command.find_subcommand(word).filter(|command| !command.is_hide_set()) {
                Some(command) => self.command = command,
                None => self.is_lost = true,
            }
        } else {
            self.positional_given(word);
        }
    }

    fn positional_given(&mut self, word: &str) {
        if let Some(argument) = self.next_positional() {
            self.given.push((argument, Some(word.to_owned())));
        }
    }

    /// `--force=mounted`, or `--force` whose value follows.
    fn long(&mut self, text: &str) {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match self.option(|option| option.get_long() == Some(name)) {
            Some(option) if value.is_none() && takes_value(option) => self.open = Some(option),
            Some(option) => self.given.push((option, value.map(str::to_owned))),
            None => {}
        }
    }

    /// `-jn`, `-w5`, or `-w` whose value follows.
    fn short(&mut self, text: &str) {
        for (at, letter) in text.char_indices() {
            let Some(option) = self.option(|option| option.get_short() == Some(letter)) else { continue };
            if !takes_value(option) {
                self.given.push((option, None));
                continue;
            }
            match &text[at + letter.len_utf8()..] {
                "" => self.open = Some(option),
                value => self.given.push((option, Some(value.to_owned()))),
            }
            return;
        }
    }

    fn option(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        self.command.get_arguments().find(|argument| is_it(argument))
    }

    /// The argument that the next word without a dash is for.
    fn next_positional(&self) -> Option<&'a Arg> {
        let mut positionals = self.command.get_positionals().filter(|argument| !argument.is_last_set());
        positionals.find(|argument| is_repeated(argument) || !self.is_given(argument))
    }

    fn is_given(&self, argument: &Arg) -> bool {
        self.given.iter().any(|(given, _)| given.get_id() == argument.get_id())
    }

    /// Whether it makes no sense beside what was given.
    fn is_excluded(&self, argument: &Arg) -> bool {
        let excludes = |one: &Arg, other: &Arg| {
            let own = self.command.get_arguments().find(|own| own.get_id() == one.get_id());
            let conflicts = own.map(|own| self.command.get_arg_conflicts_with(own)).unwrap_or_default();
            conflicts.iter().any(|conflict| conflict.get_id() == other.get_id())
        };
        self.given.iter().any(|(given, _)| excludes(given, argument) || excludes(argument, given))
    }

    fn expected(&self, word: &str) -> Expected {
        let nothing = Expected::Words(Vec::new());
        if self.is_lost {
            return nothing;
        }
        if let Some(option) = self.open {
            return self.value(option, "", word);
        }
        if let Some(first) = self.rest.filter(|_| self.command.get_positionals().any(Arg::is_last_set)) {
            return Expected::Command(first);
        }
        if self.rest.is_none() && word.starts_with('-') {
            return self.option_or_its_value(word);
        }
        if self.command.has_subcommands() {
            return Expected::Words(self.commands(word));
        }
        match self.next_positional() {
            Some(argument) if !self.is_excluded(argument) => self.value(argument, "", word),
            _ => nothing,
        }
    }

    /// For a word that begins with a dash.
    fn option_or_its_value(&self, word: &str) -> Expected {
        if let Some((name, value)) = word.strip_prefix("--").and_then(|text| text.split_once('=')) {
            let option = self.option(|option| option.get_long() == Some(name) && takes_value(option));
            return option.map_or(Expected::Words(Vec::new()), |option| {
                self.value(option, &word[..word.len() - value.len()], value)
            });
        }
        let letters = word.char_indices().skip(1).take_while(|_| !word.starts_with("--"));
        for (at, letter) in letters {
            let value_at = at + letter.len_utf8();
            if let Some(option) = self.option(|option| option.get_short() == Some(letter) && takes_value(option)) {
                return self.value(option, &word[..value_at], &word[value_at..]);
            }
        }
        Expected::Words(self.options(word))
    }

    fn options(&self, typed: &str) -> Vec<Candidate> {
        let is_offered = |argument: &&Arg| {
            let is_over = self.is_given(argument) && !is_repeated(argument);
            !argument.is_positional() && !argument.is_hide_set() && !is_over && !self.is_excluded(argument)
        };
        let candidate = |argument: &Arg| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            Some(Candidate::new(format!("--{}", argument.get_long()?), help))
        };
        let mut options: Vec<Candidate> =
            self.command.get_arguments().filter(is_offered).filter_map(candidate).collect();
        options.retain(|option| option.value.starts_with(typed));
        options
    }

    fn commands(&self, typed: &str) -> Vec<Candidate> {
        let commands = self.command.get_subcommands();
        let offered = commands.filter(|command| !command.is_hide_set() && command.get_name().starts_with(typed));
        let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
        offered.map(|command| Candidate::new(command.get_name(), about(command))).collect()
    }

    /// For the value of an argument, or, where it is a list, the last piece of it.
    fn value(&self, argument: &Arg, before: &str, typed: &str) -> Expected {
        let kind = Kind::of(argument);
        let is_list = argument.get_value_delimiter().is_some() || kind == Some(Kind::Expectation);
        let list_end = typed.rfind(',').filter(|_| is_list).map_or(0, |comma| comma + 1);
        let (list, typed) = typed.split_at(list_end);
        let values = self.values_of(|given| given.get_id() == argument.get_id());
        let given = values
            .iter()
            .map(String::as_str)
            .chain([list])
            .flat_map(|value| if is_list { value.split(',').collect() } else { vec![value] });
        let given: Vec<String> = given.filter(|value| !value.is_empty()).map(str::to_owned).collect();
        let before = format!("{before}{list}");
        match argument.get_value_hint() {
            ValueHint::DirPath => return Expected::Directory,
            ValueHint::AnyPath | ValueHint::FilePath => return Expected::File,
            _ => {}
        }
        let Some(kind) = kind else { return Expected::Words(possible_values(argument, &before, typed, &given)) };
        Expected::Name(Wanted {
            kind,
            command: self.command.get_name().to_owned(),
            before,
            typed: typed.to_owned(),
            given,
            selectors: self.values_of(|given| Kind::of(given) == Some(Kind::Function)),
            sysroot: self.values_of(|given| given.get_id() == "sysroot").pop().map(PathBuf::from),
        })
    }

    fn values_of(&self, is_it: impl Fn(&Arg) -> bool) -> Vec<String> {
        self.given.iter().filter(|(argument, _)| is_it(argument)).filter_map(|(_, value)| value.clone()).collect()
    }
}

/// The words of an argument's fixed set. A column may stand after a plus.
fn possible_values(argument: &Arg, before: &str, typed: &str, given: &[String]) -> Vec<Candidate> {
    let (sign, typed) = match typed.strip_prefix('+') {
        Some(typed) if argument.get_id() == "output" => ("+", typed),
        _ => ("", typed),
    };
    let is_given = |name: &str| given.iter().any(|given| given.strip_prefix('+').unwrap_or(given) == name);
    let values = argument.get_possible_values();
    let offered = values
        .iter()
        .filter(|value| !value.is_hide_set() && value.get_name().starts_with(typed) && !is_given(value.get_name()));
    let candidate = |value: &clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        Candidate::new(format!("{before}{sign}{}", value.get_name()), help)
    };
    offered.map(candidate).collect()
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn is_repeated(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append | ArgAction::Count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is free text or a number, so that there is nothing to offer.
    const FREE: [&str; 6] = ["TIME", "N", "VF=MAC", "COMMAND", "WORD", "help"];

    fn check(command: &Command) {
        for argument in command.get_arguments().filter(|argument| takes_value(argument) && !argument.is_hide_set()) {
            let is_known = Kind::of(argument).is_some()
                || argument.get_value_hint() != ValueHint::Unknown
                || !argument.get_possible_values().is_empty()
                || argument.get_value_names().is_some_and(|names| FREE.contains(&names[0].as_str()));
            assert!(is_known, "{}: nothing is known of {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().filter(|command| command.get_name() != "help").for_each(check);
    }

    #[test]
    fn every_value_has_its_candidates_or_is_free() {
        let mut root = Cli::command();
        root.build();
        check(&root);
    }

    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match expected(&words) {
            Expected::Words(words) => words.into_iter().map(|word| word.value).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn no_option_is_offered_that_its_command_refuses() {
        let mut root = Cli::command();
        root.build();
        for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            for option in offered(&format!("{name} -")) {
                let hidden = command.get_arguments().filter(|argument| argument.is_hide_set());
                let long = option.trim_start_matches('-');
                assert!(hidden.into_iter().all(|argument| argument.get_long() != Some(long)), "{name} {option}");
            }
        }
    }

    #[test]
    fn what_excludes_what_was_given_is_not_offered() {
        assert!(offered("remove --no-wait --wa").is_empty() && offered("remove --wait 5 --no-w").is_empty());
        assert!(offered("-q remove --verb").is_empty() && offered("remove -qn --dry").is_empty());
        assert_eq!(offered("rescan --slot 1 --sl"), ["--slot"]);
        assert!(offered("show --protected x").is_empty());
    }
}
