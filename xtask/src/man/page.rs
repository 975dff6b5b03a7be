//! Whole pages: what is written and what the definition of the command line knows, in the order of man-pages(7).

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use pcictl::cli::args::Cli;

use crate::generate::about;
use crate::man::command::{self, HelpSection};
use crate::man::markup::{Roff, escaped};
use crate::man::source::{self, Source};

/// The sections of a command's page after its options, in the order of man-pages(7).
const AFTER_OPTIONS: [&str; 8] =
    ["SELECTORS", "SLOTS", "EXIT STATUS", "ENVIRONMENT", "FILES", "NOTES", "EXAMPLES", "SEE ALSO"];

/// Writes all pages: one for each command, and those that are about something else.
pub(crate) fn write(directory: &Path, date: &str) -> Result<(), String> {
    let sources = source::all()?;
    for (source, text) in pages(&sources, date)? {
        let path = directory.join(format!("{}.{}", source.name, source.section));
        fs::write(&path, text).map_err(about(&path))?;
    }
    Ok(())
}

/// The day of the newest heading of the changelog.
pub(crate) fn date(changelog: &str) -> Option<&str> {
    let is_date = |word: &&str| word.len() == 10 && word.bytes().filter(|byte| *byte == b'-').count() == 2;
    let headings = changelog.lines().filter(|line| line.starts_with("## "));
    headings.flat_map(|line| line.split([' ', '(', ')'])).find(is_date)
}

fn pages<'a>(sources: &'a [Source], date: &str) -> Result<Vec<(&'a Source, String)>, String> {
    let mut whole = Cli::command();
    whole.build();
    let mut commands = Vec::new();
    collect(&whole, "pcictl", &mut commands);
    let mut pages = Vec::new();
    for (command, name) in &commands {
        let file = name.replace(' ', "-");
        let source = sources.iter().find(|source| source.name == file && source.section == "8");
        let source = source.ok_or_else(|| format!("xtask/man/{file}.8.txt is missing"))?;
        pages.push((source, of_command(command, name, source, date)));
    }
    let is_of_command = |source: &&Source| commands.iter().any(|(_, name)| name.replace(' ', "-") == source.name);
    for source in sources.iter().filter(|source| !is_of_command(source)) {
        let what = source.about.as_ref().ok_or_else(|| format!("{}: there is no such command", source.name))?;
        pages.push((source, of_text(source, what, date)));
    }
    Ok(pages)
}

/// A command and those below it, with their names.
fn collect(command: &Command, name: &str, found: &mut Vec<(Command, String)>) {
    found.push((command.clone(), name.to_owned()));
    for command in command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set()) {
        collect(command, &format!("{name} {}", command.get_name()), found);
    }
}

fn head(source: &Source, what: &str, date: &str) -> Roff {
    let manual = match source.section.as_str() {
        "5" => "File Formats",
        "7" => "Miscellaneous Information",
        _ => "System Administration",
    };
    let version = Cli::command().get_version().unwrap_or_default().to_owned();
    let mut roff = Roff::default();
    let name = escaped(&source.name.to_uppercase());
    roff.line(&format!(".TH {name} {} {date} \"pcictl {version}\" \"{manual}\"", source.section));
    // Names of pages and options are not to be broken, nor lines stretched.
    roff.line(".nh");
    roff.line(".ad l");
    roff.section("NAME");
    // man(1) finds a page by each of its names.
    let (also, what) = what.split_once(" - ").map_or((String::new(), what), |(also, what)| (format!(", {also}"), what));
    roff.filled_roff(&format!("{} \\- {}", escaped(&format!("{}{also}", source.name)), escaped(what)));
    roff
}

/// A page that is written as a whole.
fn of_text(source: &Source, what: &str, date: &str) -> String {
    let mut roff = head(source, what, date);
    for (title, text) in &source.sections {
        roff.section(title);
        roff.text(text);
    }
    roff.into_text()
}

fn of_command(command: &Command, name: &str, source: &Source, date: &str) -> String {
    let what = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut roff = head(source, &lower_first(&what), date);
    let help = command::help_sections(command);
    roff.section("SYNOPSIS");
    command::synopsis(&mut roff, command, name, source.section("SYNOPSIS"));
    roff.section("DESCRIPTION");
    // The help has more about the steps; what else there is to say comes after it.
    let description = source.section("DESCRIPTION");
    let (steps, more) = description.split_at(description.find("## ").unwrap_or(description.len()));
    roff.text(steps);
    for (title, lines) in help.iter().filter(|(title, _)| place_of(title).is_none()) {
        roff.subsection(title);
        command::rows(&mut roff, lines);
    }
    roff.text(more);
    if command.has_subcommands() {
        roff.section("COMMANDS");
        command::commands(&mut roff, command, &source.name);
    }
    roff.section("OPTIONS");
    command::options(&mut roff, command);
    for title in AFTER_OPTIONS {
        of_help(&mut roff, title, &help, source);
    }
    roff.into_text()
}

/// The section of the page that a section of the help belongs to; none if it belongs to the description.
fn place_of(title: &str) -> Option<&'static str> {
    match title {
        "Selectors" => Some("SELECTORS"),
        "Slots" => Some("SLOTS"),
        "Examples" => Some("EXAMPLES"),
        _ if title.starts_with("Exit status") => Some("EXIT STATUS"),
        _ => None,
    }
}

/// A section by the help, and what is written besides.
fn of_help(roff: &mut Roff, section: &str, help: &[HelpSection], source: &Source) {
    let (written, mut is_begun) = (source.section(section), false);
    for (title, lines) in help.iter().filter(|(title, _)| place_of(title) == Some(section)) {
        if is_begun {
            roff.subsection(title);
        } else {
            roff.section(section);
            is_begun = true;
        }
        let lines = if title == "Exit status" { with_usage(lines) } else { lines.clone() };
        command::rows(roff, &lines);
    }
    if written.is_empty() {
        return;
    }
    if !is_begun {
        roff.section(section);
    }
    roff.more_text(written, is_begun);
}

/// Every command has a status for a command line that is invalid, which its own help need not say.
fn with_usage(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    let status = |line: &String| line.split_whitespace().next().and_then(|word| word.parse::<u8>().ok());
    if !lines.iter().any(|line| status(line) == Some(2)) {
        let at = lines.iter().position(|line| status(line).is_some_and(|status| status > 2)).unwrap_or(lines.len());
        lines.insert(at, "  2    invalid command line or configuration".to_owned());
    }
    lines
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<(Command, String)> {
        let mut whole = Cli::command();
        whole.build();
        let mut commands = Vec::new();
        collect(&whole, "pcictl", &mut commands);
        commands
    }

    #[test]
    fn every_synopsis_has_every_operand() {
        let sources = source::all().unwrap();
        for (command, name) in commands() {
            let source = sources.iter().find(|source| source.name == name.replace(' ', "-")).expect("a page");
            let mut roff = Roff::default();
            command::synopsis(&mut roff, &command, &name, source.section("SYNOPSIS"));
            let text = roff.into_text();
            for operand in command.get_positionals().map(command::value_name) {
                assert!(text.contains(&escaped(&operand)), "{name}: {text} lacks {operand}");
            }
        }
    }

    #[test]
    fn nothing_of_the_text_and_of_the_help_is_lost() {
        let sources = source::all().unwrap();
        let made = pages(&sources, "2026-01-01").unwrap();
        for (source, page) in &made {
            for (title, text) in &source.sections {
                let is_there = text.is_empty() || page.contains(&format!(".SH {}\n", escaped(title)));
                assert!(is_there, "{}: section {title} has no place", source.name);
            }
        }
        let in_a_row = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>().join(" ");
        for (command, name) in commands() {
            let (_, page) = made.iter().find(|(source, _)| source.name == name.replace(' ', "-")).unwrap();
            let page = page.replace("\\fB", "").replace("\\fR", "");
            let page = in_a_row(&mut page.split_whitespace().map(str::to_owned));
            for line in command::help_sections(&command).iter().flat_map(|(_, lines)| lines) {
                for part in line.trim().split("  ") {
                    let part = in_a_row(&mut part.split_whitespace().map(escaped));
                    assert!(page.contains(&part), "{name}: {part}");
                }
            }
        }
    }
}
