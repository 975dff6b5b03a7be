//! `dump`: what it writes reads like what it was made of, it opens nothing that it must not, and it writes nowhere else.

mod anonymous;
mod this_machine;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::dump::{Dump, Node, Order};
use crate::support::golden::diff;
use crate::support::run::Run;
use crate::support::{Tree, load_dump, processes, scratch_directory, timeless, tree_names, trees_dir};

/// Where the dumps of a test go.
fn place() -> (TempDir, PathBuf) {
    let directory = scratch_directory();
    let path = directory.path().join("out");
    (directory, path)
}

/// Everything that the commands say of a tree, as JSON, with the status; the tree's own path is written `@`.
fn told(root: &Path, functions: &[String], directories: Option<(&Path, &Path)>) -> Vec<(String, Value)> {
    let mut commands: Vec<String> = ["list", "tree", "doctor", "status", "list -o address,class,name,ids,in-use,place"]
        .iter()
        .map(|words| format!("{words} -j"))
        .collect();
    for function in functions {
        commands.push(format!("show -j {function}"));
        commands.push(format!("remove -n -j {function}"));
        if root.join(format!("sys/bus/pci/devices/{function}/sriov_totalvfs")).exists() {
            commands.push(format!("sriov -j {function}"));
        }
    }
    let run = |command: String| {
        let mut run = Run::new(["--sysroot"]).and([root]).and(command.split(' '));
        if let Some((run_directory, state)) = directories {
            run = run.run_dir(run_directory).state_dir(state);
        }
        let output = run.output();
        let mut text = String::from_utf8(output.stdout).expect("text");
        if let Some((run_directory, _)) = directories {
            text = text.replace(run_directory.to_str().expect("text"), "@run");
        }
        let text = text.replace(root.to_str().expect("text"), "@");
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}:\n{text}"));
        (format!("{command}: {:?}", output.status.code()), timeless(value))
    };
    commands.into_iter().map(run).collect()
}

fn functions(root: &Path) -> Vec<String> {
    let mut run = Run::new(["--sysroot"]).and([root]).and(["list", "-j", "-o", "address"]);
    let listed: Value = serde_json::from_slice(&run.output().stdout).expect("JSON");
    let all = listed["functions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|function| function["address"].as_str().expect("an address").to_owned()).collect()
}

/// Runs a dump that must end with 0, or with 5 if something of the tree cannot be read.
fn dump(root: &Path, arguments: &[&str], target: &Path) -> Value {
    let mut run = Run::new(["--sysroot"]).and([root]).and(["dump", "-j"]).and([target]).and(arguments);
    let output = run.output();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    let expected = if report["unread"].as_array().is_some_and(|unread| unread.is_empty()) { 0 } else { 5 };
    assert_eq!(output.status.code(), Some(expected), "{stdout}{stderr}");
    report
}

/// A dump as a directory that `--sysroot` reads.
fn unpacked(target: &Path) -> (Option<TempDir>, PathBuf) {
    if target.is_dir() {
        return (None, target.to_owned());
    }
    let text = fs::read_to_string(target).expect("a dump");
    let directory = scratch_directory();
    let dump = Dump::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    dump.unpack(directory.path(), &trees_dir(), Order::FirstFirst).expect("it unpacks");
    let path = directory.path().to_owned();
    (Some(directory), path)
}

/// The functions of a tree that are shown: all of a small one, some of each part of a large one.
fn sample(functions: Vec<String>) -> Vec<String> {
    let step = functions.len().div_ceil(24).max(1);
    functions.into_iter().step_by(step).collect()
}

/// Compares what was told, and shows only the lines that differ.
fn assert_alike(expected: &[(String, Value)], got: &[(String, Value)], what: &str) {
    assert_eq!(expected.len(), got.len(), "{what}");
    for ((command, expected), (again, got)) in expected.iter().zip(got) {
        assert_eq!(command, again, "{what}");
        if expected != got {
            let text = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
            panic!("{what}: {command} (- of the tree, + of the dump):\n{}", diff(&text(expected), &text(got)));
        }
    }
}

fn assert_reads_alike(name: &str) {
    let tree = Tree::shared(name);
    let functions = sample(functions(tree.path()));
    let expected = told(tree.path(), &functions, None);
    let directory = scratch_directory();
    for form in ["out", "out.tree"] {
        let target = directory.path().join(form);
        dump(tree.path(), &[], &target);
        let (_kept, root) = unpacked(&target);
        assert_alike(&expected, &told(&root, &functions, None), &format!("{name} as {form}"));
    }
}

#[test]
fn every_tree_reads_alike_when_it_was_dumped() {
    std::thread::scope(|scope| {
        for name in tree_names() {
            scope.spawn(move || assert_reads_alike(&name));
        }
    });
}

#[test]
fn a_dump_of_a_dump_is_the_same() {
    let (directory, first) = place();
    dump(Tree::shared("busy").path(), &[], &first);
    let second = directory.path().join("again");
    dump(&first, &[], &second);
    let listed = |root: &Path| {
        let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry"));
        let read = |entry: walkdir::DirEntry| {
            let path = entry.path().strip_prefix(root).expect("below").to_owned();
            let link = fs::read_link(entry.path()).ok();
            (path, link, fs::read(entry.path()).ok())
        };
        entries.filter(|entry| !entry.file_type().is_dir()).map(read).collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), listed(&second));
}

#[test]
fn what_pcictl_wrote_itself_is_dumped_from_wherever_it_is() {
    let tree = Tree::load("vmd");
    let (run, state) = (scratch_directory(), scratch_directory());
    for directory in ["journal", "locks"] {
        fs::create_dir_all(run.path().join(directory)).expect("a directory");
    }
    fs::create_dir_all(state.path().join("ledger/history")).expect("a directory");
    fs::write(run.path().join("journal/1-2.journal"), "not one\n").expect("a file");
    fs::write(run.path().join("locks/root.lock"), "pcictl\n").expect("a file");
    fs::write(state.path().join("ledger/history/pci0000:00+03.0.json"), "{\"schema\":1,\"past\":[]}\n")
        .expect("a file");
    let entry = "{\"schema\":1,\"removed_at\":1,\"top\":\"pci0000:00/03.0\",\"place\":\"pci0000:00/03.0\",\"address\":\"0000:00:03.0\"}\n";
    fs::write(state.path().join("ledger/pci0000:00+03.0.json"), entry).expect("a file");
    let other = entry.replace("03.0", "04.0");
    let removal = format!("{{\"schema\":2,\"entries\":[{other}],\"past\":[]}}\n");
    fs::write(state.path().join("ledger/pci0000:00+04.0@7.json"), removal).expect("a file");
    let (_directory, target) = place();
    Run::new(["dump"])
        .and([&target])
        .on(&tree)
        .run_dir(run.path())
        .state_dir(state.path())
        .stdout_like("[..]out: [..] functions, [..] files, [..] links, [..] kB\n")
        .check();
    let expected = told(tree.path(), &[], Some((run.path(), state.path())));
    let got = told(&target, &[], Some((&target.join("run/pcictl"), &target.join("var/lib/pcictl"))));
    assert_alike(&expected, &got, "vmd");
    assert!(target.join("var/lib/pcictl/ledger/history/pci0000:00+03.0.json").is_file());
    assert!(!target.join("run/pcictl/locks").exists(), "locks are not copied");
}

#[test]
fn only_the_functions_that_are_named_are_dumped() {
    let tree = Tree::shared("busy");
    let (_directory, target) = place();
    let report = dump(tree.path(), &["0000:02:00.0"], &target);
    assert_eq!(report["functions"], 4);
    assert_eq!(functions(&target), ["0000:00:01.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"]);
    let asked = ["0000:02:00.0".to_owned(), "0000:03:00.0".to_owned()];
    let only = |told: Vec<(String, Value)>| {
        told.into_iter()
            .filter(|(command, _)| asked.iter().any(|address| command.contains(address)))
            .collect::<Vec<_>>()
    };
    assert_alike(&only(told(tree.path(), &asked, None)), &only(told(&target, &asked, None)), "two functions");
    let names = |path: &str| {
        let entries = fs::read_dir(target.join(path)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect::<BTreeSet<_>>()
    };
    assert!(!names("sys/class/net").contains("eth0") && names("sys/class/net").contains("br0"));
    assert_eq!(names("sys/devices/pci0000:00"), BTreeSet::from(["0000:00:01.0".to_owned(), "pci_bus".to_owned()]));

    let (_directory, target) = place();
    dump(Tree::shared("sriov-host").path(), &["pci0000:00"], &target);
    assert!(functions(&target).iter().all(|address| !address.starts_with("0000:8")), "only below pci0000:00");
    let (_directory, target) = place();
    Run::words("dump 0000:7f:00.0").and([&target]).tree("vmd").stderr_like("pcictl: [..]\n...\n").status(3).check();
}

#[test]
fn nothing_is_overwritten() {
    let directory = scratch_directory();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("full")).expect("a directory");
    fs::write(path("full/letter"), "mine").expect("a file");
    fs::write(path("old.tree"), "mine").expect("a file");
    fs::write(path("old"), "mine").expect("a file");
    fs::create_dir(path("empty")).expect("a directory");
    symlink("empty", path("link")).expect("a link");
    symlink("nowhere.txt", path("link.tree")).expect("a link");
    for (name, why) in [
        ("full", "is not empty"),
        ("old.tree", "exists already"),
        ("old", "exists already, and is no directory"),
        ("link", "exists already, and is no directory"),
        ("link.tree", "exists already"),
    ] {
        let message = format!("pcictl: {}: {why}\nhint: name a directory or file that is new\n", path(name).display());
        Run::new(["dump"]).and([path(name)]).tree("vmd").stderr(message).status(1).check();
    }
    assert_eq!(fs::read_to_string(path("full/letter")).expect("text"), "mine");
    assert_eq!(fs::read_to_string(path("old.tree")).expect("text"), "mine");
    assert!(!path("nowhere.txt").exists());
    Run::new(["dump"]).and([path("empty")]).tree("vmd").stdout_like("[..]\n").check();
    let mode = |name: &str| path(name).symlink_metadata().expect("there").permissions().mode() & 0o777;
    Run::new(["dump"]).and([path("new")]).tree("vmd").stdout_like("[..]\n").check();
    Run::new(["dump"]).and([path("new.tree")]).tree("vmd").stdout_like("[..]\n").check();
    assert_eq!((mode("new"), mode("new.tree")), (0o700, 0o600), "only the owner can look into it");
    let [gone, out] = ["gone", "gone/out"].map(|name| path(name).display().to_string());
    let message = format!("pcictl: {out}: cannot be made in {gone}: No such file or directory\n");
    Run::new(["dump"]).and([path("gone/out")]).tree("vmd").stderr(message).status(1).check();
}

#[test]
fn a_dump_into_what_is_dumped_is_refused() {
    let tree = Tree::load("vmd");
    for place in ["out", "sys/out.tree"] {
        let message = format!("pcictl: @/{place}: lies in what is to be dumped; name a place outside of it\n");
        Run::new(["dump"]).and([tree.path().join(place)]).on(&tree).stderr(message).status(2).check();
    }
}

#[test]
fn links_are_copied_as_links_and_nothing_outside_is_read() {
    let outside = scratch_directory();
    fs::write(outside.path().join("secret.conf"), "0000:00:01.0 the secret\n").expect("a file");
    let text = "sys/bus/pci/devices:\n  0000:00:01.0 -> ../../../devices/pci0000:00/0000:00:01.0\n\
                sys/devices/pci0000:00/0000:00:01.0:\n  class = 0x020000\n";
    let tree = Tree::parse(text);
    fs::create_dir_all(tree.path().join("etc/pcictl")).expect("a directory");
    symlink(outside.path(), tree.path().join("etc/pcictl/protected.d")).expect("a link");
    symlink(outside.path().join("secret.conf"), tree.path().join("sys/devices/pci0000:00/0000:00:01.0/vendor"))
        .expect("a link");
    symlink(outside.path(), tree.path().join("sys/devices/pci0000:00/0000:00:01.0/net")).expect("a link");
    symlink(outside.path(), tree.path().join("sys/class")).expect("a link");
    let (_directory, target) = place();
    let report = dump(tree.path(), &[], &target);
    assert_eq!(report["unread"][0]["path"], "/etc/pcictl/protected.d");
    let vendor = target.join("sys/devices/pci0000:00/0000:00:01.0/vendor");
    assert_eq!(fs::read_link(vendor).expect("a link"), outside.path().join("secret.conf"));
    let text = |entry: walkdir::DirEntry| fs::read_to_string(entry.path()).unwrap_or_default();
    let entries = walkdir::WalkDir::new(&target).into_iter().map(|entry| entry.expect("an entry"));
    assert!(entries.filter(|entry| entry.file_type().is_file()).all(|entry| !text(entry).contains("the secret")));
}

/// Of a function, what may block, wake it or do something to it.
const NEVER_READ: [&str; 12] = [
    "uevent",
    "vpd",
    "rom",
    "resource0",
    "sriov_numvfs",
    "remove",
    "rescan",
    "reset",
    "label",
    "waiting_for_supplier",
    "secondary_bus_number",
    "acpi_index",
];

/// What asks the hardware.
const ASKS_DEVICE: [&str; 5] =
    ["config", "current_link_speed", "current_link_width", "max_link_speed", "max_link_width"];

#[test]
fn a_sleeping_function_is_left_alone() {
    for asleep in [
        "  power_state = D3cold\n",
        "  power_state = D0\nsys/devices/pci0000:00/0000:00:01.0/power:\n  runtime_status = suspended\n",
    ] {
        let tree = Tree::parse(&format!(
            "sys/bus/pci/devices:\n  0000:00:01.0 -> ../../../devices/pci0000:00/0000:00:01.0\n\
             sys/devices/pci0000:00/0000:00:01.0:\n  class = 0x020000\n{asleep}"
        ));
        for name in NEVER_READ.iter().chain(&ASKS_DEVICE) {
            let path = tree.path().join("sys/devices/pci0000:00/0000:00:01.0").join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        }
        let (_directory, target) = place();
        let calls = Run::new(["dump"]).and([&target]).on(&tree).traced();
        let opened = calls.iter().filter(|call| call.contains("open")).filter(|call| {
            let names = NEVER_READ.iter().chain(&ASKS_DEVICE);
            let is_source = call.contains("openat2(");
            is_source && names.clone().any(|name| call.contains(&format!("/{name}\"")))
        });
        assert_eq!(opened.collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(target.join("sys/devices/pci0000:00/0000:00:01.0/config").exists(), "that it is there is told");
    }
}

#[test]
fn a_name_that_the_text_form_cannot_say_is_told() {
    let tree = Tree::load("vmd");
    let odd = tree.path().join("sys/class/net/a = b");
    fs::create_dir_all(odd.parent().expect("a directory")).expect("a directory");
    symlink("../../devices/virtual/net/x", odd).expect("a link");
    let (directory, target) = place();
    assert_eq!(dump(tree.path(), &[], &target)["unread"].as_array().expect("a list").len(), 0);
    let report = dump(tree.path(), &[], &directory.path().join("out.tree"));
    assert_eq!(report["unread"][0]["path"], "/sys/class/net/a = b");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let (_directory, target) = place();
    let report = dump(Tree::shared("garbage").path(), &[], &target);
    let unread: Vec<&str> = report["unread"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|unread| unread["path"].as_str().expect("text"))
        .collect();
    if !unread.is_empty() {
        assert!(unread.contains(&"/sys/devices/pci0000:00/0000:00:04.0/class"), "{unread:?}");
    }
    assert!(report["functions"].as_u64().expect("a number") > 15);
    let dumped = Tree::shared("garbage").path().join("sys/bus/pci/devices/0000:00:0f.0");
    assert_eq!(fs::read_link(dumped).expect("a link"), Path::new("/etc"));
    let Node::Link(to) = &load_dump("garbage").0[Path::new("sys/bus/pci/devices/0000:00:0f.0")] else {
        panic!("a link")
    };
    assert_eq!(fs::read_link(target.join("sys/bus/pci/devices/0000:00:0f.0")).expect("a link"), Path::new(to));
}

/// A removal of 0000:00:01.0 that drains its files, and a rescan below it that waits for the removal; and a function
/// without a driver, which a module that is loaded would serve. A process that hangs in something else is told, too.
const STUCK: &str = "\
sys/bus/pci/devices:
  0000:00:01.0 -> ../../../devices/pci0000:00/0000:00:01.0
sys/devices/pci0000:00/0000:00:01.0:
  class = 0x010802
  modalias = pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02
sys/class:
sys/module/nvme/drivers:
  pci:nvme -> ../../../bus/pci/drivers/nvme
lib/modules/9.9-theirs:
  modules.alias = # all of them
    + alias pci:v*d*sv*sd*bc01sc08i02* nvme
    + alias pci:v00001B36d00000010sv*sd*bc*sc*i* blocked
    + alias usb:v1 other
etc/modprobe.d:
  site.conf = blacklist blocked
etc:
  kdump.conf = # where it goes
    + ssh admin@backup.example
    + ext4 UUID=0a1b2c3d-0000-4000-8000-0123456789ab
dev/disk/by-uuid:
  0a1b2c3d-0000-4000-8000-0123456789ab -> ../../nvme0n1p1
proc/sys/kernel:
  osrelease = 9.9-theirs
proc:
  cmdline = root=/dev/sda1 secret=hunter2
proc/1:
  stat = 1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1
  comm = init
  environ = SECRET=hunter2
proc/70:
  stat = 70 (pcictl) D 1 70 70 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5
  comm = pcictl
  cmdline : 7063696374 6c00 6b65726e656c2d7772697465 00
  environ = SECRET=hunter2
proc/70/fd:
  1 -> /sys/devices/pci0000:00/0000:00:01.0/remove
  2 -> /home/alice/letter
proc/70/task/70:
  stat = 70 (pcictl) D 1 70 70 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5
  comm = pcictl
  wchan = kernfs_drain
  status = Name:	pcictl
    + voluntary_ctxt_switches:	5
    + nonvoluntary_ctxt_switches:	6
  stack = [<0>] kernfs_drain+0x11a/0x130
    + [<0>] device_del+0x172/0x3e0
    + [<0>] pci_remove_bus_device+0x6f/0x110
    + [<0>] pci_stop_and_remove_bus_device_locked+0x1a/0x30
    + [<0>] remove_store+0x79/0x90
proc/80:
  stat = 80 (sh) D 1 80 80 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 6
  comm = sh
  cmdline : 736800
proc/80/fd:
  1 -> /sys/devices/pci0000:00/0000:00:01.0/rescan
proc/80/task/80:
  stat = 80 (sh) D 1 80 80 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 6
  comm = sh
  wchan = dev_rescan_store
  status = Name:	sh
    + voluntary_ctxt_switches:	1
    + nonvoluntary_ctxt_switches:	1
  stack = [<0>] dev_rescan_store+0x68/0xa0
    + [<0>] kernfs_fop_write_iter+0x13b/0x1f0
";

#[test]
fn a_stuck_machine_is_stuck_in_its_dump() {
    let tree = Tree::parse(STUCK);
    let expected = told(tree.path(), &["0000:00:01.0".to_owned()], None);
    let doctor = |told: &[(String, Value)]| told.iter().find(|(command, _)| command.starts_with("doctor")).cloned();
    assert_eq!(doctor(&expected).expect("it is asked").1["verdict"], "stuck");
    let directory = scratch_directory();
    for form in ["out", "out.tree"] {
        let target = directory.path().join(form);
        dump(tree.path(), &[], &target);
        let (_kept, root) = unpacked(&target);
        assert_alike(&expected, &told(&root, &["0000:00:01.0".to_owned()], None), form);
        for entry in walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.expect("an entry")) {
            let content = fs::read(entry.path()).unwrap_or_default();
            for secret in ["hunter2", "alice", "backup.example"] {
                assert!(!String::from_utf8_lossy(&content).contains(secret), "{secret}: {}", entry.path().display());
            }
        }
        assert!(root.join("dev/disk/by-uuid").is_dir() && root.join("etc/kdump.conf").is_file());
    }
    let target = directory.path().join("anonymous");
    dump(tree.path(), &["--anonymize"], &target);
    assert_alike(&[doctor(&expected).expect("one")], &[doctor(&told(&target, &[], None)).expect("one")], "anonymous");

    // The module table says what the functions of the dump need, and no more.
    let aliases =
        fs::read_to_string(directory.path().join("out/lib/modules/9.9-theirs/modules.alias")).expect("a table");
    assert_eq!(aliases, "alias pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02 nvme\n");
}
