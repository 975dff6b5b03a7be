//! Man pages, section 8: options, selectors, examples and exit statuses from the definition of the command line, so that
//! they cannot lie; what a command does, from `man_text`.

use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use pcictl::cli::args::Cli;

use crate::generate::about;
use crate::man_text::{self, Entry};

/// Writes a page for pcictl and one for each command.
pub(crate) fn write(directory: &Path, date: &str) -> Result<(), String> {
    let mut whole = Cli::command();
    whole.build();
    pages(directory, date, &whole, "pcictl")
}

/// A page for a command and for each of its own.
fn pages(directory: &Path, date: &str, command: &Command, name: &str) -> Result<(), String> {
    page(directory, date, command, name)?;
    for command in command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set()) {
        pages(directory, date, command, &format!("{name} {}", command.get_name()))?;
    }
    Ok(())
}

/// The day of the newest heading of the changelog.
pub(crate) fn date(changelog: &str) -> Option<&str> {
    let is_date = |word: &&str| word.len() == 10 && word.bytes().filter(|byte| *byte == b'-').count() == 2;
    let headings = changelog.lines().filter(|line| line.starts_with("## "));
    headings.flat_map(|line| line.split([' ', '(', ')'])).find(is_date)
}

fn page(directory: &Path, date: &str, command: &Command, name: &str) -> Result<(), String> {
    let file = name.replace(' ', "-");
    let text = Page::default().all(command, name, date);
    let path = directory.join(format!("{file}.8"));
    fs::write(&path, text).map_err(about(&path))
}

/// A page as it grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn all(mut self, command: &Command, name: &str, date: &str) -> String {
        let file = name.replace(' ', "-");
        // By what `man_text` knows it: `pcictl`, `remove`, `slot off`.
        let key = name.strip_prefix("pcictl ").unwrap_or(name);
        let version = command.get_version().unwrap_or_default();
        self.line(&format!(".TH {} 8 {date} \"pcictl {version}\" \"System Administration\"", file.to_uppercase()));
        self.section("NAME");
        let what = command.get_about().map(ToString::to_string).unwrap_or_default();
        self.line(&format!("{} \\- {}", escaped(&file), escaped(&lower_first(&what))));
        self.synopsis(command, name, key);
        self.section("DESCRIPTION");
        let sections = sections(command);
        self.paragraphs(man_text::description(key));
        for (title, lines) in sections.iter().filter(|(title, _)| title.starts_with("What ")) {
            self.line(&format!(".SS {}", escaped(title)));
            self.rows(lines);
        }
        if command.has_subcommands() {
            self.commands(command, &file);
        }
        self.options(command);
        for wanted in ["Selectors", "Examples", "Exit status"] {
            if let Some((title, lines)) = sections.iter().find(|(title, _)| title == wanted) {
                self.section(&title.to_uppercase());
                self.rows(lines);
            }
        }
        for (title, lines) in sections.iter().filter(|(title, _)| title.starts_with("Exit status of ")) {
            self.line(&format!(".SS {}", escaped(title)));
            self.rows(lines);
        }
        self.entries("FILES", man_text::FILES, command, key);
        self.entries("ENVIRONMENT", man_text::ENVIRONMENT, command, key);
        self.see_also(key);
        self.0
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// The name, the options with their values, and the operands in each form that the command has.
    fn synopsis(&mut self, command: &Command, name: &str, key: &str) {
        self.section("SYNOPSIS");
        let own =
            command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set() && !arg.is_global_set());
        let options: Vec<String> =
            own.filter(|arg| !man_text::is_operand(key, arg)).map(|arg| format!("[{}]", spelled(arg, "|"))).collect();
        let positional = positionals(command);
        let forms = man_text::forms(key).map_or_else(|| vec![positional.as_str()], <[_]>::to_vec);
        for (index, form) in forms.iter().enumerate() {
            if index > 0 {
                self.line(".br");
            }
            self.line(&format!(".B {}", escaped(name)));
            for option in &options {
                self.line(option);
            }
            self.line("[\\fICOMMON OPTIONS\\fR]");
            if !form.is_empty() {
                self.line(form);
            }
        }
    }

    fn paragraphs(&mut self, text: &str) {
        for (index, paragraph) in text.split("\n\n").enumerate() {
            if index > 0 {
                self.line(".PP");
            }
            self.filled(paragraph);
        }
    }

    /// A text that is filled: its line breaks are those of the source.
    fn filled(&mut self, text: &str) {
        /// As mandoc wants it.
        const WIDTH: usize = 78;
        for line in text.lines() {
            let mut row = String::new();
            for word in line.split_whitespace() {
                let word = escaped(word);
                if !row.is_empty() && row.len() + 1 + word.len() > WIDTH {
                    self.line(&std::mem::take(&mut row));
                }
                // At the start of a line a dot would be a request.
                row = if row.is_empty() { word } else { format!("{row} {}", word.trim_start_matches("\\&")) };
            }
            self.line(&row);
        }
    }

    fn commands(&mut self, command: &Command, page: &str) {
        self.section("COMMANDS");
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let what = command.get_about().map(ToString::to_string).unwrap_or_default();
            self.line(".TP");
            if name == "help" {
                self.line("\\fBhelp\\fR [\\fICOMMAND\\fR]");
                self.line("Print help");
            } else {
                self.line(&format!(".BR {} (8)", escaped(&format!("{page}-{name}"))));
                self.filled(&what);
            }
        }
    }

    /// Operands, then options, each heading a subsection.
    fn options(&mut self, command: &Command) {
        self.section("OPTIONS");
        for arg in command.get_positionals() {
            self.line(".TP");
            self.line(&operand(arg));
            self.help(arg);
        }
        let mut arguments: Vec<&Arg> =
            command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
        // As help has it: own options first, in their order.
        arguments.sort_by_key(|arg| arg.is_global_set());
        let mut headings: Vec<&str> = Vec::new();
        for heading in arguments.iter().filter_map(|arg| arg.get_help_heading()) {
            if !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        for heading in headings {
            self.line(&format!(".SS {heading}"));
            for arg in arguments.iter().filter(|arg| arg.get_help_heading() == Some(heading)) {
                self.line(".TP");
                self.line(&spelled(arg, ", "));
                self.help(arg);
            }
        }
    }

    /// What an option does, its values if they are words, and its default.
    fn help(&mut self, arg: &Arg) {
        let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let is_value = arg.get_action().takes_values() && !arg.is_positional();
        let default =
            if is_value && !default.is_empty() { format!(" [default: {}]", default.join(",")) } else { String::new() };
        let text = text.replace(" (see more with '--help')", "");
        self.filled(&format!("{text}{default}"));
        let values = arg.get_possible_values();
        if values.is_empty() || !is_value {
            return;
        }
        self.line(".RS");
        for value in values.iter().filter(|value| !value.is_hide_set()) {
            self.line(".TP");
            self.line(&format!("\\fB{}\\fR", escaped(value.get_name())));
            self.filled(&value.get_help().map(ToString::to_string).unwrap_or_default());
        }
        self.line(".RE");
    }

    /// Rows of two columns become tagged paragraphs; what goes on in the second column, follows there.
    fn rows(&mut self, lines: &[String]) {
        let mut is_first = true;
        for line in lines {
            let indent = line.len() - line.trim_start().len();
            let text = line.trim();
            match indent {
                0 if is_first => self.filled(text),
                0 => {
                    self.line(".PP");
                    self.filled(text);
                }
                1..8 => {
                    let (term, meaning) = text.split_once("  ").unwrap_or((text, ""));
                    self.line(".TP");
                    self.line(&format!("\\fB{}\\fR", escaped(term)));
                    if !meaning.is_empty() {
                        self.filled(meaning.trim_start());
                    }
                }
                _ => self.filled(text),
            }
            is_first = false;
        }
    }

    fn entries(&mut self, title: &str, entries: &[Entry], command: &Command, key: &str) {
        let mut entries = entries.iter().filter(|entry| entry.is_for(command, key)).peekable();
        if entries.peek().is_none() {
            return;
        }
        self.section(title);
        for entry in entries {
            self.line(".TP");
            self.line(&format!("{}{}\\fR", if title == "FILES" { "\\fI" } else { "\\fB" }, escaped(entry.name)));
            self.filled(entry.meaning);
        }
    }

    fn see_also(&mut self, command: &str) {
        self.section("SEE ALSO");
        let pages = man_text::see_also(command);
        for (index, page) in pages.iter().enumerate() {
            let (name, section) = page.split_once('.').unwrap_or((page, "8"));
            let end = if index + 1 < pages.len() { "," } else { "" };
            self.line(&format!(".BR {} ({section}){end}", escaped(name)));
        }
    }
}

/// The sections of the help that comes after the options.
fn sections(command: &Command) -> Vec<(String, Vec<String>)> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            Some(title) => sections.push((title.to_owned(), Vec::new())),
            None => sections.last_mut().into_iter().for_each(|(_, lines)| lines.push(line.to_owned())),
        }
    }
    sections
}

/// The positional arguments, those in brackets that may be left out.
fn positionals(command: &Command) -> String {
    let one = |arg: &Arg| if arg.is_required_set() { operand(arg) } else { format!("[{}]", operand(arg)) };
    command.get_positionals().map(one).collect::<Vec<_>>().join(" ")
}

fn operand(arg: &Arg) -> String {
    format!("\\fI{}\\fR{}", value_name(arg), if takes_many(arg) { ".\\|.\\|." } else { "" })
}

/// `-w, --wait TIME` in bold and italics.
fn spelled(arg: &Arg, between: &str) -> String {
    let mut names: Vec<String> = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR")).into_iter().collect();
    names.extend(arg.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escaped(long))));
    let mut text = names.join(between);
    if arg.get_action().takes_values() {
        text.push_str(&format!(" \\fI{}\\fR", value_name(arg)));
        if arg.get_value_delimiter().is_some() {
            text.push_str("[,.\\|.\\|.]");
        }
    }
    text
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(arg.get_action(), clap::ArgAction::Append)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// A text in which roff finds nothing to do.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('^', "\\(ha");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Every page but those of the shell's own.
    fn each(command: &Command, name: &str, look: &mut dyn FnMut(&Command, &str)) {
        look(command, name.strip_prefix("pcictl ").unwrap_or(name));
        for command in
            command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
        {
            each(command, &format!("{name} {}", command.get_name()), look);
        }
    }

    #[test]
    fn every_page_says_what_the_command_does_and_what_it_takes() {
        let mut whole = Cli::command();
        whole.build();
        each(&whole, "pcictl", &mut |command, key| {
            assert!(!man_text::description(key).is_empty(), "{key}: no description");
            let forms = man_text::forms(key).map_or_else(|| positionals(command), <[_]>::concat);
            for operand in command.get_positionals() {
                assert!(forms.contains(&value_name(operand)), "{key}: {forms} lacks {}", value_name(operand));
            }
        });
    }
}
