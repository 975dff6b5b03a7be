//! The man pages in the repository: two programs read them without a complaint, they have what a page must have, and their
//! examples work. That they are fresh is tested where they are made, in xtask.
//!
//! What reads them must be installed: a program that is missing fails the test.

mod examples;
mod join;
mod runbooks;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use unicode_width::UnicodeWidthStr;

use crate::support::run::Run;
use crate::support::{processes, repository};

/// A page of the repository.
struct Page {
    path: PathBuf,
    /// `pcictl-remove`.
    name: String,
    /// The section of the manual.
    section: String,
    text: String,
}

impl Page {
    fn all() -> Vec<Self> {
        let mut pages: Vec<Self> =
            fs::read_dir(repository().join("man")).unwrap().map(|entry| Self::read(entry.unwrap().path())).collect();
        pages.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(pages.len() > 30, "{}", pages.len());
        pages
    }

    fn read(path: PathBuf) -> Self {
        let file = path.file_name().unwrap().to_str().unwrap();
        let (name, section) = file.rsplit_once('.').unwrap();
        Self { name: name.to_owned(), section: section.to_owned(), text: fs::read_to_string(&path).unwrap(), path }
    }

    /// The words of the command line that it is about; none if it is about something else.
    fn command(&self) -> Option<String> {
        let words = self.name.strip_prefix("pcictl").filter(|_| self.section == "8")?;
        Some(words.replace('-', " ").trim().to_owned())
    }

    fn titles(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect()
    }

    /// The lines of a section.
    fn lines_of(&self, title: &str) -> Vec<&str> {
        let lines = self.text.lines().skip_while(|line| line.strip_prefix(".SH ") != Some(title)).skip(1);
        lines.take_while(|line| !line.starts_with(".SH ")).collect()
    }
}

/// What a program says of pages, in an environment that is the same on every machine.
fn asked(program: &str, arguments: &[&str], pages: &[&Page]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).args(pages.iter().map(|page| &page.path)).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
    processes::output(&mut command)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A text as it stands: without the fonts of roff, and its escapes resolved.
fn plain(roff: &str) -> String {
    let mut text = roff.to_owned();
    for font in ["\\fB", "\\fI", "\\fR", "\\&"] {
        text = text.replace(font, "");
    }
    for (escape, character) in
        [("\\-", "-"), ("\\(aq", "'"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\(ga", "`"), ("\\e", "\\")]
    {
        text = text.replace(escape, character);
    }
    text
}

#[test]
fn mandoc_finds_nothing_to_complain_of() {
    let pages = Page::all();
    let output = asked("mandoc", &["-T", "lint", "-W", "all"], &pages.iter().collect::<Vec<_>>());
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[test]
fn whatis_reads_every_name() {
    for page in Page::all() {
        let output = asked("lexgrog", &[], &[&page]);
        let found = text(&output.stdout);
        assert!(output.status.success() && found.contains(&format!(": \"{} - ", page.name)), "{}: {found}", page.name);
    }
}

#[test]
fn every_page_fits_eighty_columns() {
    for page in Page::all() {
        let by_groff = asked("man", &["--warnings=w", "--encoding=UTF-8", "--local-file"], &[&page]);
        let by_mandoc = asked("mandoc", &["-W", "all", "-T", "utf8", "-O", "width=80"], &[&page]);
        for output in [by_groff, by_mandoc] {
            assert!(output.status.success() && output.stderr.is_empty(), "{}: {}", page.name, text(&output.stderr));
            assert!(output.stdout.len() > 1000, "{}: {}", page.name, text(&output.stdout));
            for line in text(&output.stdout).lines() {
                // mandoc prints a letter over itself to have it bold.
                let mut shown = String::new();
                for character in line.chars() {
                    if character == '\u{8}' {
                        shown.pop();
                    } else {
                        shown.push(character);
                    }
                }
                assert!(shown.width() <= 80, "{}: {shown}", page.name);
            }
        }
    }
}

#[test]
fn every_page_has_its_sections_in_the_usual_order() {
    let all = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS",
        "SELECTORS",
        "SLOTS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "NOTES",
        "EXAMPLES",
        "SEE ALSO",
    ];
    for page in Page::all() {
        let titles = page.titles();
        let must_have = |title: &&&str| match (**title, page.section.as_str()) {
            ("NAME" | "DESCRIPTION" | "NOTES" | "EXAMPLES" | "SEE ALSO", _) => true,
            ("SYNOPSIS", "5") => true,
            ("COMMANDS" | "SELECTORS" | "SLOTS", _) | (_, "5" | "7") => titles.contains(*title),
            _ => true,
        };
        let expected: Vec<&str> = all.iter().filter(must_have).copied().collect();
        let known: Vec<&str> = titles.iter().filter(|title| all.contains(title)).copied().collect();
        assert_eq!(known, expected, "{}", page.name);
        for title in titles {
            assert!(!page.lines_of(title).is_empty(), "{}: {title} is empty", page.name);
        }
    }
}

/// By the help that the program prints, and not by the definition that the pages are made from.
#[test]
fn every_option_is_in_the_page_of_its_command() {
    let mut options = 0;
    for page in Page::all() {
        let Some(command) = page.command() else { continue };
        let help = Run::new(command.split_whitespace().chain(["--help"])).text();
        let page_text = plain(&page.lines_of("OPTIONS").join("\n"));
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            // `- auto:` is a value.
            for option in line.split([' ', ',']).filter(|word| word.starts_with('-') && word.len() > 1) {
                let is_there = page_text
                    .lines()
                    .any(|line| line.starts_with('-') && line.split([' ', ',']).any(|word| word == option));
                assert!(is_there, "{} lacks {option}", page.name);
                options += 1;
            }
        }
    }
    assert!(options > 300, "{options}");
}

#[test]
fn every_page_that_is_referred_to_is_there() {
    let pages = Page::all();
    let is_there = |name: &str, section: &str| pages.iter().any(|page| page.name == name && page.section == section);
    let mut references = 0;
    let mut check = |whence: &str, text: &str| {
        for (end, _) in text.match_indices('(') {
            let name = text[..end].rsplit(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c))).next().unwrap();
            let section = text[end + 1..].split(')').next().unwrap();
            if name.starts_with("pcictl") && section.len() == 1 {
                references += 1;
                assert!(is_there(name, section), "{whence} refers to {name}({section})");
            }
        }
    };
    for page in &pages {
        check(&page.name, &plain(&page.text));
        let see_also = plain(&page.lines_of("SEE ALSO").join(" "));
        assert!(page.name == "pcictl" || see_also.contains("pcictl(8)"), "{}: {see_also}", page.name);
        assert!(!see_also.contains(&format!(" {}(", page.name)), "{} refers to itself", page.name);
    }
    check("README.md", &fs::read_to_string(repository().join("README.md")).unwrap());
    assert!(references > 150, "{references}");
}

#[test]
fn every_kind_of_use_has_its_part_of_the_page_about_users() {
    let page = Page::all().into_iter().find(|page| page.name == "pcictl-users").unwrap();
    let parts: Vec<&str> = page.lines_of("KINDS OF USE").iter().filter_map(|line| line.strip_prefix(".SS ")).collect();
    // The program itself lists them.
    let refused = Run::words("remove --json --force nosuch 0000:03:00.0").tree("manual").status(2).json();
    let message = refused["error"]["message"].as_str().unwrap();
    let kinds: Vec<&str> = message.split_once("is not one of ").unwrap().1.split(", ").collect();
    assert_eq!(parts, kinds);
}
