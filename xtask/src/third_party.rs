//! `THIRD-PARTY.md`: what the program contains that others wrote, and on which terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::steps::{cargo_command, output};

/// A crate that is linked into the program.
struct Crate {
    name: String,
    version: String,
    license: String,
    repository: String,
    copyright: BTreeSet<String>,
}

const HEAD: &str = "\
# What pcictl contains of others

Made by `cargo xtask regenerate`; CI checks that it is fresh. pcictl itself is under MIT or Apache-2.0, at your choice.
The program contains the crates below, unchanged, and Rust's standard library (MIT or Apache-2.0, © The Rust Project
contributors). A static program also contains the C library of the system that it was built on; the GNU C library is
under LGPL-2.1-or-later.

";

const TAIL: &str = "
## Terms

The texts of the MIT license and of Apache-2.0 are in LICENSE-MIT and LICENSE-APACHE. Where a crate offers a choice that
has MIT in it, pcictl takes MIT: its permission notice is that of LICENSE-MIT, with the copyright above.
";

const MPL: &str = "
The crates under MPL-2.0 keep that license: their source code is available at the address above and from the registry of
crates, under the Mozilla Public License 2.0 (https://mozilla.org/MPL/2.0/). The rest of pcictl is not under it.
";

/// Writes it into a directory.
pub(crate) fn write(directory: &Path) -> Result<(), String> {
    let path = directory.join("THIRD-PARTY.md");
    fs::write(&path, text()?).map_err(|error| format!("{}: {error}", path.display()))
}

fn text() -> Result<String, String> {
    let crates = crates()?;
    let mut text = HEAD.to_owned();
    text.push_str("| crate | license | source |\n| --- | --- | --- |\n");
    for Crate { name, version, license, repository, .. } in &crates {
        let _ = writeln!(text, "| {name} {version} | {license} | {repository} |");
    }
    text.push_str("\n## Copyright\n\n");
    for Crate { name, copyright, .. } in &crates {
        let _ = match copyright.len() {
            0 => writeln!(text, "- {name}: its authors; its files name nobody"),
            _ => writeln!(text, "- {name}: {}", copyright.iter().cloned().collect::<Vec<_>>().join("; ")),
        };
    }
    text.push_str(TAIL);
    if crates.iter().any(|one| one.license.contains("MPL-2.0")) {
        text.push_str(MPL);
    }
    Ok(text)
}

/// What is linked in: neither what only builds, nor what only tests.
fn crates() -> Result<Vec<Crate>, String> {
    let platform = "x86_64-unknown-linux-gnu";
    let tree =
        output(
            cargo_command()
                .args(["tree", "--locked", "--package", "pcictl", "--edges", "normal,no-proc-macro"])
                .args(["--target", platform, "--prefix", "none", "--format", "{p}\t{l}\t{r}", "--no-dedupe"]),
        )?;
    let metadata =
        output(cargo_command().args(["metadata", "--locked", "--format-version", "1", "--filter-platform", platform]))?;
    let directories: BTreeMap<String, PathBuf> = metadata
        .split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| Path::new(rest.split('"').next()?).parent().map(Path::to_owned))
        .filter_map(|directory| Some((directory.file_name()?.to_str()?.to_owned(), directory)))
        .collect();
    let lines: BTreeSet<&str> = tree.lines().collect();
    let mut crates = Vec::new();
    for line in lines {
        let mut fields = line.split('\t');
        let (package, license, repository) = (fields.next(), fields.next(), fields.next());
        let mut words = package.unwrap_or_default().split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if name == "pcictl" {
            continue;
        }
        let version = version.trim_start_matches('v').to_owned();
        let directory =
            directories.get(&format!("{name}-{version}")).ok_or_else(|| format!("cannot find the files of {name}"))?;
        crates.push(Crate {
            name: name.to_owned(),
            version,
            license: license.unwrap_or_default().to_owned(),
            repository: repository.unwrap_or_default().to_owned(),
            copyright: copyright(directory)?,
        });
    }
    Ok(crates)
}

/// The lines of a crate's license files that say whose it is.
fn copyright(directory: &Path) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", directory.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is_license = ["LICEN", "COPYRIGHT", "NOTICE"].iter().any(|word| name.starts_with(word));
        if !is_license || !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let holders = text.lines().map(str::trim).filter(|line| {
            let is_template = line.contains('[') || line.contains("YOUR NAME");
            let names_year = line.contains(|letter: char| letter.is_ascii_digit());
            line.starts_with("Copyright ") && (names_year || line.starts_with("Copyright (c) ")) && !is_template
        });
        found.extend(holders.map(|line| line.trim_end_matches('.').to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_crates_is_not_stale() {
        let committed = fs::read_to_string(crate::root().join("THIRD-PARTY.md")).expect("the file is there");
        assert!(text().expect("cargo knows") == committed, "THIRD-PARTY.md is stale; run: cargo xtask regenerate");
    }
}
