//! The files of the text: `xtask/man/NAME.SECTION.txt`, with `# TITLE` before each section.
//!
//! A page that is not a command's begins with `= what it is about`. A line `@ NAME...` stands for pieces of
//! `xtask/man/common.txt`, which many pages have; `@file PATH` for a file of the repository, as an example.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::generate::about;

/// Text by the name of its section.
pub(crate) type Sections = Vec<(String, String)>;

/// The text of a page.
#[derive(Default)]
pub(crate) struct Source {
    /// `pcictl-lock`.
    pub(crate) name: String,
    /// The section of the manual.
    pub(crate) section: String,
    /// What the page is about, unless a command says it.
    pub(crate) about: Option<String>,
    pub(crate) sections: Sections,
}

impl Source {
    /// The text of a section; none if it has none.
    pub(crate) fn section(&self, title: &str) -> &str {
        self.sections.iter().find(|(known, _)| known == title).map_or("", |(_, text)| text)
    }
}

/// All pages.
pub(crate) fn all() -> Result<Vec<Source>, String> {
    let directory = directory();
    let common: BTreeMap<String, String> = split(&read(&directory.join("common.txt"))?).into_iter().collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&directory).map_err(about(&directory))? {
        paths.push(entry.map_err(about(&directory))?.path());
    }
    paths.sort_unstable();
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".txt"));
    let pages = names.filter_map(|name| name.rsplit_once('.'));
    pages.map(|(name, section)| load(&directory, name, section, &common)).collect()
}

fn directory() -> PathBuf {
    crate::root().join("xtask/man")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(about(path))
}

fn load(directory: &Path, name: &str, section: &str, common: &BTreeMap<String, String>) -> Result<Source, String> {
    let path = directory.join(format!("{name}.{section}.txt"));
    let text = read(&path)?;
    let (head, text) = match text.strip_prefix("= ").and_then(|text| text.split_once('\n')) {
        Some((head, text)) => (Some(head.to_owned()), text),
        None => (None, text.as_str()),
    };
    let text = with_common(text, common).map_err(about(&path))?;
    Ok(Source { name: name.to_owned(), section: section.to_owned(), about: head, sections: split(&text) })
}

/// Puts in what lines with `@` stand for.
fn with_common(text: &str, common: &BTreeMap<String, String>) -> Result<String, String> {
    let mut whole = String::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("@file ") {
            let content = read(&crate::root().join(path))?.replace('\t', "        ");
            content.lines().for_each(|line| whole.push_str(&format!("    {line}\n")));
        } else if let Some(names) = line.strip_prefix("@ ") {
            for name in names.split_whitespace() {
                whole.push_str(common.get(name).ok_or_else(|| format!("{name} is not in common.txt"))?);
                whole.push('\n');
            }
        } else {
            whole.push_str(line);
            whole.push('\n');
        }
    }
    Ok(whole)
}

fn split(text: &str) -> Sections {
    let mut sections: Sections = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(title) => sections.push((title.to_owned(), String::new())),
            None => sections.last_mut().into_iter().for_each(|(_, text)| {
                text.push_str(line);
                text.push('\n');
            }),
        }
    }
    sections.iter_mut().for_each(|(_, text)| *text = text.trim_matches('\n').to_owned());
    sections
}
