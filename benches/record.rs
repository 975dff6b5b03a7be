//! What came of earlier runs of the benches: ratios, for of anything else nothing can be told from machine to machine.
//!
//! They are in benches/recorded.tsv, a line each: the bench, what was measured, the ratio. `benches/processes` has its own there.
//! A run fails that is a quarter worse; `cargo bench --bench NAME -- --record` writes down what comes of it instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// So much more than what was recorded is worse, on machines that do other things meanwhile.
const WORSE: f64 = 1.25;

/// The ratios of one bench, as they were and as they are.
pub struct Record {
    bench: &'static str,
    was: BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
}

impl Record {
    /// Of the bench with this name.
    pub fn of(bench: &'static str) -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let was = text.lines().filter_map(|line| line.strip_prefix(bench)?.strip_prefix('\t')?.split_once('\t'));
        let was = was.filter_map(|(what, ratio)| Some((what.to_owned(), ratio.parse().ok()?))).collect();
        Self { bench, was, now: BTreeMap::new() }
    }

    /// Takes note of a ratio; in words, with what it was.
    pub fn note(&mut self, what: &str, ratio: f64) -> String {
        self.now.insert(what.to_owned(), ratio);
        match self.was.get(what) {
            Some(was) => format!("{ratio:.2} (was {was:.2})"),
            None => format!("{ratio:.2} (not recorded)"),
        }
    }

    /// Says what is worse than it was, and whether nothing is; with `--record` it writes down what is instead.
    pub fn end(self) -> bool {
        if is_recording() {
            self.write();
            return true;
        }
        let is_worse = |(what, now): &(&String, &f64)| self.was.get(*what).is_some_and(|was| **now > was * WORSE);
        let worse: Vec<_> = self.now.iter().filter(is_worse).collect();
        for (what, now) in &worse {
            println!("worse than recorded: {what}: {now:.2}, was {:.2}", self.was[*what]);
        }
        worse.is_empty()
    }

    /// Those of others stay.
    fn write(&self) {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let is_new = |line: &&str| {
            let mut fields = line.split('\t');
            fields.next() == Some(self.bench) && fields.next().is_some_and(|what| self.now.contains_key(what))
        };
        let mut lines: Vec<String> = text.lines().filter(|line| !is_new(line)).map(str::to_owned).collect();
        lines.extend(self.now.iter().map(|(what, ratio)| format!("{}\t{what}\t{ratio:.3}", self.bench)));
        lines.sort();
        fs::write(path(), lines.join("\n") + "\n").expect("the record is written");
    }
}

/// Whether this run is to be written down.
pub fn is_recording() -> bool {
    std::env::args().any(|argument| argument == "--record")
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/recorded.tsv")
}
