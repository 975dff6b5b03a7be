//! Man pages from the definition of the command line.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use crate::man;

/// Writes them into `man` below a directory.
pub(crate) fn run(directory: &Path, date: &str) -> Result<(), String> {
    let man = directory.join("man");
    fs::create_dir_all(&man).map_err(about(&man))?;
    man::write(&man, date)
}

/// The date of the man pages: that of the release, as the changelog has it, so that a build can be reproduced.
pub(crate) fn release_date() -> Result<String, String> {
    let path = crate::root().join("CHANGELOG.md");
    let text = fs::read_to_string(&path).map_err(about(&path))?;
    man::date(&text).map(str::to_owned).ok_or_else(|| format!("{}: a heading with a date is missing", path.display()))
}

pub(crate) fn about<E: Display>(path: &Path) -> impl FnOnce(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn files(directory: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(directory).expect("the directory is there");
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().expect("a plain name");
            (name, fs::read_to_string(entry.path()).expect("text"))
        };
        entries.map(|entry| read(entry.expect("an entry"))).collect()
    }

    #[test]
    fn man_pages_are_not_stale() {
        let scratch = tempfile::tempdir().expect("a directory");
        run(scratch.path(), &release_date().expect("a date")).expect("they can be made");
        let committed = files(&crate::root().join("man"));
        let generated = files(&scratch.path().join("man"));
        let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&generated), "run: cargo xtask regenerate");
        for (name, text) in &generated {
            assert!(committed[name] == *text, "man/{name} is stale; run: cargo xtask regenerate");
        }
    }

    #[test]
    fn verbs_that_people_do_not_type_have_no_page() {
        let scratch = tempfile::tempdir().expect("a directory");
        run(scratch.path(), &release_date().expect("a date")).expect("they can be made");
        for (name, text) in files(&scratch.path().join("man")) {
            for verb in ["kernel-write", "pcictl-complete", "pcictl complete"] {
                assert!(!text.contains(verb), "man/{name} has {verb}");
            }
        }
    }
}
