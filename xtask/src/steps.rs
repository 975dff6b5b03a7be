//! The steps: each a name and what is run for it. A step that fails says so and ends everything.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::Command;

use crate::{dependencies, root};

/// Something to run.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Result<(), String>,
}

/// What needs no running program.
pub(crate) const LINT: &[Step] = &[
    Step { name: "fmt", run: || cargo(["fmt", "--all", "--check"]) },
    Step { name: "clippy", run: clippy },
    Step { name: "doc", run: doc },
    Step { name: "shellcheck", run: shellcheck },
    Step { name: "dependencies", run: || dependencies::check().and_then(|()| dependencies::deny_if_installed()) },
];

/// The tests that every change has to pass.
pub(crate) const TEST: &[Step] = &[
    Step { name: "test", run: || cargo(["test", "--quiet", "--locked"]) },
    Step { name: "test tools", run: test_tools },
];

/// The released program has to fit where there is little room, as in an initramfs; benches/RESULTS.md tells what helps.
const LARGEST_PROGRAM: u64 = 20 << 18;

/// Runs steps, each under its name.
pub(crate) fn all(steps: &[Step]) -> Result<(), String> {
    for step in steps {
        println!("=== {}", step.name);
        (step.run)()?;
    }
    Ok(())
}

/// Runs cargo.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<(), String> {
    call(cargo_command().args(arguments))
}

/// The cargo that runs this.
pub(crate) fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command to its end.
fn call(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("fails with {status}: {command:?}")) }
}

/// Runs a command to its end, and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("fails with {}: {command:?}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} prints what is not UTF-8"))
}

/// Runs a script of this repository.
pub(crate) fn script(path: &str) -> Result<(), String> {
    script_with(path, &[])
}

/// Runs a script of this repository with arguments.
pub(crate) fn script_with(path: &str, arguments: &[OsString]) -> Result<(), String> {
    call(Command::new(root().join(path)).args(arguments))
}

fn clippy() -> Result<(), String> {
    cargo(["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn doc() -> Result<(), String> {
    let arguments = ["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--document-private-items"];
    call(cargo_command().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

fn shellcheck() -> Result<(), String> {
    // A fresh checkout of a part, or an archive, has no list of files, so look.
    let pattern = "^#!/(bin/sh|bin/bash|usr/bin/env bash)|^# shellcheck shell=";
    let mut grep = Command::new("grep");
    grep.args([
        "-rlE",
        "--exclude=*.rs",
        "--exclude-dir=target",
        pattern,
        "tests",
        "benches",
        "completions",
        "packaging",
        "xtask",
        ".ci",
    ]);
    let found = output(&mut grep)?;
    let mut scripts: Vec<&str> = found.lines().collect();
    scripts.sort_unstable();
    let shellcheck = || {
        let mut command = Command::new("shellcheck");
        command.current_dir(root());
        command
    };
    call(shellcheck().arg("--external-sources").args(&scripts))?;
    // The cases are sourced, and get their names from lib.sh.
    let mut cases = Vec::new();
    for entry in
        fs::read_dir(root().join("tests/guest/cases")).map_err(|error| format!("tests/guest/cases: {error}"))?
    {
        cases.push(entry.map_err(|error| format!("tests/guest/cases: {error}"))?.path());
    }
    cases.sort_unstable();
    call(shellcheck().args(["--shell=sh", "--exclude=SC2154"]).args(cases))
}

fn test_tools() -> Result<(), String> {
    cargo(["test", "--quiet", "--locked", "-p", "house", "-p", "mutants", "-p", "schema-check", "-p", "xtask"])
}

/// Boots kernels and runs the cases that words choose.
pub(crate) fn guest<S: AsRef<OsStr>>(words: &[S]) -> Result<(), String> {
    let mut command = cargo_command();
    command.args(["test", "--quiet", "--locked", "--package", "guest-tests", "--"]).args(words);
    call(&mut command)
}

/// Goes through every state of the lock protocol.
pub(crate) fn model() -> Result<(), String> {
    let arguments = ["test", "--quiet", "--locked", "--profile", "model", "--package", "model", "--"];
    cargo(arguments.into_iter().chain(["--nocapture", "--test-threads", "1"]))
}

/// Gives the corpus, and cases of chance, to what takes foreign bytes; always the same ones.
pub(crate) fn fuzz() -> Result<(), String> {
    cargo(["test", "--quiet", "--locked", "--package", "fuzz"])?;
    cargo(["run", "--quiet", "--locked", "--package", "fuzz", "--", "--seed", "1", "--cases", "1000"])
}

/// A minute of 64 processes.
pub(crate) fn stress() -> Result<(), String> {
    cargo(["test", "--quiet", "--locked", "--package", "stress"])
}

/// Takes the power away at moments of some commands.
pub(crate) fn power_loss() -> Result<(), String> {
    cargo(["test", "--quiet", "--locked", "--test", "it", "--", "--ignored", "power_loss"])
}

/// Builds the static program, and sees whether it is small enough.
pub(crate) fn small() -> Result<(), String> {
    let printed = output(&mut Command::new(root().join("tests/guest/build-pcictl")))?;
    let program = printed.trim();
    let bytes = fs::metadata(program).map_err(|error| format!("{program}: {error}"))?.len();
    println!("{bytes} bytes, of {LARGEST_PROGRAM} allowed");
    if bytes > LARGEST_PROGRAM { Err(format!("{program} is too large")) } else { Ok(()) }
}

/// Builds with the Rust that Cargo.toml promises.
pub(crate) fn msrv() -> Result<(), String> {
    let printed = output(&mut Command::new(root().join("xtask/oldest-rustc")))?;
    let rustc = printed.trim();
    print!("{}", output(Command::new(rustc).arg("--version"))?);
    let target = root().join("target/msrv/build");
    let build = ["build", "--quiet", "--locked", "--package", "pcictl", "--bin", "pcictl", "--target-dir"];
    call(cargo_command().args(build).arg(target).env("RUSTC", rustc).env_remove("RUSTC_WRAPPER"))
}
