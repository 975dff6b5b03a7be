//! Cases as the files in `tests/guest/cases` describe them, and their grouping into boots.
//!
//! A case is a shell script whose first comment lines say how to run it:
//!
//! ```text
//! # topology: switch8        one or more names of tests/guest/topologies; the case runs in each
//! # append: slub_debug=FPZU  kernel arguments
//! # kernels: 6.12            only these series of tests/guest/kernels, or `all` of them; when absent, those that run `all`
//!                            cases, and not those that run `named` ones
//! # timeout: 300             seconds; 180 when absent
//! # boot: own                shares its boot with no other case
//! # file: README.md          a file of the repository, which lies in /rig
//! # run: named               only when a word of the command line is a part of its name: it takes minutes, and its result
//!                            is recorded in tests/soak/RESULTS.md; `named 5.10 6.1` says so for these kernels
//! # expect: stuck            what must come of it; `pass` when absent
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
    /// Whether it runs the cases that name no kernel.
    runs_all: bool,
}

impl Kernel {
    /// The kernels that the file lists, in its order.
    pub fn parse_list(text: &str) -> Result<Vec<Kernel>> {
        text.lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| {
                let mut words = line.split_whitespace();
                let (Some(series), Some(cases)) = (words.next(), words.next()) else {
                    bail!("`{line}` has less than two columns");
                };
                let runs_all = match cases {
                    "all" => true,
                    "named" => false,
                    other => bail!("{series} runs `{other}` cases, which is neither `all` nor `named`"),
                };
                Ok(Kernel { series: series.to_owned(), runs_all })
            })
            .collect()
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
                "allow" => case.allow = Mark::parse_list(value)?,
                _ if key.contains(' ') || key == "shellcheck" => {}
                _ => bail!("unknown header `{key}: {value}`"),
            }
        }
        if case.topologies.is_empty() {
            bail!("names no topology");
        }
        case.script = script;
        Ok(case)
    }

    /// Whether it runs on that kernel.
    fn runs_on(&self, kernel: &Kernel) -> bool {
        match self.kernels.as_slice() {
            [] => kernel.runs_all,
            named => names_kernel(named, kernel),
        }
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

/// Whether a list in a header means that kernel.
fn names_kernel(names: &[String], kernel: &Kernel) -> bool {
    names.iter().any(|name| name == "all" || *name == kernel.series)
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

/// The boots that it takes to run these cases on these kernels: those with the same topology and kernel arguments
/// share one. `filters` are words of the command line: a kernel, a topology, or a part of a case's name.
pub fn plan(cases: &[Case], kernels: &[Kernel], topologies: &[String], filters: &[String]) -> Result<Vec<Boot>> {
    let series: Vec<_> = kernels.iter().map(|kernel| kernel.series.clone()).collect();
    let wanted = |among: &[String], value: &str| {
        let mut named = filters.iter().filter(|filter| among.contains(filter)).peekable();
        named.peek().is_none() || named.any(|filter| filter == value)
    };
    let mut parts = filters.iter().filter(|filter| !series.contains(filter) && !topologies.contains(filter)).peekable();
    let parts: Vec<_> = parts.by_ref().collect();

    let mut boots: BTreeMap<(usize, &str, &str, &str), Boot> = BTreeMap::new();
    for case in cases {
        let is_named = parts.iter().any(|part| case.name.contains(*part));
        if !is_named && !parts.is_empty() {
            continue;
        }
        let mut named = case.kernels.iter().chain(&case.only_named);
        if let Some(unknown) = named.find(|name| *name != "all" && !series.contains(name)) {
            bail!("{} wants kernel {unknown}, which is not there", case.name);
        }
        for topology in &case.topologies {
            if !topologies.contains(topology) {
                bail!("{} wants topology {topology}, which is not there", case.name);
            }
            for (order, kernel) in kernels.iter().enumerate() {
                let waits_to_be_named = !is_named && names_kernel(&case.only_named, kernel);
                if waits_to_be_named
                    || !case.runs_on(kernel)
                    || !wanted(&series, &kernel.series)
                    || !wanted(topologies, topology)
                {
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
                    .push(case.clone());
            }
        }
    }
    Ok(boots.into_values().collect())
}
