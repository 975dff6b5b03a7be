//! What pcictl may be built from, as `deny.toml` says: licenses, sources and wildcards; duplicates are told.
//!
//! cargo-deny does more (it reads the license files, too) but takes longer to build than all else here, so this is what CI
//! checks everywhere, by what Cargo.toml of each crate and Cargo.lock say. Where cargo-deny is installed, it is run as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::root;
use crate::steps::{cargo_command, output};

/// The licenses that `deny.toml` allows, of all crates and of some.
struct Allowed {
    all: Vec<String>,
    exceptions: Vec<(String, Vec<String>)>,
}

/// Fails with all that is not as `deny.toml` wants it.
pub(crate) fn check() -> Result<(), String> {
    let lock = read("Cargo.lock")?;
    let mut wrong = wrong_sources(&lock);
    wrong.extend(wrong_licenses(&allowed(&read("deny.toml")?)?)?);
    for member in ["."].into_iter().map(str::to_owned).chain(members(&read("Cargo.toml")?)) {
        let path = format!("{member}/Cargo.toml");
        let wild = read(&path)?.lines().filter(|line| line.contains("\"*\"") && line.contains('=')).count();
        if wild > 0 {
            wrong.push(format!("{path}: {wild} dependencies of any version: name the version that is meant"));
        }
    }
    for (name, versions) in duplicates(&lock) {
        println!("built in several versions: {name} {}", versions.join(", "));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// What stands between quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn members(manifest: &str) -> Vec<String> {
    let line = manifest.lines().find(|line| line.starts_with("members = ["));
    quoted(line.unwrap_or_default()).into_iter().filter(|member| Path::new(member) != Path::new(".")).collect()
}

fn allowed(deny: &str) -> Result<Allowed, String> {
    let all = deny.lines().find(|line| line.starts_with("allow = [")).ok_or("deny.toml allows no license")?;
    let exceptions = deny.lines().filter(|line| line.trim_start().starts_with("{ crate = "));
    let exceptions = exceptions.map(|line| {
        let mut words = quoted(line);
        (words.remove(0), words)
    });
    Ok(Allowed { all: quoted(all), exceptions: exceptions.collect() })
}

fn wrong_licenses(allowed: &Allowed) -> Result<Vec<String>, String> {
    let tree = ["tree", "--locked", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--no-dedupe"];
    let tree = output(cargo_command().args(tree).args(["--format", "{p}\t{l}"]))?;
    let mut wrong = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, license) = line.split_once('\t').unwrap_or((line, ""));
        // Those of the workspace stand with their path, and are not others' work.
        if package.contains(" (/") {
            continue;
        }
        let name = package.split(' ').next().unwrap_or_default();
        let exceptions = allowed.exceptions.iter().filter(|(of, _)| of == name).flat_map(|(_, licenses)| licenses);
        let licenses: Vec<&str> = allowed.all.iter().chain(exceptions).map(String::as_str).collect();
        if !permits(license, &licenses) {
            wrong.insert(format!("{package}: its license is `{license}`, which deny.toml does not allow"));
        }
    }
    Ok(wrong.into_iter().collect())
}

/// Whether a license expression can be met with these licenses: some part of each `AND`, any part of an `OR`.
fn permits(expression: &str, licenses: &[&str]) -> bool {
    let text = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, licenses) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], licenses: &[&str]) -> bool {
    let mut met = all_of(rest, licenses);
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        met |= all_of(rest, licenses);
    }
    met
}

fn all_of(rest: &mut &[&str], licenses: &[&str]) -> bool {
    let mut met = license(rest, licenses);
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        met &= license(rest, licenses);
    }
    met
}

fn license(rest: &mut &[&str], licenses: &[&str]) -> bool {
    let Some((first, others)) = rest.split_first() else { return false };
    *rest = others;
    if *first == "(" {
        let met = any_of(rest, licenses);
        let is_closed = rest.first() == Some(&")");
        *rest = rest.get(1..).unwrap_or_default();
        return met && is_closed;
    }
    if rest.first() == Some(&"WITH") && rest.len() > 1 {
        let with = format!("{first} WITH {}", rest[1]);
        *rest = &rest[2..];
        return licenses.contains(&with.as_str());
    }
    licenses.contains(first)
}

fn wrong_sources(lock: &str) -> Vec<String> {
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    let others = sources.filter(|source| *source != "\"registry+https://github.com/rust-lang/crates.io-index\"");
    let others: BTreeSet<&str> = others.collect();
    others.into_iter().map(|source| format!("Cargo.lock: {source} is not the registry that deny.toml allows")).collect()
}

fn duplicates(lock: &str) -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name)).map(quoted);
        if let (Some(name), Some(version)) = (field("name = "), field("version = ")) {
            versions.entry(name.concat()).or_default().extend(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// Runs cargo-deny if it is installed.
pub(crate) fn deny_if_installed() -> Result<(), String> {
    let is_installed = |directory: std::path::PathBuf| directory.join("cargo-deny").exists();
    if !std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(is_installed)) {
        return Ok(());
    }
    println!("and by cargo-deny");
    // Advisories are in a database that has to be fetched, and fail what nobody has changed.
    let check = ["--log-level", "error", "--locked", "--workspace", "check", "licenses", "bans", "sources"];
    output(Command::new("cargo-deny").args(check)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_license_is_permitted_if_some_choice_of_it_is() {
        let licenses = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        let good = ["MIT", "MIT/GPL-2.0", "GPL-2.0 OR MIT", "(MIT OR BSL-1.0) AND Unicode-3.0", "((MIT))"];
        for expression in good.into_iter().chain(["Apache-2.0 WITH LLVM-exception OR Zlib"]) {
            assert!(permits(expression, &licenses), "{expression}");
        }
        for expression in
            ["", "GPL-2.0", "MIT AND GPL-2.0", "(MIT OR X) AND Y", "Apache-2.0", "MIT MIT", "(MIT", "MIT)"]
        {
            assert!(!permits(expression, &licenses), "{expression}");
        }
    }

    #[test]
    fn an_exception_is_for_one_crate() {
        let allowed = allowed("allow = [\"MIT\"]\nexceptions = [\n    { crate = \"a\", allow = [\"MPL-2.0\"] },\n]\n")
            .expect("parses");
        assert_eq!((allowed.all, allowed.exceptions), (vec!["MIT".into()], vec![("a".into(), vec!["MPL-2.0".into()])]));
    }

    #[test]
    fn another_source_is_wrong_and_a_duplicate_is_told() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"git+https://example.org/a\"\n\n\
            [[package]]\nname = \"a\"\nversion = \"2\"\n";
        assert_eq!(wrong_sources(lock).len(), 1);
        assert_eq!(duplicates(lock)["a"], ["1", "2"]);
    }
}
