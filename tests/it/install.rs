//! What `make install` lays out, and that the lines of README.md do it. The packages are tried by tests/packages.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::run::Run;
use crate::support::{processes, repository, scratch_directory};

/// Runs lines of a shell at the root of the repository, which install this test's pcictl into a directory of the test's.
/// Nothing is built: that has been done.
fn installed_by(lines: &str, variables: &[(&str, &str)]) -> BTreeSet<String> {
    let scratch = scratch_directory();
    let mut shell = Command::new("sh");
    shell.args(["-ec", lines]).current_dir(repository()).env("DESTDIR", scratch.path());
    shell.env("CARGO", "true").env("PROGRAM", env!("CARGO_BIN_EXE_pcictl")).envs(variables.iter().copied());
    let ended = processes::output(&mut shell);
    assert!(ended.status.success(), "{lines}: {}", String::from_utf8_lossy(&ended.stderr));
    let files = walkdir::WalkDir::new(scratch.path()).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| !entry.file_type().is_dir()).map(|entry| {
        let installed = entry.path().strip_prefix(scratch.path()).unwrap().display().to_string();
        check_mode(entry.path(), &installed);
        installed
    });
    files.collect()
}

/// Programs can be run, and examples that are; the rest is only read, and nobody but root writes.
fn check_mode(path: &Path, installed: &str) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    let is_program = match installed.split_once("/examples/") {
        Some((_, example)) => mode(&repository().join("packaging/examples").join(example)) & 0o100 != 0,
        None => installed.ends_with("sbin/pcictl"),
    };
    assert_eq!(mode(path), if is_program { 0o755 } else { 0o644 }, "{installed}");
}

/// Of the files that the repository has in a directory, those with this ending, by their names elsewhere.
fn each(directory: &str, ending: &str, place: impl Fn(&str) -> String) -> Vec<String> {
    let directory = repository().join(directory);
    let files =
        walkdir::WalkDir::new(&directory).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let names = files.map(|entry| entry.path().strip_prefix(&directory).unwrap().display().to_string());
    names.filter(|name| name.ends_with(ending)).map(|name| place(&name)).collect()
}

#[test]
fn everything_is_installed_where_it_is_looked_for() {
    let variables = [("PREFIX", "/usr"), ("ZSHDIR", "/usr/share/zsh/vendor-completions")];
    let installed = installed_by("make install", &variables);
    let mut wanted: BTreeSet<String> = [
        "etc/pcictl/protected.d/README",
        "usr/lib/systemd/catalog/pcictl.catalog",
        "usr/lib/systemd/system/pcictl-check.service",
        "usr/lib/systemd/system/pcictl-guard.service",
        "usr/lib/tmpfiles.d/pcictl.conf",
        "usr/sbin/pcictl",
        "usr/share/bash-completion/completions/pcictl",
        "usr/share/doc/pcictl/CHANGELOG.md",
        "usr/share/doc/pcictl/LICENSE-APACHE",
        "usr/share/doc/pcictl/LICENSE-MIT",
        "usr/share/doc/pcictl/README.md",
        "usr/share/doc/pcictl/SECURITY.md",
        "usr/share/doc/pcictl/THIRD-PARTY.md",
        "usr/share/fish/vendor_completions.d/pcictl.fish",
        "usr/share/pcictl/schema/pcictl-1.json",
        "usr/share/zsh/vendor-completions/_pcictl",
    ]
    .map(str::to_owned)
    .into();
    for section in ["5", "7", "8"] {
        wanted.extend(each("man", &format!(".{section}"), |page| format!("usr/share/man/man{section}/{page}")));
    }
    wanted.extend(each("packaging/examples", "", |name| format!("usr/share/doc/pcictl/examples/{name}")));
    assert_eq!(installed, wanted);
}

#[test]
fn units_start_the_program_that_was_installed() {
    let scratch = scratch_directory();
    let install = |prefix: &str| {
        let line = format!("make install DESTDIR={} PREFIX={prefix}", scratch.path().display());
        installed_by(&line, &[]);
        let unit =
            scratch.path().join(format!("{}/lib/systemd/system/pcictl-guard.service", prefix.trim_start_matches('/')));
        std::fs::read_to_string(unit).unwrap()
    };
    assert!(install("/usr/local").contains("\nExecStart=/usr/local/sbin/pcictl guard\n"));
    assert!(install("/usr").contains("\nExecStart=/usr/sbin/pcictl guard\n"));
}

#[test]
fn what_the_administrator_wrote_stays() {
    let scratch = scratch_directory();
    let readme = scratch.path().join("etc/pcictl/protected.d/README");
    std::fs::create_dir_all(readme.parent().unwrap()).unwrap();
    std::fs::write(&readme, "mine\n").unwrap();
    installed_by(&format!("make install DESTDIR={}", scratch.path().display()), &[]);
    assert_eq!(std::fs::read_to_string(&readme).unwrap(), "mine\n");
}

/// Each block of the section that begins so is run as it stands, but for packages, which tests/packages makes.
#[test]
fn the_lines_of_the_readme_install_it() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("\n## Install\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (packages, sources): (Vec<&str>, Vec<&str>) =
        blocks.iter().partition(|block| block.contains("packaging/build"));
    assert_eq!((packages.len(), sources.len()), (2, 1), "{blocks:?}");
    let installed = installed_by(sources[0], &[]);
    assert!(
        installed.contains("usr/local/sbin/pcictl") && installed.contains("usr/local/share/man/man8/pcictl.8"),
        "{installed:?}"
    );
}

#[test]
fn the_version_says_which_build_it_is() {
    let short = concat!("pcictl ", env!("CARGO_PKG_VERSION"), "\n");
    Run::new(["-V"]).stdout(short).check();
    let long = "commit [..]\nlock protocol 1, JSON schema 1\nbuilt for [..]-linux-[..], dynamic\n";
    Run::new(["--version"]).stdout_like(format!("{short}{long}")).check();
    Run::new(["list", "--version"]).stdout_like(format!("{}{long}", short.replace("pcictl", "pcictl-list"))).check();
}
