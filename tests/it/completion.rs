//! Completion as people meet it: a tab in bash, with and without bash-completion, in zsh and in fish.
//!
//! Every row is tried in every shell, on a machine of files: with a card that is gone, and an operation that was cut off.

mod shells;

use std::fs;

use shells::{Answer, Kind, Shell};
use tempfile::TempDir;

use crate::back::ledger_of;
use crate::support::{Tree, scratch_directory};

/// What must come of a tab.
enum Check {
    /// These words are offered, in this order, and no others.
    Exactly(&'static [&'static str]),
    /// These are offered among others.
    Has(&'static [&'static str]),
    /// Nothing is offered that contains this.
    Lacks(&'static str),
    /// This is offered, and what is shown beside it contains this.
    Described(&'static str, &'static str),
    /// The last word becomes this at once.
    Becomes(&'static str),
    /// The line stays as it is.
    Stays,
}

use Check::{Becomes, Described, Exactly, Has, Lacks, Stays};

const VERBS: &[&str] = &[
    "list", "tree", "show", "remove", "rescan", "replug", "unbind", "bind", "override", "wait", "sriov", "reset",
    "power", "slot", "lock", "locks", "status", "history", "recover", "doctor", "guard", "dump", "help",
];

/// Lines up to the tab; `T` stands for the option that names the made machine, `V` and `S` for two others.
const ROWS: &[(&str, &[Check])] = &[
    // Commands first, with what they do; options after a dash; nothing that is hidden.
    ("pcictl ", &[Exactly(VERBS), Described("remove", "drivers first")]),
    ("pcictl re", &[Exactly(&["remove", "rescan", "replug", "reset", "recover"]), Stays]),
    ("pcictl rem", &[Becomes("remove ")]),
    ("pcictl -", &[Has(&["--json", "--sysroot"]), Lacks("list"), Described("--json", "one JSON document")]),
    ("pcictl T ", &[Exactly(VERBS)]),
    ("pcictl slot ", &[Exactly(&["list", "show", "on", "off", "identify", "help"])]),
    ("pcictl help sl", &[Becomes("slot ")]),
    ("pcictl comp", &[Exactly(&[])]),
    ("pcictl complete ", &[Exactly(&[])]),
    ("pcictl complete -", &[Exactly(&[])]),
    ("pcictl read-o", &[Exactly(&[])]),
    ("pcictl gen", &[Exactly(&[])]),
    ("pcictl help comp", &[Exactly(&[])]),
    ("pcictl status -", &[Has(&["--watch"]), Lacks("--quiet"), Lacks("--verbose")]),
    ("pcictl recover --sys", &[Exactly(&[])]),
    ("pcictl status ", &[Exactly(&[])]),
    // Devices, with their class, what is on them, their driver and their name.
    (
        "pcictl T remove ",
        &[
            Has(&["0000:1a:00.0", "0000:8b:00.0", "eno1", "nvme3n1", "driver:", "class:", "id:", "slot:"]),
            Described("0000:1a:00.0", "3D controller"),
            Described("0000:1a:00.0", "nvidia, NVIDIA Corporation GV100GL"),
            Described("0000:8b:00.0", "nvme3n1, nvme, Samsung"),
            Described("0000:01:00.0", "eno1, igb, Intel"),
            Described("eno1", "0000:01:00.0, Ethernet controller"),
            Lacks("--"),
            Lacks("pci0000:"),
            // It is gone.
            Lacks("0000:1d:00.0"),
        ],
    ),
    // What was given is not offered again.
    ("pcictl T remove 0000:1a:00.0 ", &[Has(&["0000:1b:00.0"]), Lacks("0000:1a:00.0")]),
    ("pcictl T remove 1a:00.0 1a", &[Exactly(&[])]),
    ("pcictl T remove eno1 en", &[Has(&["eno2"]), Lacks("eno1")]),
    ("pcictl T show 0000:1a:00.0 ", &[Exactly(&[])]),
    ("pcictl remove --if-present --if", &[Exactly(&[])]),
    ("pcictl remove --no-wait --wa", &[Exactly(&[])]),
    ("pcictl --quiet remove --ver", &[Becomes("--version ")]),
    ("pcictl rescan --all ", &[Exactly(&[])]),
    // Addresses as people begin them.
    ("pcictl T remove 1a", &[Becomes("0000:1a:00.0 ")]),
    ("pcictl T remove 1A", &[Becomes("0000:1a:00.0 ")]),
    ("pcictl T remove 1a:", &[Becomes("1a:00.0 ")]),
    ("pcictl T remove 1a:00", &[Becomes("1a:00.0 ")]),
    ("pcictl T remove 1a:00.", &[Becomes("1a:00.0 ")]),
    ("pcictl T remove 0000:1a:", &[Becomes("0000:1a:00.0 ")]),
    ("pcictl T remove 0000:1a", &[Becomes("0000:1a:00.0 ")]),
    ("pcictl T remove \"1a", &[Becomes("\"0000:1a:00.0\" ")]),
    ("pcictl dump \"/etc/os-rel", &[Becomes("\"/etc/os-release\" ")]),
    ("pcictl T show 1c", &[Becomes("0000:1c:00."), Exactly(&["0000:1c:00.0", "0000:1c:00.1"])]),
    ("pcictl V show e1", &[Exactly(&["10000:e1:00.0", "10001:e1:00.0"]), Stays]),
    ("pcictl V show e1:", &[Stays]),
    ("pcictl V show e2", &[Becomes("10000:e2:00.0 ")]),
    ("pcictl V show e2:", &[Becomes("e2:00.0 ")]),
    ("pcictl V show 10001:e1", &[Becomes("10001:e1:00.0 ")]),
    // Groups.
    ("pcictl T show dr", &[Becomes("driver:")]),
    ("pcictl T show driver:nv", &[Exactly(&["driver:nvidia", "driver:nvme"]), Described("driver:nvme", "3 functions")]),
    ("pcictl T show driver:i8", &[Becomes("driver:i801_smbus ")]),
    ("pcictl T show class:nv", &[Becomes("class:nvme ")]),
    ("pcictl T show class:030", &[Exactly(&["class:0300", "class:0302"]), Described("class:0302", "3D controller")]),
    ("pcictl T show id:10de:", &[Becomes("id:10de:1db5 ")]),
    ("pcictl T show id:100", &[Becomes("id:1000:005d ")]),
    (
        "pcictl T show slot:",
        &[Has(&["slot:26", "slot:12"]), Described("slot:26", "3D controller"), Described("slot:12", "empty")],
    ),
    // Interfaces, disks and their nodes, host bridges.
    ("pcictl T show ens3fnp1", &[Becomes("ens3fnp1 ")]),
    ("pcictl T show net/eno", &[Exactly(&["net/eno1", "net/eno2"])]),
    (
        "pcictl T show /dev/nv",
        &[Has(&["/dev/nvme1n1", "/dev/nvme3n1"]), Lacks("nvme0"), Described("/dev/nvme3n1", "0000:8b:00.0")],
    ),
    ("pcictl T show /dev/dri/card1", &[Becomes("/dev/dri/card1 ")]),
    ("pcictl T tree pci0000:1", &[Becomes("pci0000:17 ")]),
    ("pcictl T rescan pci", &[Has(&["pci0000:00", "pci0000:17"]), Described("pci0000:00", "host bridge")]),
    ("pcictl T remove pci", &[Exactly(&[])]),
    // What is gone, where that is of use; what is there, where nothing else is.
    ("pcictl T rescan 1d", &[Becomes("0000:1d:00.0 ")]),
    (
        "pcictl T rescan ",
        &[
            Has(&["0000:1d:00.0", "0000:1a:00.0"]),
            Described("0000:1d:00.0", "gone: Non-Volatile memory controller"),
            Described("0000:1d:00.0", "nvme0n1"),
        ],
    ),
    ("pcictl T wait 1d", &[Becomes("0000:1d:00.0 ")]),
    ("pcictl T rescan 1a:00.0 --expect 0000:1d", &[Becomes("0000:1d:00.0 ")]),
    ("pcictl T rescan 1a:00.0 --expect ", &[Has(&["0000:1d:00.0", "driver=", "count="])]),
    ("pcictl T rescan 1a:00.0 --expect 0000:1d:00.0,driver=nvi", &[Becomes("0000:1d:00.0,driver=nvidia ")]),
    ("pcictl T bind ", &[Has(&["0000:00:05.0"]), Lacks("0000:1a:00.0")]),
    ("pcictl T unbind ", &[Has(&["0000:1a:00.0"]), Lacks("0000:00:05.0")]),
    // Slots, drivers, operations, methods.
    ("pcictl S rescan --slot 5-", &[Exactly(&["5-1", "5-2", "5-3"]), Described("5-3", "0000:05:03, empty")]),
    ("pcictl S rescan --slot 5-1 --slot 5-", &[Exactly(&["5-2", "5-3"])]),
    ("pcictl S slot on ", &[Has(&["1", "30", "5-2"]), Described("2", "0000:02:00, empty")]),
    ("pcictl T bind 00:05.0 --driver nv", &[Exactly(&["nvidia", "nvme"]), Described("nvidia", "8 functions")]),
    ("pcictl T bind --driver=nvi", &[Becomes("--driver=nvidia ")]),
    ("pcictl T override 1a:00.0 no", &[Becomes("none ")]),
    ("pcictl T override 1a:00.0 --clear ", &[Exactly(&[])]),
    ("pcictl T recover ", &[Exactly(&["1700000000-7"])]),
    ("pcictl T recover 1", &[Becomes("1700000000-7 ")]),
    ("pcictl T recover 1700000000-7 ", &[Exactly(&[])]),
    ("pcictl T reset 1a:00.0 --method ", &[Exactly(&["bus"])]),
    // Values: those that are left, at the end of a list, too.
    ("pcictl remove --force ", &[Has(&["mounted", "swap"]), Described("swap", "Swap space is on it")]),
    ("pcictl remove --force mounted,", &[Has(&["mounted,swap"]), Lacks("mounted,mounted")]),
    ("pcictl remove --force mounted,s", &[Becomes("mounted,swap ")]),
    ("pcictl remove --force=mounted,s", &[Becomes("--force=mounted,swap ")]),
    ("pcictl remove --force swap --force s", &[Exactly(&[])]),
    ("pcictl list -o address,", &[Has(&["address,class", "address,driver"]), Lacks("address,address")]),
    ("pcictl list -o address,dr", &[Becomes("address,driver ")]),
    ("pcictl list -o +se", &[Becomes("+serial ")]),
    ("pcictl list -oaddress,dr", &[Becomes("-oaddress,driver ")]),
    ("pcictl list --sort dr", &[Becomes("driver ")]),
    ("pcictl doctor --format ", &[Exactly(&["text", "json", "nagios", "npd", "prometheus"])]),
    ("pcictl --color ", &[Exactly(&["auto", "always", "never"]), Described("always", "Always")]),
    ("pcictl list --color=ne", &[Becomes("--color=never ")]),
    ("pcictl remove --wait ", &[Exactly(&[])]),
    ("pcictl rescan 1a:00.0 --accept l", &[Becomes("link ")]),
    // Another program's command line is the shell's.
    ("pcictl T lock 1a:00.0 -- pcictl T remo", &[Becomes("remove ")]),
    ("pcictl T lock 1a:00.0 -- sha512s", &[Becomes("sha512sum ")]),
    ("pcictl T lock 1a:00.0 0000:1b:00.0 -- cat /etc/os-rel", &[Becomes("/etc/os-release ")]),
    ("pcictl T lock 1a:00.0 -- cat ", &[Lacks("0000:")]),
    ("pcictl T lock 1a:00.0 ", &[Has(&["0000:1b:00.0"]), Lacks("sha512sum")]),
    // Files and directories where they are wanted, and nowhere else.
    ("pcictl dump /etc/os-rel", &[Becomes("/etc/os-release ")]),
    ("pcictl --sysroot /etc/", &[Lacks("os-release")]),
    ("pcictl --sysroot /us", &[Becomes("/usr/")]),
    ("pcictl --sysroot=/us", &[Becomes("--sysroot=/usr/")]),
    // Another tree than this machine, before the command and behind it; none, and what is none.
    ("pcictl V remove ", &[Has(&["10000:e1:00.0"]), Lacks("0000:1a:00.0")]),
    ("pcictl remove V 10001:e1", &[Becomes("10001:e1:00.0 ")]),
    ("pcictl --sysroot /nowhere remove ", &[Exactly(&[])]),
    ("pcictl --sysroot '/nowhere at all' remove 1a", &[Exactly(&[])]),
];

/// The machines, and what pcictl keeps of the first one.
struct Machines {
    tree: Tree,
    run: TempDir,
    state: TempDir,
}

impl Machines {
    fn new() -> Self {
        let (tree, run) = (Tree::load("gpu-server"), scratch_directory());
        let state = ledger_of(&tree, &["0000:1d:00.0"]);
        tree.remove("0000:1d:00.0");
        fs::create_dir(state.path().join("operations")).expect("a directory");
        let header = r#"{"schema":1,"id":"1700000000-7","boot":"another","command":"pcictl remove 0000:1d:00.0","pid":7,
            "uid":0,"began":1700000000,"steps":[],"places":[],"functions":{}}"#;
        fs::write(state.path().join("operations/1700000000-7.json"), header).expect("a file");
        Self { tree, run, state }
    }

    fn line(&self, line: &str) -> String {
        let option = |tree: &Tree| format!("--sysroot {}", tree.path().display());
        let words = line.split(' ').map(|word| match word {
            "T" => option(&self.tree),
            "V" => option(Tree::shared("vmd")),
            "S" => option(Tree::shared("slots")),
            word => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn shell(&self, kind: Kind) -> Shell {
        Shell::new(kind, &[("PCICTL_RUN_DIR", self.run.path()), ("PCICTL_STATE_DIR", self.state.path())])
    }
}

fn every_row_holds(kind: Kind) {
    let machines = Machines::new();
    let mut shell = machines.shell(kind);
    let mut wrong = Vec::new();
    // Without bash-completion nobody completes what another program takes.
    let is_known = |row: &&(&str, &[Check])| kind != Kind::PlainBash || !row.0.contains("-- pcictl");
    for (row, checks) in ROWS.iter().filter(is_known) {
        let line = machines.line(row);
        let answer = shell.tab(&line);
        for check in *checks {
            if let Err(what) = holds(check, &line, &answer) {
                wrong.push(format!("{row:?}: {what}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{kind:?}:\n{}", wrong.join("\n"));
    let shown = shell.shown();
    for trouble in ["bash: ", "zsh: ", "fish: ", "_pcictl:", "not found", "parse error", "panicked"] {
        assert!(!shown.contains(trouble), "{kind:?} says:\n{shown}");
    }
}

fn holds(check: &Check, line: &str, Answer { offers, line: after }: &Answer) -> Result<(), String> {
    let mut values: Vec<&str> = offers.iter().map(|offer| offer.value.as_str()).collect();
    let (start, _) = line.rsplit_once(' ').expect("two words");
    let (is_right, expected) = match check {
        Exactly(words) => (values == *words, format!("offered should be {words:?}")),
        Has(words) => (words.iter().all(|word| values.contains(word)), format!("{words:?} should be offered")),
        Lacks(text) => (!values.iter().any(|value| value.contains(text)), format!("{text} should not be offered")),
        Described(word, text) => {
            let offer = offers.iter().find(|offer| offer.value == *word);
            let is_right = offer.is_some_and(|offer| offer.description.contains(text));
            (is_right, format!("{word} should be told to be {text:?}: {offer:?}"))
        }
        Becomes(word) => match after {
            Some(after) => (*after == format!("{start} {word}"), format!("{after:?} should end in {word:?}")),
            // What fish would put there, its quotes aside; several words may have that as their beginning.
            None if values.len() > 1 => {
                values.retain(|value| !value.starts_with(word));
                (values.is_empty(), format!("{values:?} should begin with {word:?}"))
            }
            None => (values == [word.trim_end().trim_matches('"')], format!("{values:?} should be {word:?}")),
        },
        Stays => (after.as_ref().is_none_or(|after| after == line), format!("{after:?} should be as before")),
    };
    if is_right { Ok(()) } else { Err(format!("{expected}; {values:?} are offered")) }
}

#[test]
fn every_row_holds_in_bash_alone() {
    every_row_holds(Kind::PlainBash);
}

#[test]
fn every_row_holds_in_bash_with_its_completion() {
    every_row_holds(Kind::Bash);
}

#[test]
fn every_row_holds_in_zsh() {
    every_row_holds(Kind::Zsh);
}

#[test]
fn every_row_holds_in_fish() {
    every_row_holds(Kind::Fish);
}
