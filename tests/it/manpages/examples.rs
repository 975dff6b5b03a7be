//! The examples of the man pages: each is run, as it stands, by a shell.
//!
//! The shell finds a `pcictl` that adds two options: `--sysroot` with a tree that has what the examples speak of, and
//! `--dry-run` where the command has that, for nothing can be changed in a tree. So what is tried of a change is all but the
//! writes. What no tree can show is listed below, with what it ends with instead, and why.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Page, plain};
use crate::support::run::Run;
use crate::support::site::Site;
use crate::support::{Tree, processes};

/// Examples that do not end with 0 on a tree: how they begin, their status, and how what they say begins.
const OTHERWISE: &[(&str, i32, &str)] = &[
    // It marks the files of the kernel, and a tree has none. That it says so means that it has read its command line.
    ("pcictl guard --status", 1, "pcictl: no guard is running"),
    ("pcictl guard", 2, "pcictl: --sysroot: nobody writes to a dumped tree"),
    // It looks once: devices and drivers of a tree stay as they are.
    ("pcictl wait --gone 0000:03:00.0", 124, "pcictl: 0000:03:00.0: still there"),
    ("pcictl wait --driver vfio-pci slot:7", 124, "pcictl: 0000:03:00.0: bound to nvme, not vfio-pci"),
];

/// Where the examples find a pcictl that reads this tree; `dry` are the commands that get `--dry-run`.
pub(super) fn example_site(tree: &Path, dry: &[String]) -> Site {
    let (program, tree, dry) = (env!("CARGO_BIN_EXE_pcictl"), tree.display(), dry.join("|"));
    let site = Site::bare();
    let script = format!(
        r#"case $1 in slot) verb="$1 $2"; shift 2 ;; *) verb=$1; shift ;; esac
dry=
case "|{dry}|" in *"|$verb|"*) dry=--dry-run ;; esac
case " $* " in *" -n "* | *" --dry-run "*) dry= ;; esac
exec '{program}' --sysroot '{tree}' $verb $dry "$@""#
    );
    site.program("pcictl", &script);
    site
}

/// A shell for an example, with the run directory of the tree.
pub(super) fn bash(site: &Site, script: &str) -> Command {
    let mut bash = site.command("bash");
    bash.args(["-c", script]).env_remove("PCICTL_RUN_DIR");
    bash
}

/// The command lines of a page's examples: those that a paragraph is tagged with, and those that stand as they are.
fn examples(page: &Page) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut lines = page.lines_of("EXAMPLES").into_iter();
    while let Some(line) = lines.next() {
        match line {
            ".TP" => found.extend(lines.next().map(plain)),
            ".EX" => {
                found.push(plain(&lines.by_ref().take_while(|line| *line != ".EE").collect::<Vec<_>>().join("\n")))
            }
            _ => {}
        }
    }
    found
}

/// The commands that have a dry run, as their help says.
pub(super) fn with_dry_run(pages: &[Page]) -> Vec<String> {
    let has = |command: &String| {
        let help = Run::new(command.split_whitespace().chain(["--help"])).text();
        help.contains("--dry-run")
    };
    pages.iter().filter_map(Page::command).filter(has).collect()
}

#[test]
fn every_command_line_works() {
    let pages = Page::all();
    let dry = with_dry_run(&pages);
    assert!(dry.len() > 10 && dry.contains(&"slot off".to_owned()), "{dry:?}");
    let [manual, sriov] = ["manual", "sriov-host"].map(|tree| example_site(Tree::shared(tree).path(), &dry));
    let (mut run, mut otherwise) = (0, [false; OTHERWISE.len()]);
    for page in &pages {
        // Its physical function is that of another machine.
        let site = if page.name == "pcictl-sriov" { &sriov } else { &manual };
        let examples = examples(page);
        assert!(!examples.is_empty(), "{} has none", page.name);
        for example in examples.iter().filter(|example| example.starts_with("pcictl ")) {
            run += 1;
            if example.contains(" --watch") {
                assert_watches(site, example);
                continue;
            }
            let output = processes::output(&mut bash(site, &format!("set -o pipefail; {example}")));
            let said = String::from_utf8(output.stderr).unwrap();
            let exception = OTHERWISE.iter().position(|(begin, _, _)| example.starts_with(begin));
            let (status, begin) = exception.map_or((0, ""), |index| (OTHERWISE[index].1, OTHERWISE[index].2));
            assert_eq!(output.status.code(), Some(status), "{}: {example}: {said}", page.name);
            assert!(said.starts_with(begin), "{}: {example}: {said}", page.name);
            exception.into_iter().for_each(|index| otherwise[index] = true);
        }
    }
    assert!(run > 90, "{run}");
    assert_eq!(otherwise, [true; OTHERWISE.len()], "an exception is not needed");
}

/// It goes on until a signal ends it, and that is no failure.
fn assert_watches(site: &Site, example: &str) {
    let mut shell = bash(site, &format!("exec {example}"));
    let mut child = processes::start(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{example}: {said}");
}

/// The example of a page that is a file.
fn file_of(page: &str) -> String {
    let pages = Page::all();
    let page = pages.iter().find(|known| known.name == page).unwrap();
    let examples = examples(page);
    assert_eq!(examples.len(), 1, "{}", page.name);
    examples[0].clone() + "\n"
}

#[test]
fn the_examples_of_configuration_are_valid() {
    let tree = Tree::load("manual");
    fs::create_dir_all(tree.path().join("etc/pcictl/protected.d")).unwrap();
    tree.edit("etc/pcictl/pcictl.conf", file_of("pcictl.conf"));
    tree.edit("etc/pcictl/protected.d/site.conf", file_of("pcictl-protected.d"));
    Run::words("remove -n 0000:03:00.0").on(&tree).text();
    let listed = Run::words("show --protected --json").on(&tree).json();
    assert_eq!(listed["protected"].as_array().map(Vec::len), Some(3), "{listed}");
    // And they are really read.
    tree.edit("etc/pcictl/pcictl.conf", "wiat = 5m\n");
    Run::words("remove -n 0000:03:00.0").on(&tree).stderr_like("pcictl: [..]\nhint: [..]\n").status(2).check();
}

/// The line by which a script runs itself again under a lock, on the two pages that have it.
#[test]
fn a_script_runs_itself_again_under_the_lock() {
    let site = example_site(Tree::shared("manual").path(), &[]);
    for (page, section) in [("pcictl-lock", "NOTES"), ("pcictl-locking", "EXAMPLES")] {
        let pages = Page::all();
        let page = pages.iter().find(|known| known.name == page).unwrap();
        let text = plain(&page.lines_of(section).join("\n"));
        let begin = text.find("[ \"$PCICTL_LOCKED\"").unwrap();
        let line = text[begin..].split("\n.EE").next().unwrap();
        site.script("work/script", &format!("{line}\npcictl locks --quiet; echo \"$1\""));
        let output = processes::output(bash(&site, "./script done").env("PCICTL_RUN_DIR", site.path("run")));
        let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(out.contains("held exclusive") && out.ends_with("done\n"), "{out}{said}");
    }
}
