//! `cargo xtask`: what developers and CI do with this repository, by one name each.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod ci;
mod dependencies;
mod generate;
mod man;
mod steps;
mod schema;
mod third_party;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask VERB

  fmt                format all code
  lint               fmt --check, clippy, doc, shellcheck, licenses and sources of dependencies
  quick              lint and cargo test, for every change: less than 3 minutes
  guest [WORD]...    boot kernels in QEMU and run the cases: of a kernel, a topology, with a word in the name; with
                     --everywhere on the oldest and newest kernel also what depends on none
  model              go through every state of the lock protocol
  fuzz               give the corpus and 1,000 cases of chance to each parser, and changed trees to commands
  stress             keep 64 processes at the locks for a minute
  power-loss         take the power away at moments of some commands, and show that a sync left out is noticed
  soak storm         storms of all commands on made-up machines with processes killed and disks full, on each kernel: --hours H
  soak power-loss    take the power away, or kill pcictl, at every moment of every command
  soak mutants       break the decisions in src one by one, and see that some test fails: [FILE]...
  soak systemd       see that operations outlive their unit or session, on Debians with systemd in QEMU
  soak debian-guest  what becomes of devices and operations on servers with the package: udev, LVM, ssh, shutdown
  soak fleet-guests  boot several servers that are reached by ssh, for COMMAND: N -- COMMAND
  soak packages      build all that is released twice and compare, and try the hooks for initramfs
  soak arm           build for 64-bit Arm, and run what looks at trees under QEMU's user emulation
  soak examples      have Nagios, Prometheus and a schema of Kubernetes read packaging/examples
  soak ansible       run packaging/ansible, with ansible-test, on a dumped tree and on two Debians in QEMU
  soak fuzz          give anything to all parsers, and changed trees to commands: [--minutes N] [--seed N]
  soak terminal      record what somebody sees on a terminal who waits for a lock
  small              build the static program and see that it is small enough
  packages           build .deb, .rpm and the static archive, and install, upgrade and purge them in clean roots
  msrv               build pcictl with the oldest supported Rust, which Debian's archive has
  regenerate [DIR]   man pages, schema and THIRD-PARTY.md, here or into DIR
  demo               remove a PCIe switch and bring it back, on a real kernel in QEMU
  ci [STAGE]...      all of it, as CI does, or one stage: quick, model, guest
  help               this text";

/// The scripts of tests/soak, which take too long for CI.
const SOAK: [&str; 12] = [
    "storm",
    "power-loss",
    "mutants",
    "systemd",
    "debian-guest",
    "fleet-guests",
    "packages",
    "arm",
    "examples",
    "ansible",
    "fuzz",
    "terminal",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_else(|| "help".into());
    let rest: Vec<OsString> = arguments.collect();
    match run(&verb.to_string_lossy(), &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &str, rest: &[OsString]) -> Result<(), String> {
    let takes_more = matches!(verb, "guest" | "regenerate" | "soak" | "ci");
    if !takes_more && !rest.is_empty() {
        return Err(format!("{verb} takes no argument\n\n{USAGE}"));
    }
    match verb {
        "fmt" => steps::cargo(["fmt", "--all"]),
        "lint" => steps::all(steps::LINT),
        "quick" => steps::all(steps::LINT).and_then(|()| steps::all(steps::TEST)),
        "guest" => steps::guest(rest),
        "model" => steps::model(),
        "fuzz" => steps::fuzz(),
        "stress" => steps::stress(),
        "power-loss" => steps::power_loss(),
        "soak" => match rest.first().and_then(|name| name.to_str()).filter(|name| SOAK.contains(name)) {
            Some(name) => steps::script_with(&format!("tests/soak/{name}"), &rest[1..]),
            None => Err(format!("soak takes a name: {}\n\n{USAGE}", SOAK.join(", "))),
        },
        "small" => steps::small(),
        "packages" => steps::script("tests/packages"),
        "msrv" => steps::msrv(),
        "regenerate" => {
            let directory = rest.first().map_or_else(root, PathBuf::from);
            generate::run(&directory, &generate::release_date()?)?;
            schema::write(&directory)?;
            third_party::write(&directory)
        }
        "demo" => steps::script("tests/demo"),
        "ci" => ci::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown verb {verb}\n\n{USAGE}")),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
