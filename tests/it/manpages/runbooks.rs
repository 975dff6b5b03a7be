//! The procedures of pcictl-runbooks(7): each command is run on a tree that has what it speaks of, without the writes.
//!
//! That they do what the page says is proven on real kernels: tests/guest/cases/runbooks.sh takes them from the same text, with
//! the statuses that the page gives. On a tree nobody uses a device and nothing is changed, so here all ends with 0 but
//! one. The programs of others that the page calls do nothing here.

use super::examples::{bash, example_site, with_dry_run};
use super::{Page, plain};
use crate::support::site::Site;
use crate::support::{Tree, processes};

/// Programs that the page calls besides pcictl.
const OTHERS: &[&str] = &["mdadm", "load-image", "sync"];

/// The command that does not end with 0 on a tree, where everything stays as it is, and how what it says begins.
const OTHERWISE: (&str, i32, &str) = ("pcictl wait --gone", 124, "pcictl: 0000:04:00.0: still there");

/// The examples of a section, each a list of lines.
fn blocks(page: &Page, title: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut lines = page.lines_of(title).into_iter();
    while let Some(line) = lines.next() {
        if line == ".EX" {
            blocks.push(lines.by_ref().take_while(|line| *line != ".EE").map(plain).collect());
        }
    }
    blocks
}

/// A list of assignments, as each procedure begins with.
fn is_assignment(line: &str) -> bool {
    line.split(' ').all(|word| word.contains('=')) && !line.is_empty()
}

#[test]
fn every_step_works() {
    let pages = Page::all();
    let page = pages.iter().find(|page| page.name == "pcictl-runbooks").unwrap();
    let dry = with_dry_run(&pages);
    let procedures = ["REPLACE AN NVME DRIVE", "REPLUG A GPU", "RELOAD AN FPGA OR DPU", "RECOVER A BUS THAT HANGS"];
    let on_others = ["CHANGE THE VIRTUAL FUNCTIONS OF A NETWORK CARD"];
    let (mut run, mut raw) = (0, 0);
    for (tree, titles) in [("manual", &procedures[..]), ("sriov-host", &on_others)] {
        let site = example_site(Tree::shared(tree).path(), &dry);
        for other in OTHERS {
            site.program(other, "");
        }
        for title in titles {
            let blocks = blocks(page, title);
            assert!(blocks.len() >= 2, "{title}");
            let mut names = String::new();
            for line in blocks.iter().flatten().filter(|line| !line.is_empty()) {
                if line.contains("> /sys/") || line.contains("> /proc/") {
                    raw += 1;
                } else if is_assignment(line) {
                    names = line.clone();
                } else {
                    step(&site, title, &names, line);
                    run += 1;
                }
            }
        }
    }
    // Every section that has an example is a procedure, or about scripts.
    let titles = page.titles();
    let with_examples = titles.iter().filter(|title| !blocks(page, title).is_empty()).count();
    assert_eq!(with_examples, procedures.len() + on_others.len() + 1, "{titles:?}");
    assert!(run > 30 && raw > 8, "{run} {raw}");
}

fn step(site: &Site, title: &str, names: &str, line: &str) {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    assert!(["#", "pcictl", "sleep"].contains(&program) || OTHERS.contains(&program), "{title}: {line}");
    if program == "sleep" {
        return;
    }
    let output = processes::output(&mut bash(site, &format!("set -u; {names}; {line}")));
    let said = String::from_utf8(output.stderr).unwrap();
    let (status, begin) = if line.starts_with(OTHERWISE.0) { (OTHERWISE.1, OTHERWISE.2) } else { (0, "") };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(status), "{title}: {line}: {printed}{said}");
    assert!(said.starts_with(begin), "{title}: {line}: {said}");
}

/// What a script does with each status: its words are those of the page, and no status is left without any.
#[test]
fn the_script_has_an_answer_to_every_status() {
    let pages = Page::all();
    let page = pages.iter().find(|page| page.name == "pcictl-runbooks").unwrap();
    let script = blocks(page, "EXAMPLES")[0].join("\n");
    let site = example_site(Tree::shared("manual").path(), &[]);
    let answers = [
        (0, "fine"),
        (1, "nothing"),
        (4, "in use"),
        (5, "not done"),
        (6, "it is back"),
        (75, "somebody"),
        (124, "not done"),
    ];
    for (status, answer) in answers {
        site.program("pcictl", &format!("exit {status}"));
        let output = processes::output(&mut bash(&site, &script));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with(answer), "{status}: {said}");
    }
}
