//! Reports, talk, progress and questions, each on its stream: data to stdout, talk to stderr.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use colored::Colorize;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::error::{Error, plain};
use crate::host::clock::{rfc3339, time_of_day};
use crate::host::text::escaped;
use crate::terminal::color::{ColorChoice, is_dumb};
use crate::terminal::document::{Circumstances, Document, Kernel};
use crate::terminal::event::Event;
use crate::terminal::frame::{Frame, on_screen};
use crate::terminal::live::{Activity, LiveLines};
use crate::terminal::taken_back;

/// The last line of every dry run.
const DRY_RUN: &str = "dry run: nothing was changed\n";

/// How to talk.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// JSON documents on stdout instead of text.
    pub json: bool,
    /// What happens, as JSON on stdout while it happens, and the report as the last line.
    pub events: bool,
    /// Errors only.
    pub quiet: bool,
    /// Details, too.
    pub verbose: bool,
    /// When to color.
    pub color: ColorChoice,
}

impl Talk {
    /// Without any option.
    pub const PLAIN: Self = Self { json: false, events: false, quiet: false, verbose: false, color: ColorChoice::Auto };
}

/// Where words go: data to stdout, talk to stderr.
#[derive(Debug)]
pub struct Output {
    talk: Talk,
    circumstances: RefCell<Circumstances>,
    live: RefCell<LiveLines>,
    /// Events that nobody took in.
    dropped: RefCell<usize>,
    /// The first failure to print a report.
    lost: OnceLock<io::Error>,
    /// What is printed while somebody watches, until it is compared with what was printed before.
    frame: RefCell<Option<Frame>>,
}

impl Output {
    /// Set up as the options say.
    pub fn new(talk: Talk) -> Self {
        Self {
            talk,
            circumstances: RefCell::new(Circumstances::now()),
            live: RefCell::default(),
            dropped: RefCell::default(),
            lost: OnceLock::new(),
            frame: RefCell::default(),
        }
    }

    /// The same, but all that goes to stdout is kept, for tests.
    #[must_use]
    pub fn keeping(talk: Talk) -> Self {
        let output = Self::new(talk);
        output.begin_frame();
        output
    }

    /// What was kept.
    pub fn kept(&self) -> Vec<u8> {
        self.end_frame().shown
    }

    /// Whether the operator asked for details.
    pub(crate) fn is_verbose(&self) -> bool {
        self.talk.verbose
    }

    /// Whether reports are JSON documents.
    pub(crate) fn is_json(&self) -> bool {
        self.talk.json || self.talk.events
    }

    /// Which kernel documents speak of.
    pub(crate) fn set_kernel(&self, kernel: Kernel) {
        self.circumstances.borrow_mut().kernel = kernel;
    }

    /// The operation that documents and events speak of from now on.
    pub(crate) fn set_operation(&self, id: &str) {
        self.circumstances.borrow_mut().operation = Some(id.to_owned());
    }

    /// Whether something was changed so far and stays so.
    pub(crate) fn set_changed(&self, changed: bool) {
        self.circumstances.borrow_mut().changed = changed;
    }

    /// What was last said of that.
    pub(crate) fn has_changed(&self) -> bool {
        self.circumstances.borrow().changed
    }

    /// Prints a report as JSON, or what `text` makes of it. A failure is recorded, because what was done stays done.
    pub(crate) fn report<T: Document>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        self.stream(report, |report, out| out.write_all(text(report).as_bytes()));
    }

    /// Like [`report`](Self::report), for a report so long that it must not be held twice.
    pub(crate) fn stream<T: Document>(&self, report: &T, text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>) {
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            // Memory can be written to.
            let _ = self.write(report, text, &mut frame.shown);
            return;
        }
        draw(&[]);
        let mut stdout = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        let written = self.write(report, text, &mut stdout);
        self.record(written.and_then(|()| stdout.flush()));
        // What could not be written is not tried again.
        let _ = stdout.into_parts();
    }

    fn write<T: Document>(
        &self,
        report: &T,
        text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if let Some(changed) = report.changed() {
            self.set_changed(changed);
        }
        if self.talk.events {
            let document = self.circumstances.borrow().line(report);
            return writeln!(out, "{}", self.event_line(&Event::Report, Some(&document)));
        }
        if self.talk.json {
            return self.circumstances.borrow().write(report, out);
        }
        self.color_stdout();
        text(report, out)
    }

    /// Like [`report`](Self::report), for what a quiet user does not want to see.
    pub(crate) fn outcome<T: Document>(&self, report: &T, text: impl FnOnce(&T) -> String) {
        if self.is_json() || !self.talk.quiet {
            self.report(report, text);
        }
    }

    /// Ends the text of a dry run.
    pub(crate) fn end_dry_run(&self) {
        if !self.is_json() {
            self.print(DRY_RUN);
        }
    }

    /// From here on nothing is printed, but kept for a [`Frame`].
    pub(crate) fn begin_frame(&self) {
        self.circumstances.borrow_mut().began = SystemTime::now();
        self.frame.replace(Some(Frame::default()));
    }

    /// What would have been printed since.
    pub(crate) fn end_frame(&self) -> Frame {
        self.frame.take().unwrap_or_default()
    }

    /// Prints what a look has to show, unless it is what the last one had: on a terminal in its place, elsewhere after it.
    /// False if nobody reads it any more.
    pub(crate) fn show_frame(&self, frame: &Frame, last: Option<&Frame>) -> bool {
        if last.is_some_and(|last| frame.is_like(last)) {
            return true;
        }
        let mut stdout = io::stdout().lock();
        let is_moving = !self.talk.json && stdout.is_terminal() && !is_dumb();
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

    /// A line of talk on stderr.
    pub(crate) fn say(&self, line: &str) {
        if !self.talk.quiet {
            self.talk(line);
        }
    }

    /// A line of talk that is left out where nobody takes it in, for whoever must not wait.
    pub(crate) fn say_without_waiting(&self, line: &str) {
        if takes_more(io::stderr()) {
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
        let is_text = !self.is_json() && stdout.is_terminal();
        is_text.then(|| terminal_size::terminal_size_of(&stdout))?.map(|(width, _)| usize::from(width.0))
    }

    /// Whether a line may be written over: only where somebody watches, and nothing else is collected from there.
    pub(crate) fn can_move(&self) -> bool {
        !self.talk.quiet && !self.talk.events && io::stderr().is_terminal() && io::stdout().is_terminal() && !is_dumb()
    }

    /// Something has gone on for so long already, and does at most for so long: a line that is kept up to date on a terminal,
    /// and a line from time to time in a log.
    pub(crate) fn goes_on(&self, activity: Activity, text: String, elapsed: Duration, limit: Option<Duration>) {
        let now = Instant::now();
        let since = now.checked_sub(elapsed).unwrap_or(now);
        self.live.borrow_mut().set(activity, text, since, limit);
        self.tick();
    }

    /// To be called about twice a second while something goes on.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        if self.can_move() {
            let size = terminal_size::terminal_size_of(io::stderr());
            let size = size.map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
            draw(&self.live.borrow().on_screen(now, size));
            return;
        }
        let due = self.live.borrow_mut().due(now);
        for (activity, elapsed, line) in due {
            self.say_without_waiting(&self.with_time(&line));
            let (step, undo) = match activity {
                Activity::Step(step) => (step, false),
                Activity::Undo(step) => (step, true),
                Activity::Lock | Activity::Devices => continue,
            };
            self.event(&Event::StepRunning { step: step + 1, undo, seconds: elapsed.as_secs_f64() });
        }
    }

    /// It goes on no more.
    pub(crate) fn is_over(&self, activity: Activity) {
        let told = self.live.borrow_mut().remove(activity, Instant::now());
        if self.can_move() {
            self.tick();
        } else if let Some(line) = told {
            self.say_without_waiting(&self.with_time(&line));
        }
    }

    /// Nothing more is said of it here: another process goes on with it.
    pub(crate) fn forget(&self, activity: Activity) {
        self.live.borrow_mut().remove(activity, Instant::now());
        draw(&[]);
    }

    /// A line as a log has it: what it is about is not over yet.
    pub(crate) fn with_time(&self, line: &str) -> String {
        format!("{} {line}", time_of_day(SystemTime::now()))
    }

    /// Tells those who want to know of everything while it happens. Nobody waits for a reader that is slow, as locks are held
    /// meanwhile: what it does not take in is counted in the next event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if !self.talk.events {
            return;
        }
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            frame.shown.extend_from_slice(format!("{}\n", self.event_line(event, None)).as_bytes());
            return;
        }
        let stdout = io::stdout();
        if !takes_more(&stdout) {
            *self.dropped.borrow_mut() += 1;
            return;
        }
        let line = self.event_line(event, None);
        let mut stdout = stdout.lock();
        self.record(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
    }

    /// The object of an event, without the end of its line; the last one has a document.
    fn event_line(&self, event: &Event<'_>, document: Option<&str>) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            operation_id: Option<&'a str>,
            dropped: usize,
            #[serde(flatten)]
            event: &'a Event<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            report: Option<&'a serde_json::value::RawValue>,
        }
        let report = document.and_then(|document| serde_json::from_str(document).ok());
        let circumstances = self.circumstances.borrow();
        let time = rfc3339(SystemTime::now());
        let operation_id = circumstances.operation.as_deref();
        let line = Line { time, operation_id, dropped: self.dropped.take(), event, report };
        // A struct with string keys can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// A question on stderr, without a line's end.
    pub(crate) fn ask(&self, question: &str) {
        // Nobody can answer what cannot be read, and no answer is a no.
        to_stderr(&format!("pcictl: {}", escaped(question)));
    }

    /// An error: one line on stderr and one for its hint, or a JSON document on stdout.
    pub fn error(&self, error: &Error) {
        if self.is_json() {
            self.report(&ErrorDocument { error }, |_| String::new());
            return;
        }
        self.talk(&error.to_string());
        if let Some(hint) = error.next() {
            self.line_to_stderr("hint:", hint);
        }
    }

    /// Text on stdout that is the same with and without JSON.
    pub(crate) fn print(&self, text: &str) {
        if let Some(frame) = self.frame.borrow_mut().as_mut() {
            frame.shown.extend_from_slice(text.as_bytes());
            return;
        }
        draw(&[]);
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
        draw(&[]);
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

/// Whether a stream takes a line without making its writer wait.
fn takes_more(stream: impl AsFd) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Draws live lines in the place of those that are there. The cursor stays at their end's beginning, so that what is typed
/// meanwhile breaks no line.
fn draw(lines: &[String]) {
    let drawn = taken_back::drawn();
    if drawn == 0 && lines.is_empty() {
        return;
    }
    let mut text = String::from_utf8_lossy(taken_back::text(drawn)).into_owned();
    text.push_str(&lines.join("\n"));
    if !lines.is_empty() {
        text.push('\r');
    }
    taken_back::will_draw(lines.len());
    to_stderr(&text);
}

fn to_stderr(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut stderr = io::stderr().lock();
    // A closed stderr has no reader.
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// An error as a document.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ErrorDocument<'a> {
    error: &'a Error,
}

impl Document for ErrorDocument<'_> {
    const KIND: &'static str = "error";
}
