//! The trees are sound: each unpacks, and the capture script makes the same dump of it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::dump::{Dump, Node};
use crate::support::{Tree, load_dump, maketree, processes, scratch_directory, tree_names, trees_dir};

/// Trees with things in them that no kernel makes, which capture has no reason to find.
const NOT_CAPTURABLE: [&str; 8] = ["busy", "functions", "garbage", "manual", "names", "slots", "storage", "uplinks"];

fn capture(root: &Path) -> Dump {
    let output = processes::output(Command::new("sh").arg(trees_dir().join("capture")).arg(root));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "capture {}: {errors}", root.display());
    Dump::parse(&String::from_utf8(output.stdout).expect("text")).expect("a dump")
}

/// What capture is about: /sys, without the directories, which follow from what lies in them.
fn captured_part(dump: &Dump) -> BTreeMap<&PathBuf, &Node> {
    dump.0.iter().filter(|(path, node)| path.starts_with("sys") && **node != Node::Directory).collect()
}

#[test]
fn every_tree_unpacks() {
    for name in tree_names() {
        let (dump, tree) = (load_dump(&name), Tree::shared(&name));
        for (path, node) in &dump.0 {
            let target = tree.path().join(path);
            match node {
                Node::Directory => assert!(target.is_dir(), "{name}: {}", path.display()),
                Node::File { mode: 0o644, content } => {
                    assert_eq!(&fs::read(&target).expect("readable"), content, "{name}: {}", path.display());
                }
                Node::File { .. } | Node::Include(_) => {
                    assert!(target.is_file(), "{name}: {}", path.display())
                }
                Node::Link(to) => assert_eq!(fs::read_link(&target).expect("a link"), Path::new(to), "{name}"),
            }
        }
    }
}

#[test]
fn every_device_link_leads_to_its_device() {
    for name in tree_names().iter().filter(|name| !NOT_CAPTURABLE.contains(&name.as_str())) {
        let tree = Tree::shared(name);
        let Ok(entries) = fs::read_dir(tree.path().join("sys/bus/pci/devices")) else {
            continue;
        };
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let address = entry.file_name().into_string().expect("text");
            let device = tree.device(&address);
            assert_eq!(device.file_name().and_then(|file| file.to_str()), Some(&*address), "{name}");
            assert!(device.join("class").is_file(), "{name}: {address} has no class");
        }
    }
}

#[test]
fn capture_makes_the_same_dump_of_an_unpacked_tree() {
    let names = tree_names();
    std::thread::scope(|scope| {
        for name in names.iter().filter(|name| !NOT_CAPTURABLE.contains(&name.as_str())) {
            scope.spawn(move || assert_captured_again(name));
        }
    });
}

fn assert_captured_again(name: &str) {
    let again = capture(Tree::shared(name).path());
    let expected = load_dump(name);
    let (expected, again) = (captured_part(&expected), captured_part(&again));
    // A shell could not read it without waiting for a driver; what it says was added by hand.
    for (path, node) in expected.iter().filter(|(path, _)| !path.ends_with("driver_override")) {
        assert_eq!(Some(node), again.get(path), "{name}: {}", path.display());
    }
    for path in again.keys() {
        assert!(expected.contains_key(path), "{name}: only captured: {}", path.display());
    }
}

/// A device in D3cold, whose link must not be asked for either.
const ASLEEP: &str = "sys/devices/pci0000:00/0000:00:01.0:\n  class = 0x020000\n  power_state = D3cold\n";

/// What may block, wake the device or do something to it.
const NOT_TO_BE_READ: [&str; 14] = [
    "uevent",
    "vpd",
    "rom",
    "resource0",
    "sriov_numvfs",
    "driver_override",
    "config",
    "current_link_speed",
    "secondary_bus_number",
    "remove",
    "rescan",
    "reset",
    "label",
    "waiting_for_supplier",
];

#[test]
fn capture_tells_nothing_of_what_must_not_be_read() {
    let tree = Tree::parse(ASLEEP);
    for name in NOT_TO_BE_READ {
        tree.edit(&format!("sys/devices/pci0000:00/0000:00:01.0/{name}"), "was read\n");
    }
    for (path, node) in capture(tree.path()).0 {
        let was_read = matches!(&node, Node::File { content, .. } if content.starts_with(b"was read"));
        assert!(!was_read, "{}", path.display());
    }
}

#[test]
fn capture_never_opens_what_must_not_be_read() {
    let tree = Tree::parse(ASLEEP);
    // A reader of a FIFO without a writer waits for ever: timeout(1) would give 124.
    for name in NOT_TO_BE_READ {
        let path = tree.path().join("sys/devices/pci0000:00/0000:00:01.0").join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    }
    let mut timeout = Command::new("timeout");
    let output = processes::output(timeout.args(["20", "sh"]).arg(trees_dir().join("capture")).arg(tree.path()));
    assert!(output.status.success(), "capture read a file that it must not: {}", output.status);
}

#[test]
fn capture_writes_bytes_where_text_would_not_do() {
    let text = "sys/devices/pci0000:00/0000:00:01.0:\n  vendor : 307838303836\n  device = \n    +2\n    + x\n  \
                class : 00ff0a\n  irq :\n  modalias = a\\b\\c\n";
    let tree = Tree::parse(text);
    let dump = capture(tree.path());
    let device = Path::new("sys/devices/pci0000:00/0000:00:01.0");
    for (name, content) in [
        ("vendor", &b"0x8086"[..]),
        ("device", b"\n\n\nx\n"),
        ("class", b"\0\xff\n"),
        ("irq", b""),
        ("modalias", b"a\\b\\c\n"),
    ] {
        let expected = Node::File { content: content.into(), mode: 0o644 };
        assert_eq!(dump.0.get(&device.join(name)), Some(&expected), "{name}");
    }
}

#[test]
fn a_dump_with_a_mistake_is_refused_with_its_line() {
    for (text, what) in [
        ("  vendor = 1\n", "line 1: an entry before any directory"),
        ("sys\n", "line 1: neither a directory nor an entry"),
        ("sys:\n  vendor 0x8086\n", "line 2: no '=', ':', '->' or '<'"),
        ("sys:\n  a = 1\n  a -> b\n", "line 3: a second time"),
        ("sys:\n  ../a = 1\n", "line 2: '../a' leaves the tree"),
        ("/sys:\n", "line 1: '/sys' leaves the tree"),
        ("sys:\n  a = 1\nsys/a:\n", "line 3: sys/a is no directory"),
        ("sys:\n  a : 123\n", "line 2: half a byte"),
        ("sys:\n  a : 1g\n", "line 2: 'g' is no hexadecimal digit"),
        ("sys:\n  a {999} = 1\n", "line 2: 999 is no file mode"),
        ("sys:\n  a {644} -> b\n", "line 2: permissions are for files"),
        ("sys:\n  a -> b\n    +3\n", "line 3: continues nothing"),
        ("sys:\n  a = 1\n    +x\n", "line 3: 'x' is no number"),
    ] {
        let error = Dump::parse(text).expect_err(text);
        assert!(error.starts_with(what), "{text:?} gave {error:?}");
    }
}

#[test]
fn a_removed_function_leaves_no_link_behind() {
    let tree = Tree::load("guest-switch8");
    let endpoint = "0000:03:00.0";
    let link = tree.path().join("sys/bus/pci/devices").join(endpoint);
    let driver = tree.device(endpoint).join("driver").canonicalize().expect("a driver");
    assert!(link.is_symlink() && driver.join(endpoint).is_symlink());
    tree.remove(endpoint);
    assert!(!link.is_symlink() && !driver.join(endpoint).is_symlink());
    assert!(driver.join("0000:04:00.0").exists(), "its neighbour stays");
}

/// A tree of that many functions, and every file and link in it with what it holds.
fn made(count: usize) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = scratch_directory();
    maketree::make(directory.path(), count).expect("a tree");
    let entries = walkdir::WalkDir::new(directory.path()).into_iter().map(|entry| entry.expect("an entry"));
    let held = entries.filter(|entry| !entry.file_type().is_dir()).map(|entry| {
        let content = fs::read_link(entry.path()).map(|target| target.into_os_string().into_encoded_bytes());
        // What only root can read is empty anyway: remove, rescan.
        let content = content.or_else(|_| fs::read(entry.path())).unwrap_or_default();
        (entry.path().strip_prefix(directory.path()).expect("below").to_owned(), content)
    });
    held.collect()
}

#[test]
fn a_made_tree_has_as_many_functions_as_asked_for() {
    for count in [maketree::SMALLEST, 64, 1300] {
        let directory = scratch_directory();
        maketree::make(directory.path(), count).expect("a tree");
        let entries = fs::read_dir(directory.path().join("sys/bus/pci/devices")).expect("sys/bus/pci/devices");
        let links: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(links.len(), count);
        for link in links {
            let device = link.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", link.display()));
            let name = device.file_name();
            assert_eq!(name, link.file_name());
            let driver = device.join("driver");
            assert!(!driver.is_symlink() || driver.join(name.expect("a name")).exists(), "{}", link.display());
        }
    }
    let error = maketree::make(scratch_directory().path(), maketree::SMALLEST - 1).expect_err("too small");
    assert_eq!(error.to_string(), "a tree has 11 functions at least, not 10");
}

#[test]
fn a_made_tree_is_the_same_every_time() {
    let tree = made(1300);
    assert!(tree == made(1300));
    assert!(tree.contains_key(Path::new("sys/class/pci_bus/0000:26")), "the last VFs are on a virtual bus");
}

#[test]
fn the_switch_is_the_same_in_made_trees_of_any_size() {
    let [small, large] = [64, 1300].map(|count| {
        let mut tree = made(count);
        tree.retain(|path, _| path.iter().any(|part| part == maketree::SWITCH));
        tree
    });
    assert!(small == large);
    let functions = small.keys().filter(|path| path.ends_with("class")).count();
    assert_eq!(functions, 9, "the switch, and eight below it");
}
