//! The copy of the repository that the mutants are written into, and its programs of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::edit;
use crate::list::Mutant;
use crate::places;

const SWITCH: &str = r#"//! Which mutant is switched on.

use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Instead of a number: none is, and which are come to is written down.
const RECORD: u32 = u32::MAX;

/// Whether it is this one.
pub fn is(id: u32) -> bool {
    static ON: OnceLock<u32> = OnceLock::new();
    let read = || std::fs::read_to_string(env!("PCICTL_MUTANT")).ok().and_then(|text| text.trim().parse().ok());
    let on = *ON.get_or_init(|| read().unwrap_or_default());
    if on == RECORD {
        write_down(id);
    }
    on == id
}

/// A byte for each, at once: the process may be killed.
fn write_down(id: u32) {
    static SEEN: [AtomicBool; 16384] = [const { AtomicBool::new(false) }; 16384];
    if SEEN.get(id as usize).is_some_and(|seen| !seen.swap(true, Ordering::Relaxed)) {
        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(concat!(env!("PCICTL_MUTANT"), ".reached")) {
            let _ = file.write_at(b"1", u64::from(id));
        }
    }
}
"#;

/// What is written instead of a mutant's number to have it written down which are come to.
const RECORD: u32 = u32::MAX;

/// A copy of the repository.
pub struct Copy {
    root: PathBuf,
    /// The files as they were.
    originals: BTreeMap<String, String>,
}

/// The programs that were built.
#[derive(Clone, Deserialize, Serialize)]
pub struct Programs {
    /// The tests in src.
    pub lib: PathBuf,
    /// Those of the program.
    pub it: PathBuf,
}

/// What a build says: the programs, or the lines that do not compile.
enum Built {
    All(Programs),
    Not(Vec<(String, usize, usize, String)>),
}

impl Copy {
    /// For a directory that holds the repository, and that nobody else needs. What was done in it before is not done again.
    pub fn new(root: &Path, mutants: &[Mutant]) -> Result<Self> {
        let files: BTreeSet<&String> = mutants.iter().map(|mutant| &mutant.file).collect();
        // Those in place may have mutants in them.
        let kept = root.join("originals");
        let read = |file: &String| {
            let (here, there) = (root.join(file), kept.join(file));
            if !there.exists() {
                fs::create_dir_all(there.parent().unwrap_or(&kept))?;
                fs::copy(here, &there).with_context(|| file.clone())?;
            }
            Ok((file.clone(), fs::read_to_string(there).with_context(|| file.clone())?))
        };
        let originals = files.into_iter().map(read).collect::<Result<_>>()?;
        fs::write(root.join("src/mutant.rs"), SWITCH)?;
        let lib = root.join("src/lib.rs");
        let text = fs::read_to_string(&lib)?;
        if !text.contains("pub mod mutant;") {
            fs::write(&lib, format!("{text}\npub mod mutant;\n"))?;
        }
        Ok(Self { root: root.to_owned(), originals })
    }

    /// Switches one on; 0 is none of them.
    pub fn switch_on(&self, id: u32) -> Result<()> {
        fs::write(self.switch(), id.to_string()).context("cannot write which mutant is switched on")
    }

    /// Switches none on, and forgets which were come to.
    pub fn record(&self) -> Result<()> {
        fs::write(self.reached_file(), "").context("cannot write which mutants are come to")?;
        self.switch_on(RECORD)
    }

    /// Those that were come to since.
    pub fn reached(&self) -> Result<BTreeSet<u32>> {
        let bytes = fs::read(self.reached_file()).context("cannot read which mutants are come to")?;
        Ok((0..).zip(bytes).filter(|(_, byte)| *byte != 0).map(|(id, _)| id).collect())
    }

    fn switch(&self) -> PathBuf {
        self.root.join("mutant")
    }

    fn reached_file(&self) -> PathBuf {
        self.root.join("mutant.reached")
    }

    /// Builds all mutants that can be built together, if that was not done before; returns those that cannot.
    pub fn build(&self, mutants: &[Mutant]) -> Result<(Programs, BTreeSet<u32>)> {
        let built = self.root.join("built.json");
        if !built.exists() {
            fs::write(&built, serde_json::to_vec(&self.build_anew(mutants)?)?)?;
        }
        serde_json::from_slice(&fs::read(&built)?).with_context(|| format!("{} is damaged", built.display()))
    }

    fn build_anew(&self, mutants: &[Mutant]) -> Result<(Programs, BTreeSet<u32>)> {
        let mut without = BTreeSet::new();
        loop {
            self.write(mutants, &mut without)?;
            let faults = match self.compile()? {
                Built::All(programs) => return Ok((programs, without)),
                Built::Not(faults) => faults,
            };
            let before = without.len();
            for (file, first, last, what) in &faults {
                let ids = self.ids_at(file, *first, *last)?;
                eprintln!("{file}:{first}: {what}: without {ids:?}");
                without.extend(ids);
            }
            if without.len() == before {
                bail!("does not compile, and no mutant is to blame: {faults:?}");
            }
            eprintln!("without {} of {}", without.len(), mutants.len());
        }
    }

    fn write(&self, mutants: &[Mutant], without: &mut BTreeSet<u32>) -> Result<()> {
        for (file, text) in &self.originals {
            let numbered = (1u32..).zip(mutants);
            let wanted: Vec<(u32, &Mutant)> =
                numbered.filter(|(id, mutant)| mutant.file == *file && !without.contains(id)).collect();
            let (edits, impossible) = places::edits(text, &wanted).context(file.clone())?;
            without.extend(impossible);
            fs::write(self.root.join(file), edit::apply(text, edits))?;
        }
        Ok(())
    }

    fn compile(&self) -> Result<Built> {
        let output = Command::new("cargo")
            .current_dir(&self.root)
            .args(["test", "--no-run", "--quiet", "--locked", "--profile", "mutants", "--lib", "--test", "it"])
            .args(["--package", "pcictl", "--message-format", "json"])
            .env("PCICTL_MUTANT", self.switch())
            .stderr(std::process::Stdio::null())
            .output()
            .context("cannot run cargo")?;
        let messages: Vec<Message> =
            output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if output.status.success() {
            let program = |kind: &str, name: &str| {
                let of = |message: &&Message| message.is_test_of(kind, name);
                let found = messages.iter().find(of).and_then(|message| message.executable.clone());
                found.with_context(|| format!("cargo tells no program of the tests {name}"))
            };
            return Ok(Built::All(Programs { lib: program("lib", "pcictl")?, it: program("test", "it")? }));
        }
        Ok(Built::Not(messages.iter().flat_map(Message::faults).collect()))
    }

    /// The mutants in these lines of a file, or, if there is none, in the last line before them that has some.
    fn ids_at(&self, file: &str, first: usize, last: usize) -> Result<Vec<u32>> {
        let text = fs::read_to_string(self.root.join(file)).with_context(|| file.to_owned())?;
        let lines: Vec<&str> = text.lines().collect();
        let ids = |line: &str| {
            let parts = line.split("crate::mutant::is(").skip(1);
            parts.filter_map(|part| part.split(')').next()?.parse().ok()).collect::<Vec<u32>>()
        };
        let here: Vec<u32> = lines[first - 1..last.min(lines.len())].iter().flat_map(|line| ids(line)).collect();
        if !here.is_empty() {
            return Ok(here);
        }
        // In the body of a function, whose first line has them.
        let above = lines[..first].iter().rev().take(40);
        Ok(above.map(|line| ids(line)).find(|ids| !ids.is_empty()).unwrap_or_default())
    }
}

/// A line of what cargo prints.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Value>,
    message: Option<Value>,
}

impl Message {
    fn is_test_of(&self, kind: &str, name: &str) -> bool {
        let target = self.target.as_ref();
        self.executable.is_some() && target.is_some_and(|target| target["name"] == name && target["kind"][0] == kind)
    }

    /// File, first and last line, and what is wrong there.
    fn faults(&self) -> Vec<(String, usize, usize, String)> {
        let Some(message) = self.message.as_ref().filter(|message| message["level"] == "error") else {
            return Vec::new();
        };
        let number = |value: &Value| value.as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(1);
        let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let primary = spans.iter().filter(|span| span["is_primary"] == true);
        let what = message["message"].as_str().unwrap_or_default();
        primary
            .map(|span| {
                let file = span["file_name"].as_str().unwrap_or_default().to_owned();
                (file, number(&span["line_start"]), number(&span["line_end"]), what.to_owned())
            })
            .collect()
    }
}
