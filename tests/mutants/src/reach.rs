//! Which tests come to which mutants: only these can notice one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::copy::{Copy, Programs};

/// No test takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// A test that passes without a mutant.
#[derive(Deserialize, Serialize)]
pub struct Test {
    /// The program that it is in.
    program: PathBuf,
    name: String,
    /// How long it takes.
    usual: Duration,
    reached: BTreeSet<u32>,
}

/// The tests of src and those of the program, the quickest first.
pub struct Tests<'a> {
    copy: &'a Copy,
    root: &'a Path,
    /// Those of the rooms.
    lib: Vec<Test>,
    /// Those of the program.
    it: Vec<Test>,
}

impl<'a> Tests<'a> {
    /// Runs each test by itself, once, and sees which mutants it comes to, if that was not done before. A test that fails here
    /// without a mutant is told of, and not asked.
    pub fn record(copy: &'a Copy, root: &'a Path, programs: &Programs) -> Result<Self> {
        let mut tests = Self { copy, root, lib: Vec::new(), it: Vec::new() };
        let recorded = root.join("tests.json");
        if !recorded.exists() {
            let all = (tests.record_program(&programs.lib)?, tests.record_program(&programs.it)?);
            fs::write(&recorded, serde_json::to_vec(&all)?)?;
        }
        let damaged = || format!("{} is damaged", recorded.display());
        (tests.lib, tests.it) = serde_json::from_slice(&fs::read(&recorded)?).with_context(damaged)?;
        Ok(tests)
    }

    fn record_program(&self, program: &Path) -> Result<Vec<Test>> {
        let listed = Command::new(program).args(["--list", "--format", "terse"]).current_dir(self.root).output();
        let listed = listed.with_context(|| format!("cannot run {}", program.display()))?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        if names.is_empty() {
            bail!("{} lists no test", program.display());
        }
        let mut tests = Vec::new();
        for name in names {
            self.copy.record()?;
            self.pass(program, &[name], LONGEST)?;
            let reached = self.copy.reached()?;
            self.copy.switch_on(0)?;
            let begun = Instant::now();
            if self.pass(program, &[name], LONGEST)? {
                tests.push(Test {
                    program: program.to_owned(),
                    name: name.to_owned(),
                    usual: begun.elapsed(),
                    reached,
                });
            } else {
                eprintln!("{name} fails without a mutant: it is not asked");
            }
        }
        tests.sort_by_key(|test| test.usual);
        Ok(tests)
    }

    /// How many there are, those of the rooms and those of the program.
    pub fn count(&self) -> (usize, usize) {
        (self.lib.len(), self.it.len())
    }

    /// How long those of the rooms take that come to a mutant.
    pub fn time_of_rooms(&self, id: u32) -> Duration {
        time_of(&self.lib, id)
    }

    /// How long those of the program do.
    pub fn time_of_program(&self, id: u32) -> Duration {
        time_of(&self.it, id)
    }

    /// Whether any test comes to it.
    pub fn come_to(&self, id: u32) -> bool {
        self.lib.iter().chain(&self.it).any(|test| test.reached.contains(&id))
    }

    /// Whether those of the rooms notice it.
    pub fn of_rooms_notice(&self, id: u32) -> Result<bool> {
        self.some_fail(id, &self.lib)
    }

    /// Whether those of the program do.
    pub fn of_program_notice(&self, id: u32) -> Result<bool> {
        self.some_fail(id, &self.it)
    }

    /// A few at a time, as a program of tests ends with all of them, whatever becomes of the first.
    fn some_fail(&self, id: u32, tests: &[Test]) -> Result<bool> {
        /// As many as it runs side by side, and some more, as it has to start.
        const AT_ONCE: usize = 4;
        self.copy.switch_on(id)?;
        let tests: Vec<&Test> = tests.iter().filter(|test| test.reached.contains(&id)).collect();
        for now in tests.chunks(AT_ONCE) {
            let names: Vec<&str> = now.iter().map(|test| test.name.as_str()).collect();
            // A mutant may have made a loop endless.
            let limit = 4 * now.iter().map(|test| test.usual).sum::<Duration>() + Duration::from_secs(10);
            if !self.pass(&now[0].program, &names, limit)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether these tests pass in time, in whole seconds, and in 8 GiB of addresses.
    fn pass(&self, program: &Path, tests: &[&str], limit: Duration) -> Result<bool> {
        let mut child = Command::new("timeout")
            .args(["--kill-after=5", &limit.as_secs().to_string(), "prlimit", "--as=8589934592"])
            .arg(program)
            .args(["--quiet", "--exact"])
            .args(tests)
            .current_dir(self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run tests")?;
        Ok(child.wait()?.success())
    }
}

fn time_of(tests: &[Test], id: u32) -> Duration {
    tests.iter().filter(|test| test.reached.contains(&id)).map(|test| test.usual).sum()
}
