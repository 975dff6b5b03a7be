//! Prints reports: text for people, or one JSON document. The only place that writes to stdout and stderr.

use std::io::{self, IsTerminal, Write};

use colored::Colorize;
use serde::Serialize;

use crate::error::Error;
use crate::host::text::escaped;

/// To the start of the line, and away with what is there (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[Self::Auto, Self::Always, Self::Never];

    /// The word that stands for it on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Auto => "On a terminal, unless NO_COLOR is set",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// How to talk.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// JSON documents on stdout instead of text.
    pub json: bool,
    /// Errors only.
    pub quiet: bool,
    /// Details, too.
    pub verbose: bool,
    /// When to color.
    pub color: ColorChoice,
}

/// Where words go: data to stdout, talk to stderr.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Output {
    /// Set up as the options say.
    pub fn new(talk: Talk) -> Self {
        match talk.color {
            ColorChoice::Auto => {}
            ColorChoice::Always => colored::control::set_override(true),
            ColorChoice::Never => colored::control::set_override(false),
        }
        Self { json: talk.json, quiet: talk.quiet, verbose: talk.verbose }
    }

    /// For errors of a command line that could not be read.
    pub fn plain(json: bool) -> Self {
        Self { json, quiet: false, verbose: false }
    }

    /// Prints a report as JSON, or what `text` makes of it. A reader that has gone away is no error.
    pub(crate) fn report<T: Serialize>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            print(&json_text(report));
        } else {
            print(&text(report));
        }
    }

    /// Like [`report`](Self::report), for a report so long that it must not be held twice.
    pub(crate) fn stream<T: Serialize>(&self, report: &T, text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>) {
        let mut stdout = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        let written = if self.json {
            let document = Document { schema: 1, body: report };
            serde_json::to_writer_pretty(&mut stdout, &document).map_err(Into::into).and_then(|()| writeln!(stdout))
        } else {
            text(report, &mut stdout)
        };
        // Nobody is left to be told when stdout is closed.
        let _ = written.and_then(|()| stdout.flush());
    }

    /// Like [`report`](Self::report), for what a quiet user does not want to see.
    pub(crate) fn outcome<T: Serialize>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        if self.json || !self.quiet {
            self.report(report, text);
        }
    }

    /// A line of talk on stderr.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            talk(line);
        }
    }

    /// A line of talk for those who asked for more.
    pub(crate) fn detail(&self, line: &str) {
        if self.verbose {
            talk(line);
        }
    }

    /// Whether a line may be written over: only where somebody watches, and nothing else is collected from there.
    pub(crate) fn can_move(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
    }

    /// A line on the terminal in place of the last one; where [`can_move`](Self::can_move) says so.
    pub(crate) fn progress(&self, line: &str) {
        let mut stderr = std::io::stderr().lock();
        // A line that breaks could not be taken back.
        let width = terminal_size::terminal_size_of(&stderr).map_or(80, |(width, _)| usize::from(width.0));
        let line: String = format!("pcictl: {}", escaped(line)).chars().take(width.saturating_sub(1)).collect();
        let _ = write!(stderr, "{CLEAR_LINE}{line}").and_then(|()| stderr.flush());
    }

    /// The same with a part at its end that is always shown: what does not fit is cut from the middle, where the least is told.
    pub(crate) fn progress_with_clock(&self, line: &str, clock: &str) {
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        // The program's name, and the last column, which stays free.
        let room = width.saturating_sub("pcictl: ".len() + clock.chars().count() + 1);
        self.progress(&format!("{}{clock}", cut_middle(&escaped(line), room)));
    }

    /// Takes the last line of progress back.
    pub(crate) fn end_progress(&self) {
        if self.can_move() {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "{CLEAR_LINE}").and_then(|()| stderr.flush());
        }
    }

    /// A question on stderr, without a line's end.
    pub(crate) fn ask(&self, question: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nobody can answer what cannot be read, and no answer is a no.
        let _ = write!(stderr, "pcictl: {}", escaped(question)).and_then(|()| stderr.flush());
    }

    /// An error: one line on stderr, or a JSON document on stdout.
    pub fn error(&self, error: &Error) {
        if self.json {
            print(&json_text(&ErrorDocument { error }));
        } else {
            talk(&error.to_string());
            if let Some(hint) = error.next() {
                hint_line(hint);
            }
        }
    }
}

/// The document of the contract: the schema's number, then the report's own keys in their own order.
#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: u32,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a Error,
}

fn json_text<T: Serialize>(body: &T) -> String {
    // Reports are structs with string keys, which can always be written.
    let mut text = serde_json::to_string_pretty(&Document { schema: 1, body }).unwrap_or_default();
    text.push('\n');
    text
}

fn print(text: &str) {
    // Nobody is left to be told when stdout is closed.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A text with its start and its end if it has more than so many characters; the start is the longer part.
fn cut_middle(text: &str, room: usize) -> String {
    const CUT: &str = "...";
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(CUT.len());
    let end = kept / 4;
    let start: String = text.chars().take(kept - end).collect();
    let end: String = text.chars().skip(length - end).collect();
    format!("{start}{CUT}{end}")
}

fn hint_line(hint: &str) {
    let _ = writeln!(io::stderr().lock(), "hint: {}", escaped(hint));
}

fn talk(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let name = if stderr.is_terminal() { "pcictl:".bold().to_string() } else { "pcictl:".to_owned() };
    let _ = writeln!(stderr, "{name} {}", escaped(line));
}
