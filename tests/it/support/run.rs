//! Every run of the binary: what it is given, and all that it answers.
//!
//! A test states standard output, standard error and the status of a run, all of them; what it leaves out is nothing,
//! nothing and 0. A command that only looks must also leave every file of the tree, the run directory and the state
//! directory as it was, which is compared without being asked for.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::golden::diff;
use super::snapshot::Snapshot;
use super::{Tree, check_form, processes, scratch_directory};

/// What a stream must be.
#[derive(Clone)]
enum Expected {
    /// This text.
    Exactly(String),
    /// A text in which `[..]` stands for any part of a line, and a line `...` for any number of lines.
    Like(String),
    /// Whatever it is, the test looks at it itself.
    ForTheTest,
}

/// How the process must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Status(i32),
    Killed(Signal),
}

/// One run of pcictl, and what must come of it.
#[must_use = "nothing runs before check, json, text, traced, spawn or output"]
pub struct Run {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    tree: Option<PathBuf>,
    /// What the tree was when it was unpacked, if it is one that nobody may change.
    unpacked: Option<Arc<Snapshot>>,
    is_tree_given: bool,
    is_tree_watched: bool,
    run_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    stdin: Stdio,
    stdout: Expected,
    stderr: Expected,
    end: End,
    scratch: TempDir,
}

impl Run {
    /// With these arguments.
    pub fn new<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Self {
        Self {
            arguments: arguments.into_iter().map(|word| word.as_ref().to_owned()).collect(),
            environment: Vec::new(),
            tree: None,
            unpacked: None,
            is_tree_given: true,
            is_tree_watched: true,
            run_dir: None,
            state_dir: None,
            stdin: Stdio::null(),
            stdout: Expected::Exactly(String::new()),
            stderr: Expected::Exactly(String::new()),
            end: End::Status(0),
            scratch: scratch_directory(),
        }
    }

    /// With these arguments, a blank between any two of them.
    pub fn words(line: &str) -> Self {
        Self::new(line.split(' '))
    }

    /// More arguments.
    pub fn and<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// On a committed tree that all tests share.
    pub fn tree(self, name: &str) -> Self {
        self.on(Tree::shared(name))
    }

    /// On a tree of the test's own, or a shared one.
    pub fn on(mut self, tree: &Tree) -> Self {
        self.tree = Some(tree.path().to_owned());
        self.unpacked = tree.unpacked.clone();
        self
    }

    /// On a tree that the arguments name already.
    pub fn on_named(mut self, tree: &Tree) -> Self {
        self.is_tree_given = false;
        self.on(tree)
    }

    /// On a tree of so many files that the test compares it once with a [`Snapshot`], instead of after every run.
    pub fn on_big_tree(mut self, tree: &Path) -> Self {
        self.tree = Some(tree.to_owned());
        self.is_tree_watched = false;
        self
    }

    /// With this run directory; otherwise it is one that does not exist yet.
    pub fn run_dir(mut self, directory: &Path) -> Self {
        self.run_dir = Some(directory.to_owned());
        self
    }

    /// With this state directory; otherwise it is the one in the tree.
    pub fn state_dir(mut self, directory: &Path) -> Self {
        self.state_dir = Some(directory.to_owned());
        self
    }

    /// With this in its environment, which is the same on every machine otherwise.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Without this in its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Standard output must be this. The paths of the tree, the run directory and the state directory are written `@`,
    /// `@run` and `@state`.
    pub fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Expected::Exactly(text.into());
        self
    }

    /// Standard error must be this.
    pub fn stderr(mut self, text: impl Into<String>) -> Self {
        self.stderr = Expected::Exactly(text.into());
        self
    }

    /// Standard output varies (a pid, a time): `[..]` stands for any part of a line, a line `...` for any lines.
    pub fn stdout_like(mut self, pattern: impl Into<String>) -> Self {
        self.stdout = Expected::Like(pattern.into());
        self
    }

    /// Standard error varies: `[..]` stands for any part of a line, a line `...` for any lines.
    pub fn stderr_like(mut self, pattern: impl Into<String>) -> Self {
        self.stderr = Expected::Like(pattern.into());
        self
    }

    /// It must end with this status.
    pub fn status(mut self, status: i32) -> Self {
        self.end = End::Status(status);
        self
    }

    /// It must end by this signal.
    pub fn killed(mut self, signal: Signal) -> Self {
        self.end = End::Killed(signal);
        self
    }

    /// Runs it and compares all that comes of it.
    pub fn check(mut self) {
        self.run_and_compare();
    }

    /// The same, but the test looks at standard output itself, which must be one JSON document.
    pub fn json(self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    }

    /// The same, but standard output, which is too long to be written down, is for the test to compare with something.
    pub fn text(mut self) -> String {
        self.stdout = Expected::ForTheTest;
        self.run_and_compare()
    }

    /// Every system call of the run, a line each; standard output is whatever it is.
    pub fn traced(mut self) -> Vec<String> {
        let scratch = scratch_directory();
        let log = scratch.path().join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-s", "256", "-o"]).arg(&log).arg(env!("CARGO_BIN_EXE_pcictl"));
        self.stdout = Expected::ForTheTest;
        let before = self.look();
        let output = self.start(strace).wait_with_output().expect("strace ends");
        self.compare_files(before);
        self.compare(&output);
        let trace = fs::read_to_string(&log).expect("a trace: is strace installed?");
        // Lines of signals, ends and second halves are no calls; F_GETFD is what std's own debug builds ask at each close.
        let is_call = |line: &&str| !["+++ ", "--- ", "<... ", "F_GETFD"].iter().any(|word| line.contains(word));
        trace.lines().filter(is_call).map(str::to_owned).collect()
    }

    /// Starts it with a standard input that is open; what must come of it is compared at its end.
    pub fn spawn(mut self) -> Running {
        self.stdin = Stdio::piped();
        let child = self.start(binary());
        Running::new(child, self)
    }

    /// The same on a terminal, which gets both streams and is for the test to look at.
    pub fn spawn_on(mut self, terminal: impl Fn() -> Stdio) -> Running {
        self.stdin = Stdio::piped();
        let mut command = self.prepare(binary());
        Running::new(processes::start(command.stdout(terminal()).stderr(terminal())), self)
    }

    /// What it does, with nothing stated but that a look changes no file. For transcripts, which state it their way.
    pub fn output(&mut self) -> Output {
        let before = self.look();
        let output = self.start(binary()).wait_with_output().expect("it ends");
        self.compare_files(before);
        check_form(&output.stdout);
        output
    }

    /// Where its locks are.
    pub fn run_path(&self) -> PathBuf {
        self.run_dir.clone().unwrap_or_else(|| self.scratch.path().join("run"))
    }

    /// The program and all its arguments.
    pub fn command_line(mut self) -> Vec<OsString> {
        let command = self.prepare(binary());
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned).collect()
    }

    fn run_and_compare(&mut self) -> String {
        let output = self.output();
        self.compare(&output);
        self.plain(&output.stdout)
    }

    fn start(&mut self, command: Command) -> Child {
        let mut command = self.prepare(command);
        processes::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// The command with an environment of its own, no terminal, and no right to read what is closed to everybody.
    fn prepare(&mut self, mut command: Command) -> Command {
        if let Some(tree) = self.tree.as_ref().filter(|_| self.is_tree_given) {
            command.arg("--sysroot").arg(tree);
        }
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("PCICTL_RUN_DIR", self.run_path())
            .stdin(std::mem::replace(&mut self.stdin, Stdio::null()));
        if let Some(directory) = &self.state_dir {
            command.env("PCICTL_STATE_DIR", directory);
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // SAFETY: setsid, prctl and signal are async-signal-safe and touch nothing but the child's own session,
        // capabilities and signals.
        unsafe {
            command.pre_exec(|| {
                const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
                const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
                // Failure is fine: without root there is nothing to drop, and a session leader has no terminal to lose.
                libc::setsid();
                libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
                libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
                // Whoever runs the tests in the background has these ignored, and no shell can trap what was.
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        command
    }

    /// Whether it may leave something behind. Nothing is ever changed in a tree, so all but these only look.
    fn writes(&self) -> bool {
        let options = self.arguments.iter().take_while(|word| *word != "--");
        let is_dry = options.clone().any(|word| word == "-n" || word == "--dry-run");
        let mut words = options.skip_while(|word| word.as_encoded_bytes().starts_with(b"-"));
        !is_dry && words.next().is_some_and(|word| ["lock", "recover", "generate"].iter().any(|name| word == name))
    }

    /// All that a look must leave alone: the tree, and the directories of this run.
    fn look(&self) -> Option<(Arc<Snapshot>, Snapshot)> {
        let unpacked = || self.unpacked.clone().unwrap_or_else(|| self.look_at_tree().into());
        (!self.writes()).then(|| (unpacked(), self.look_at_directories()))
    }

    fn look_at_tree(&self) -> Snapshot {
        self.tree.as_deref().filter(|_| self.is_tree_watched).map(Snapshot::of).unwrap_or_default()
    }

    fn look_at_directories(&self) -> Snapshot {
        let others = [&self.run_dir, &self.state_dir].into_iter().flatten();
        others.fold(Snapshot::of(self.scratch.path()), |snapshot, directory| snapshot.and(directory))
    }

    fn compare_files(&self, before: Option<(Arc<Snapshot>, Snapshot)>) {
        let Some((tree, directories)) = before else { return };
        let mut changes = tree.changes(&self.look_at_tree());
        changes.extend(directories.changes(&self.look_at_directories()));
        assert!(changes.is_empty(), "{self} only looks, but\n{}", changes.join("\n"));
    }

    fn compare(&self, output: &Output) {
        check_form(&output.stdout);
        let (stdout, stderr) = (self.plain(&output.stdout), self.plain(&output.stderr));
        let end = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => End::Status(code),
            (None, signal) => End::Killed(signal.and_then(|signal| Signal::try_from(signal).ok()).expect("a signal")),
        };
        let mut wrong = Vec::new();
        for (name, expected, text) in [("stdout", &self.stdout, &stdout), ("stderr", &self.stderr, &stderr)] {
            match expected {
                Expected::Exactly(expected) if expected != text => {
                    wrong.push(format!("{name} (- expected, + got):\n{}", diff(expected, text)));
                }
                Expected::Like(pattern) if !is_like(pattern, text) => {
                    wrong.push(format!("{name} must be like\n{pattern}and is\n{text}"));
                }
                _ => {}
            }
        }
        if end != self.end {
            wrong.push(format!("it must end with {:?} and ended with {end:?}\n{stdout}{stderr}", self.end));
        }
        assert!(wrong.is_empty(), "{self}: {}", wrong.join("\n"));
    }

    /// A stream with the paths that are different every time replaced.
    fn plain(&self, stream: &[u8]) -> String {
        let mut text = String::from_utf8(stream.to_vec()).expect("text");
        let paths = [(self.state_dir.clone(), "@state"), (Some(self.run_path()), "@run"), (self.tree.clone(), "@")];
        for (path, word) in paths {
            if let Some(path) = path {
                text = text.replace(path.to_str().expect("text"), word);
            }
        }
        text
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self.arguments.iter().map(|word| word.to_string_lossy()).collect();
        write!(f, "pcictl {}", words.join(" "))
    }
}

/// The binary, or the one that tests/soak/arm has the tests try. Messages show the command line, in which its path would
/// differ between machines.
fn binary() -> Command {
    let program = std::env::var_os("PCICTL_TRIED");
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_pcictl").into()));
    command.arg0("pcictl");
    command
}

/// A run that goes on while the test does something else.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    run: Run,
    /// What was read before the end.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    is_over: bool,
}

impl Running {
    fn new(mut child: Child, run: Run) -> Self {
        Self { stdin: child.stdin.take(), child, run, stdout: Vec::new(), stderr: Vec::new(), is_over: false }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output, which must be this.
    pub fn says(mut self, line: &str) -> Self {
        let stream = self.child.stdout.as_mut().expect("a pipe");
        let said = read_line(stream);
        assert_eq!(String::from_utf8_lossy(&said), format!("{line}\n"), "{}", self.run);
        self.stdout.extend(said);
        self
    }

    /// Waits until it says on standard error that it waits for a lock.
    pub fn waits(mut self) -> Self {
        let said = read_line(self.child.stderr.as_mut().expect("a pipe"));
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains(": waiting for up to "), "{}: {text}", self.run);
        self.stderr.extend(said);
        self
    }

    /// Waits for a line of standard error, which must be this.
    pub fn tells(mut self, line: &str) -> Self {
        let said = read_line(self.child.stderr.as_mut().expect("a pipe"));
        assert_eq!(String::from_utf8_lossy(&said), format!("{line}\n"), "{}", self.run);
        self.stderr.extend(said);
        self
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).expect("a pid")), signal).expect("it can be signalled");
    }

    /// Reads no more of what it prints.
    pub fn close_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// Closes its standard input, waits for its end, and compares all that came of it.
    pub fn end(mut self) {
        self.stdin = None;
        self.finish();
    }

    /// Waits for its end, which something else than its standard input brings about, and compares all that came of it.
    pub fn end_by_itself(mut self) {
        self.finish();
    }

    /// Waits for pcictl itself, which leaves somebody behind who still has its standard streams.
    pub fn wait_for_the_process_only(&mut self) {
        let stdin = self.stdin.take();
        self.child.wait().expect("it ends");
        self.stdin = stdin;
    }

    fn finish(&mut self) {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        std::thread::scope(|scope| {
            scope.spawn(|| stderr.map(|mut stream| stream.read_to_end(&mut self.stderr).expect("its messages")));
            stdout.map(|mut stream| stream.read_to_end(&mut self.stdout).expect("its output"));
        });
        let status = self.child.wait().expect("it ends");
        self.is_over = true;
        let output =
            Output { status, stdout: std::mem::take(&mut self.stdout), stderr: std::mem::take(&mut self.stderr) };
        self.run.compare(&output);
    }
}

impl Drop for Running {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A byte at a time: what comes after the line is for whoever reads next.
fn read_line(stream: &mut impl Read) -> Vec<u8> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("a byte"), 1, "{}", String::from_utf8_lossy(&line));
        line.push(byte[0]);
    }
    line
}

/// Whether a text is like a pattern, see [`Run::stdout_like`].
pub fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.split('\n').collect(), text.split('\n').collect());
    are_lines_like(&pattern, &text)
}

fn are_lines_like(pattern: &[&str], text: &[&str]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ["...", rest @ ..] => (0..=text.len()).any(|skipped| are_lines_like(rest, &text[skipped..])),
        [line, rest @ ..] => {
            text.first().is_some_and(|first| is_line_like(line, first)) && are_lines_like(rest, &text[1..])
        }
    }
}

fn is_line_like(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once("[..]") else { return pattern == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    ends.into_iter().any(|at| is_line_like(rest, &line[at..]))
}

#[test]
fn a_pattern_is_like_what_it_leaves_open_and_nothing_else() {
    for (pattern, text, is) in [
        ("", "", true),
        ("a\n", "a\n", true),
        ("a\n", "a", false),
        ("pid [..] (a)\n", "pid 17 (a)\n", true),
        ("pid [..] (a)\n", "pid 17 (b)\n", false),
        ("[..]a[..]\n", "bab\n", true),
        ("a [..]\n", "a \nb\n", false),
        ("a\n...\nd\n", "a\nb\nc\nd\n", true),
        ("a\n...\nd\n", "a\nb\nc\n", false),
    ] {
        assert_eq!(is_like(pattern, text), is, "{pattern:?} and {text:?}");
    }
}

#[test]
fn a_run_that_does_anything_else_than_is_stated_fails() {
    let version = || Run::new(["-V"]).stdout(concat!("pcictl ", env!("CARGO_PKG_VERSION"), "\n"));
    version().check();
    for wrong in [version().stdout(""), version().stderr("anything\n"), version().status(1)] {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrong.check()));
        assert!(ended.is_err());
    }
}

#[test]
fn a_look_that_changes_a_file_is_found_out() {
    let (tree, run) = (Tree::load("vmd"), scratch_directory());
    let change: [&dyn Fn(); 4] = [
        &|| tree.edit("sys/bus/pci/drivers_autoprobe", "0\n"),
        &|| fs::create_dir(run.path().join("locks")).expect("a directory"),
        &|| fs::remove_dir(run.path().join("locks")).expect("it goes"),
        &|| {
            fs::write(run.path().join("new"), "").expect("a file");
            fs::remove_file(run.path().join("new")).expect("it goes");
        },
    ];
    for change in change {
        let look = Run::new(["list"]).on(&tree).run_dir(run.path());
        let before = look.look();
        assert!(before.is_some());
        change();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look.compare_files(before)));
        assert!(ended.is_err());
    }
}
