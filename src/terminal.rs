//! Prints reports: text for people, or one JSON document. The only place that writes to stdout and stderr.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::sync::OnceLock;

use colored::Colorize;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::error::{Error, plain};
use crate::host::text::escaped;

/// The last line of every dry run.
const DRY_RUN: &str = "dry run: nothing was changed\n";

/// To the start of the line, and erases what is there (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise.
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
            Self::Auto => "On a terminal, unless NO_COLOR is set or TERM is dumb",
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

impl Talk {
    /// Without any option.
    pub const PLAIN: Self = Self { json: false, quiet: false, verbose: false, color: ColorChoice::Auto };
}

/// Where words go: data to stdout, talk to stderr.
#[derive(Debug)]
pub struct Output {
    talk: Talk,
    /// The first failure to print a report.
    lost: OnceLock<io::Error>,
    /// What is printed while somebody watches, until it is compared with what was printed before.
    frame: RefCell<Option<Frame>>,
}

/// What one look of several has to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The report.
    shown: Vec<u8>,
    /// Talk.
    said: Vec<String>,
}

impl Frame {
    /// Adds a line of talk.
    pub(crate) fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
}

impl ColorChoice {
    /// Whether a stream gets color. An empty NO_COLOR counts as not set (no-color.org).
    fn allows(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                is_terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
            }
        }
    }
}

impl Output {
    /// Set up as the options say.
    pub fn new(talk: Talk) -> Self {
        Self { talk, lost: OnceLock::new(), frame: RefCell::default() }
    }

    /// Whether the operator asked for details.
    pub(crate) fn is_verbose(&self) -> bool {
        self.talk.verbose
    }

    /// Whether reports are JSON documents.
    pub(crate) fn is_json(&self) -> bool {
        self.talk.json
    }

    /// Prints a report as JSON, or what `text` makes of it. A failure is recorded, because what was done stays done.
    pub(crate) fn report<T: Serialize>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        if self.talk.json {
            self.print(&json_text(report));
        } else {
            self.color_stdout();
            self.print(&text(report));
        }
    }

    /// Like [`report`](Self::report), for a report so long that it must not be held twice.
    pub(crate) fn stream<T: Serialize>(&self, report: &T, text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>) {
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            // Memory can be written to.
            let _ = self.write(report, text, &mut frame.shown);
            return;
        }
        let mut stdout = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        let written = self.write(report, text, &mut stdout);
        self.record(written.and_then(|()| stdout.flush()));
        // What could not be written is not tried again.
        let _ = stdout.into_parts();
    }

    fn write<T: Serialize>(
        &self,
        report: &T,
        text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
        mut out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.talk.json {
            serde_json::to_writer_pretty(&mut out, &Document { schema: 1, body: report })?;
            return writeln!(out);
        }
        self.color_stdout();
        text(report, out)
    }

    /// From here on nothing is printed, but kept for a [`Frame`].
    pub(crate) fn begin_frame(&self) {
        self.frame.replace(Some(Frame::default()));
    }

    /// What would have been printed since.
    pub(crate) fn end_frame(&self) -> Frame {
        self.frame.take().unwrap_or_default()
    }

    /// Prints what a look has to show, unless it is what the last one had: on a terminal in its place, elsewhere after it.
    /// False if nobody reads it any more.
    pub(crate) fn show_frame(&self, frame: &Frame, last: Option<&Frame>) -> bool {
        if last == Some(frame) {
            return true;
        }
        let mut stdout = io::stdout().lock();
        let is_moving =
            !self.talk.json && stdout.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let text = if is_moving {
            let size = terminal_size::terminal_size_of(&stdout);
            on_screen(frame, size.map_or(24, |(_, height)| usize::from(height.0)), last.is_none())
        } else {
            let old = last.map(|last| last.said.as_slice()).unwrap_or_default();
            frame.said.iter().filter(|line| !old.contains(line)).for_each(|line| self.talk(line));
            let between: &[u8] = if last.is_some() && !self.talk.json { b"\n" } else { b"" };
            [between, &frame.shown].concat()
        };
        let written = stdout.write_all(&text).and_then(|()| stdout.flush());
        let is_read = written.is_ok();
        self.record(written);
        is_read
    }

    /// Ends the text of a dry run.
    pub(crate) fn end_dry_run(&self) {
        if !self.talk.json {
            self.print(DRY_RUN);
        }
    }

    /// Records that printing failed. A closed pipe is not a failure: nobody reads any more.
    pub fn record(&self, written: io::Result<()>) {
        if let Err(error) = written {
            if error.kind() != io::ErrorKind::BrokenPipe {
                // The first failure is the one to report.
                let _ = self.lost.set(error);
            }
        }
    }

    /// Whether everything could be printed.
    ///
    /// # Errors
    /// Why the first report that was lost could not be.
    pub fn written(&self) -> io::Result<()> {
        self.lost.get().map_or(Ok(()), |error| Err(io::Error::new(error.kind(), plain(error))))
    }

    /// Like [`report`](Self::report), for what a quiet user does not want to see.
    pub(crate) fn outcome<T: Serialize>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        if self.talk.json || !self.talk.quiet {
            self.report(report, text);
        }
    }

    /// A line of talk on stderr.
    pub(crate) fn say(&self, line: &str) {
        if !self.talk.quiet {
            self.talk(line);
        }
    }

    /// A line of talk that is left out where nobody takes it in, for whoever must not wait.
    pub(crate) fn say_without_waiting(&self, line: &str) {
        let stderr = io::stderr();
        let mut polled = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            self.say(line);
        }
    }

    /// A line of talk for those who asked for more.
    pub(crate) fn detail(&self, line: &str) {
        if self.talk.verbose {
            self.talk(line);
        }
    }

    /// The columns of the terminal that reports go to as text; none if they go elsewhere.
    pub(crate) fn columns(&self) -> Option<usize> {
        let stdout = io::stdout();
        let is_text = !self.talk.json && stdout.is_terminal();
        is_text.then(|| terminal_size::terminal_size_of(&stdout))?.map(|(width, _)| usize::from(width.0))
    }

    /// Whether a line may be written over: only where somebody watches, and nothing else is collected from there.
    pub(crate) fn can_move(&self) -> bool {
        !self.talk.quiet && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
    }

    /// A line on the terminal in place of the last one; where [`can_move`](Self::can_move) says so.
    pub(crate) fn progress(&self, line: &str) {
        let mut stderr = std::io::stderr().lock();
        // A line that breaks could not be taken back.
        let width = terminal_size::terminal_size_of(&stderr).map_or(80, |(width, _)| usize::from(width.0));
        let line = shortened(&format!("pcictl: {}", escaped(line)), width.saturating_sub(1));
        let _ = write!(stderr, "{CLEAR_LINE}{line}").and_then(|()| stderr.flush());
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

    /// An error: one line on stderr and one for its hint, or a JSON document on stdout.
    pub fn error(&self, error: &Error) {
        if self.talk.json {
            self.print(&json_text(&ErrorDocument { error }));
            return;
        }
        self.talk(&error.to_string());
        if let Some(hint) = error.next() {
            self.line_to_stderr("hint:", hint);
        }
    }

    fn print(&self, text: &str) {
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            frame.shown.extend_from_slice(text.as_bytes());
            return;
        }
        let mut stdout = io::stdout().lock();
        self.record(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    }

    fn talk(&self, line: &str) {
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            frame.say(line);
            return;
        }
        self.line_to_stderr("pcictl:", line);
    }

    fn line_to_stderr(&self, label: &str, line: &str) {
        let mut stderr = io::stderr().lock();
        colored::control::set_override(self.talk.color.allows(stderr.is_terminal()));
        // A closed stderr has no reader.
        let _ = writeln!(stderr, "{} {}", label.bold(), escaped(line));
    }

    /// Reports are painted for stdout, whatever stderr is.
    fn color_stdout(&self) {
        colored::control::set_override(self.talk.color.allows(io::stdout().is_terminal()));
    }
}

/// A frame as it is drawn: at the top of the screen, what does not fit counted in a last line. Long lines end at the edge, as
/// the terminal does not wrap them meanwhile (DECAWM); all else is as it was when the text ends, whatever ends the program.
fn on_screen(frame: &Frame, height: usize, is_first: bool) -> Vec<u8> {
    const HOME: &[u8] = b"\x1b[H";
    const CLEAR_ALL: &[u8] = b"\x1b[2J";
    const CLEAR_REST: &[u8] = b"\x1b[J";
    const CLEAR_END: &[u8] = b"\x1b[K";
    let said: Vec<String> = frame.said.iter().map(|line| format!("pcictl: {}", escaped(line))).collect();
    let shown = frame.shown.split(|byte| *byte == b'\n');
    let shown = shown.take(frame.shown.iter().filter(|byte| **byte == b'\n').count());
    let mut lines: Vec<Vec<u8>> = shown.map(<[u8]>::to_vec).collect();
    lines.extend(said.into_iter().map(String::into_bytes));
    let room = height.saturating_sub(1).max(2);
    if lines.len() > room {
        let more = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(format!("and {more} more lines").into_bytes());
    }
    let mut text = [if is_first { CLEAR_ALL } else { b"" }, HOME, b"\x1b[?7l"].concat();
    for line in lines {
        text.extend_from_slice(&line);
        text.extend_from_slice(CLEAR_END);
        text.push(b'\n');
    }
    text.extend_from_slice(CLEAR_REST);
    text.extend_from_slice(b"\x1b[?7h");
    text
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

/// A line of at most so many characters: what is cut is the middle, as numbers stand at the end.
fn shortened(line: &str, width: usize) -> String {
    const END: usize = 16;
    let characters: Vec<char> = line.chars().collect();
    if characters.len() <= width || width < 2 * END {
        return characters.into_iter().take(width).collect();
    }
    let (start, end) = (&characters[..width - END - 3], &characters[characters.len() - END..]);
    start.iter().chain(&['.'; 3]).chain(end).collect()
}

fn json_text<T: Serialize>(body: &T) -> String {
    // Reports are structs with string keys, which can always be written.
    let mut text = serde_json::to_string_pretty(&Document { schema: 1, body }).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen_and_leaves_the_terminal_as_it_was() {
        let frame = Frame { shown: b"a\nb\nc\nd\n".to_vec(), said: vec!["hint".to_owned()] };
        let text = |height, is_first| String::from_utf8(on_screen(&frame, height, is_first)).unwrap();
        let (long, short) = (text(24, true), text(4, false));
        assert!(long.starts_with("\x1b[2J\x1b[H") && long.contains("d\x1b[K\npcictl: hint\x1b[K\n"), "{long:?}");
        assert_eq!((short.matches('\n').count(), short.contains("and 3 more lines")), (3, true), "{short:?}");
        for text in [long, short] {
            assert!(text.contains("\x1b[?7l") && text.ends_with("\x1b[?7h"), "{text:?}");
        }
    }

    #[test]
    fn a_line_of_progress_keeps_its_start_and_its_end() {
        let line = "0000:18:00.0: waiting for pid 9523 (pcictl lock 18:00.0 -- sleep 12)  2 s of 30 s";
        let short = shortened(line, 60);
        assert_eq!(short, "0000:18:00.0: waiting for pid 9523 (pcict...12)  2 s of 30 s");
        assert_eq!(short.len(), 60);
        assert_eq!((shortened(line, 200).as_str(), shortened(line, 9).as_str()), (line, &line[..9]));
    }
}
