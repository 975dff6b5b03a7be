//! Cases as the files in `tests/guest/cases` describe them, and their grouping into boots.
//!
//! A case is a shell script whose first comment lines say how to run it:
//!
//! ```text
//! # topology: switch8        one or more names of tests/guest/topologies; the case runs in each
//! # append: slub_debug=FPZU  kernel arguments
//! # kernels: 6.12            on which it must pass: these series of tests/guest/kernels, `all` that have all drivers, or
//!                            `any`, where the version makes no difference: the one that runs `all` cases, and with
//!                            --everywhere the oldest and the newest
//! # timeout: 300             seconds; 180 when absent
//! # boot: own                shares its boot with no other case
//! # file: README.md          a file of the repository, which lies in /rig
//! # run: named               only when a word of the command line is a part of its name: it takes minutes, and its result
//!                            is recorded in tests/soak/RESULTS.md; `named 5.10 6.1` says so for these kernels
//! # expect: stuck            what must come of it; `pass` when absent
//! # passes: 6.12-debug       on these kernels it passes all the same
//! # allow: changed           what may come of it besides
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What can come of a case. A case whose marks are empty passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The script ended with another status than 0.
    Failed,
    /// The script did not end in time.
    Timeout,
    /// Tasks were left in D state.
    Stuck,
    /// The PCI functions or their drivers were not the same afterwards.
    Changed,
    /// The kernel log has an oops, a warning or the like.
    Complaint,
    /// The guest did not live to tell.
    Lost,
    /// QEMU itself failed, whatever the guest was doing.
    Emulator,
}

impl Mark {
    const ALL: [(Mark, &'static str); 7] = [
        (Mark::Failed, "failed"),
        (Mark::Timeout, "timeout"),
        (Mark::Stuck, "stuck"),
        (Mark::Changed, "changed"),
        (Mark::Complaint, "complaint"),
        (Mark::Lost, "lost"),
        (Mark::Emulator, "emulator"),
    ];

    /// The word for it in a case's header and in reports.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mark, _)| *mark == self).map_or("", |(_, name)| name)
    }

    fn parse_list(text: &str) -> Result<Vec<Mark>> {
        text.split_whitespace()
            .filter(|word| *word != "pass")
            .map(|word| {
                let found = Self::ALL.iter().find(|(_, name)| *name == word);
                found.map(|(mark, _)| *mark).with_context(|| {
                    format!("`{word}` is none of pass, {}", Self::ALL.map(|(_, name)| name).join(", "))
                })
            })
            .collect()
    }
}

/// A line of `tests/guest/kernels`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub series: String,
    /// The package that it comes from.
    pub package: String,
    runs: Runs,
    /// Whether it is the oldest or the newest.
    is_end: bool,
}

/// The second column of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// Also the cases to which the version makes no difference.
    All,
    /// The cases whose header names it.
    Named,
    /// The cases whose header has its series: `all` does not mean it.
    Listed,
    /// Nothing, unless the command line names it.
    Asked,
}

impl Kernel {
    /// The kernels that the file lists, in its order.
    pub fn parse_list(text: &str) -> Result<Vec<Kernel>> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let mut kernels = lines.map(Kernel::parse).collect::<Result<Vec<_>>>()?;
        let mut plain = kernels.iter_mut().filter(|kernel| matches!(kernel.runs, Runs::All | Runs::Named));
        let newest = plain.next_back();
        plain.next().into_iter().chain(newest).for_each(|kernel| kernel.is_end = true);
        Ok(kernels)
    }

    fn parse(line: &str) -> Result<Kernel> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [series, cases, _suite, package, _headers] = words.as_slice() else {
            bail!("`{line}` has not five columns");
        };
        let runs = match *cases {
            "all" => Runs::All,
            "named" => Runs::Named,
            "listed" => Runs::Listed,
            "asked" => Runs::Asked,
            other => bail!("{series} runs `{other}` cases, which is none of `all`, `named`, `listed` and `asked`"),
        };
        Ok(Kernel { series: (*series).to_owned(), package: (*package).to_owned(), runs, is_end: false })
    }
}

/// One script of `tests/guest/cases`.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub script: String,
    pub timeout: Duration,
    /// A file of the repository that it reads.
    pub file: Option<String>,
    topologies: Vec<String>,
    kernels: Vec<String>,
    append: String,
    own_boot: bool,
    /// The kernels on which it runs only when it is named: `all` are all of them.
    only_named: Vec<String>,
    expect: Vec<Mark>,
    /// The kernels on which nothing of that comes.
    passes: Vec<String>,
    allow: Vec<Mark>,
}

impl Case {
    fn parse(name: &str, script: String) -> Result<Case> {
        let mut case = Case {
            name: name.to_owned(),
            timeout: Duration::from_secs(180),
            file: None,
            topologies: Vec::new(),
            kernels: Vec::new(),
            append: String::new(),
            own_boot: false,
            only_named: Vec::new(),
            expect: Vec::new(),
            passes: Vec::new(),
            allow: Vec::new(),
            script: String::new(),
        };
        for line in script.lines().map_while(|line| line.strip_prefix('#')) {
            // Prose has no key of one word before its first colon, or continues a paragraph.
            let Some((key, value)) = line.trim().split_once(": ") else {
                continue;
            };
            let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            match key {
                "topology" => case.topologies = words(),
                "kernels" => case.kernels = words(),
                "append" => case.append = value.to_owned(),
                "file" => case.file = Some(value.to_owned()),
                "timeout" => case.timeout = Duration::from_secs(value.parse()?),
                "boot" if value == "own" => case.own_boot = true,
                "run" if value == "named" => case.only_named = vec!["all".to_owned()],
                "run" if value.starts_with("named ") => case.only_named = words().split_off(1),
                "expect" => case.expect = Mark::parse_list(value)?,
                "passes" => case.passes = words(),
                "allow" => case.allow = Mark::parse_list(value)?,
                _ if key.contains(' ') || key == "shellcheck" => {}
                _ => bail!("unknown header `{key}: {value}`"),
            }
        }
        if case.topologies.is_empty() {
            bail!("names no topology");
        }
        if case.kernels.is_empty() {
            bail!("does not say on which kernels it must pass");
        }
        case.script = script;
        Ok(case)
    }

    /// As it runs on that kernel.
    fn on(&self, kernel: &Kernel) -> Case {
        let mut case = self.clone();
        if case.passes.contains(&kernel.series) {
            case.expect.clear();
            case.allow.clear();
        }
        case
    }

    /// Whether it runs on that kernel.
    fn runs_on(&self, kernel: &Kernel, words: &Words) -> bool {
        let is_asked = words.kernels.contains(&kernel.series);
        if !is_asked && !words.kernels.is_empty() {
            return false;
        }
        let at_an_end = words.everywhere && kernel.is_end;
        self.kernels.iter().any(|name| match (name.as_str(), kernel.runs) {
            ("all" | "any", Runs::Listed) => false,
            ("all", Runs::All | Runs::Named) | ("any", Runs::All) => true,
            ("any", Runs::Named) => is_asked || at_an_end,
            ("all" | "any", Runs::Asked) => is_asked,
            (_, runs) => *name == kernel.series && (is_asked || runs != Runs::Asked),
        })
    }

    /// Whether it waits to be named before it runs on that kernel.
    fn waits_on(&self, kernel: &Kernel) -> bool {
        self.only_named.iter().any(|name| name == "all" || *name == kernel.series)
    }

    /// Whether these marks are what the case's header says.
    pub fn is_as_expected(&self, marks: &[Mark]) -> bool {
        self.expect.iter().all(|mark| marks.contains(mark))
            && marks.iter().all(|mark| self.expect.contains(mark) || self.allow.contains(mark))
    }

    /// What must come of it, in words.
    pub fn expectation(&self) -> String {
        match names(&self.expect) {
            none if none.is_empty() => "pass".to_owned(),
            some => some,
        }
    }
}

/// The words for some marks.
pub fn names(marks: &[Mark]) -> String {
    marks.iter().map(|mark| mark.name()).collect::<Vec<_>>().join(", ")
}

/// Cases that share one boot of one kernel.
#[derive(Debug)]
pub struct Boot {
    pub kernel: String,
    pub topology: String,
    pub append: String,
    pub cases: Vec<Case>,
}

/// Reads every case of a directory, sorted by name.
pub fn read_all(dir: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let (Some(name), Some("sh")) = (
            path.file_stem().and_then(|name| name.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let script = fs::read_to_string(&path)?;
        cases.push(Case::parse(name, script).with_context(|| path.display().to_string())?);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// What the command line chooses: nothing chooses all.
#[derive(Debug, Default)]
pub struct Words {
    kernels: Vec<String>,
    topologies: Vec<String>,
    /// Parts of names.
    parts: Vec<String>,
    /// Cases to which the version makes no difference run on the oldest and the newest kernel, too.
    everywhere: bool,
    /// A file instead of the topologies that the cases name.
    topology_file: Option<String>,
}

impl Words {
    /// Sorts words by what they name.
    pub fn new(
        words: Vec<String>,
        kernels: &[Kernel],
        topologies: &[String],
        everywhere: bool,
        topology_file: Option<String>,
    ) -> Words {
        let mut sorted = Words { everywhere, topology_file, ..Words::default() };
        for word in words {
            let list = match () {
                () if kernels.iter().any(|kernel| kernel.series == word) => &mut sorted.kernels,
                () if topologies.contains(&word) => &mut sorted.topologies,
                () => &mut sorted.parts,
            };
            list.push(word);
        }
        sorted
    }

    fn names(&self, case: &Case) -> bool {
        self.parts.iter().any(|part| case.name.contains(part))
    }

    fn choose_topology(&self, topology: &String) -> bool {
        self.topologies.is_empty() || self.topologies.contains(topology)
    }
}

/// The boots that it takes to run the chosen cases on the chosen kernels: those with the same topology and kernel arguments
/// share one.
pub fn plan(cases: &[Case], kernels: &[Kernel], topologies: &[String], words: &Words) -> Result<Vec<Boot>> {
    let mut boots: BTreeMap<(usize, &str, &str, &str), Boot> = BTreeMap::new();
    for case in cases {
        let is_named = words.names(case);
        if !is_named && !words.parts.is_empty() {
            continue;
        }
        let is_there = |name: &String| {
            matches!(name.as_str(), "all" | "any") || kernels.iter().any(|kernel| kernel.series == *name)
        };
        if let Some(unknown) =
            case.kernels.iter().chain(&case.only_named).chain(&case.passes).find(|name| !is_there(name))
        {
            bail!("{} wants kernel {unknown}, which is not there", case.name);
        }
        if let Some(unknown) = case.topologies.iter().find(|topology| !topologies.contains(topology)) {
            bail!("{} wants topology {unknown}, which is not there", case.name);
        }
        for topology in words.topology_file.as_ref().map_or(&case.topologies[..], std::slice::from_ref) {
            for (order, kernel) in kernels.iter().enumerate() {
                let waits = !is_named && case.waits_on(kernel);
                if waits || !case.runs_on(kernel, words) || !words.choose_topology(topology) {
                    continue;
                }
                let own = if case.own_boot { case.name.as_str() } else { "" };
                boots
                    .entry((order, topology, &case.append, own))
                    .or_insert_with(|| Boot {
                        kernel: kernel.series.clone(),
                        topology: topology.clone(),
                        append: case.append.clone(),
                        cases: Vec::new(),
                    })
                    .cases
                    .push(case.on(kernel));
            }
        }
    }
    Ok(boots.into_values().collect())
}
