//! Golden tests: transcripts of the program, kept in `tests/golden/*.txt` and compared whole.
//!
//! A transcript reads like a terminal, with every stream and the status spelled out:
//!
//! ```text
//! # Why this case is here.
//! $ pcictl show 0000:99:00.0 --sysroot @gpu-server
//!   what it wrote to standard output
//! 2> what it wrote to standard error
//! ? 3
//! ```
//!
//! - `$` starts a case. It is split like a shell would, quotes included, and nothing else of a shell is there;
//!   `NAME=value` words before `pcictl` go to its environment.
//! - `@NAME` is the unpacked tree `tests/trees/NAME.tree`, alone or at the start of a path (`@NAME/sys`); `@run` is the
//!   run directory, fresh for every case. The output shows the same words where the program printed those paths.
//! - `?` with the exit status ends the case. Between `$` and `?` an empty line is an empty line of standard output.
//! - What differs from run to run in the head of a JSON document (version, kernel, times) is left out.
//! - `\ no newline` follows a line that ended without one.
//! - Everything outside cases stays as it is.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it golden` rewrites the files with what the program does now; read the diff before you
//! commit it.

use std::fmt::Write;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

use super::dump::Order;
use super::run::Run;
use super::{Tree, scratch_directory, tree_names};

/// A piece of a transcript file.
enum Piece<'a> {
    /// A line outside cases.
    Prose(&'a str),
    /// A command line; what was expected of it is not kept, as whole files are compared.
    Case(&'a str),
}

/// Runs transcripts on the trees that all tests share.
#[derive(Default)]
pub struct Golden {
    order: Order,
}

impl Golden {
    /// On trees whose names are made in that order.
    pub fn in_order(order: Order) -> Self {
        Self { order }
    }

    /// Runs every case of a transcript file. The error is a diff to read, or what is wrong with the file.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let expected = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let actual = self.run(&expected).map_err(|what| format!("{}: {what}", path.display()))?;
        if expected == actual {
            return Ok(());
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            return fs::write(path, actual).map_err(|error| format!("{}: {error}", path.display()));
        }
        Err(format!(
            "{}: the program does something else now (- expected, + done); UPDATE_GOLDEN=1 takes it over\n{}",
            path.display(),
            diff(&expected, &actual)
        ))
    }

    /// The transcript as the program makes it now.
    pub fn run(&self, transcript: &str) -> Result<String, String> {
        let mut actual = String::new();
        for piece in parse(transcript)? {
            match piece {
                Piece::Prose(line) => actual.push_str(line),
                Piece::Case(line) => {
                    writeln!(actual, "$ {line}").expect("a string");
                    actual.push_str(&self.run_case(line).map_err(|what| format!("{what}: $ {line}"))?);
                    continue;
                }
            }
            actual.push('\n');
        }
        Ok(actual)
    }

    fn run_case(&self, line: &str) -> Result<String, String> {
        let scratch = scratch_directory();
        let run_dir = scratch.path().join("run");
        fs::create_dir(&run_dir).map_err(|error| format!("no run directory: {error}"))?;
        let mut shown = vec![(run_dir.display().to_string(), "@run".to_owned())];
        let mut trees = Vec::new();
        let mut words = Vec::new();
        for word in split(line)? {
            words.push(self.expand(word, &run_dir, &mut trees)?);
        }
        let program = words.iter().position(|word| word == "pcictl").ok_or("no pcictl in it")?;
        let mut run = Run::new(&words[program + 1..]).run_dir(&run_dir);
        for assignment in &words[..program] {
            let (name, value) = assignment.split_once('=').ok_or(format!("'{assignment}' is no NAME=value"))?;
            run = run.env(name, value);
        }
        for (name, tree) in trees {
            shown.push((tree.path().display().to_string(), format!("@{name}")));
            run = run.on_named(tree);
        }
        let output = run.output();
        let mut text = render(&output);
        for (path, word) in shown {
            text = text.replace(&path, &word);
        }
        Ok(text)
    }

    /// Replaces `@NAME` at the start of a word, or after `=` in one, by the directory it stands for.
    fn expand(&self, word: String, run: &Path, trees: &mut Vec<(String, &'static Tree)>) -> Result<String, String> {
        let Some(at) = word.find('@').filter(|at| *at == 0 || word[..*at].ends_with('=')) else {
            return Ok(word);
        };
        let rest = &word[at + 1..];
        let (name, tail) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if name == "run" {
            return Ok(format!("{}{}{tail}", &word[..at], run.display()));
        }
        if !tree_names().iter().any(|known| known == name) {
            return Err(format!("there is no tree @{name}"));
        }
        let tree = Tree::shared_in_order(name, self.order);
        let path = tree.path().display();
        let expanded = format!("{}{path}{tail}", &word[..at]);
        trees.push((name.to_owned(), tree));
        Ok(expanded)
    }
}

/// The pieces of a transcript. Expected output is passed over, but it must be well-formed.
fn parse(transcript: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut open: Option<usize> = None;
    for (index, line) in transcript.lines().enumerate() {
        let number = index + 1;
        match (open, line.strip_prefix("$ ")) {
            (None, Some(command)) => {
                pieces.push(Piece::Case(command));
                open = Some(number);
            }
            (None, None) => pieces.push(Piece::Prose(line)),
            (Some(start), Some(_)) => {
                return Err(format!("line {start}: the case has no '?' line with its status"));
            }
            (Some(_), None) if line.starts_with('?') => open = None,
            (Some(_), None) => {
                let is_output = line.is_empty() || line.starts_with("  ") || line.starts_with("2>");
                if !is_output && !line.starts_with('\\') {
                    return Err(format!("line {number}: neither output nor status: {line}"));
                }
            }
        }
    }
    match open {
        Some(start) => Err(format!("line {start}: the case has no '?' line with its status")),
        None => Ok(pieces),
    }
}

/// Output and status as a transcript shows them.
fn render(output: &Output) -> String {
    let mut text = String::new();
    for (mark, stream) in [("  ", &output.stdout), ("2> ", &output.stderr)] {
        let stream = String::from_utf8_lossy(stream);
        for line in stream.split_inclusive('\n').filter(|line| !differs_from_run_to_run(line)) {
            let content = line.strip_suffix('\n');
            text.push_str(format!("{mark}{}", content.unwrap_or(line)).trim_end());
            text.push('\n');
            if content.is_none() {
                text.push_str("\\ no newline\n");
            }
        }
    }
    match (output.status.code(), output.status.signal()) {
        (Some(code), _) => writeln!(text, "? {code}"),
        (None, signal) => writeln!(text, "? killed by signal {}", signal.unwrap_or_default()),
    }
    .expect("a string");
    text
}

/// Whether a line of a JSON document's head says when, by which version or on which kernel it was made.
fn differs_from_run_to_run(line: &str) -> bool {
    let key = line.strip_prefix("  \"").and_then(|rest| rest.split_once("\": ")).map(|(key, _)| key);
    key.is_some_and(|key| ["version", "kernel_release", "boot_id", "began", "ended"].contains(&key))
}

/// Splits a command line at blanks; single and double quotes hold a word together.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(end), _) if character == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is left open".into()) } else { Ok(words) }
}

/// A line diff with two lines of context; the command line a change belongs to is shown with it.
pub fn diff(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    // The longest common subsequence from every pair of positions to the ends.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let mut text = String::new();
    let mut shown_to = 0;
    for (at, _) in lines.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ') {
        let from = at.saturating_sub(2).max(shown_to);
        let command = lines[..from].iter().rposition(|(_, line)| line.starts_with("$ "));
        if let Some(command) = command.filter(|command| *command >= shown_to) {
            writeln!(text, " {}\n ...", lines[command].1).expect("a string");
        }
        let to = (at + 3).min(lines.len()).max(shown_to);
        for (mark, line) in &lines[from..to] {
            writeln!(text, "{mark}{line}").expect("a string");
        }
        shown_to = to;
    }
    text
}
