//! A dumped tree comes from somebody else: nothing in it leads out of it, keeps pcictl waiting, takes its memory or
//! overflows its stack.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{mkfifo, symlinkat, write};
use tempfile::TempDir;

use crate::support::run::Run;
use crate::support::{Tree, processes, scratch_directory};

/// A disk of the busy tree, with nobody on it.
const IDLE: &str = "0000:06:00.0";

/// Everything outside of /sys and /proc that a command that only looks reads.
const FILES: &[&str] = &[
    "usr/share/misc/pci.ids",
    "etc/modprobe.d/x.conf",
    "etc/kdump.conf",
    "etc/zfs/zpool.cache",
    "proc/cmdline",
    "proc/swaps",
    "proc/filesystems",
    "proc/1/mountinfo",
    "proc/812/maps",
    "proc/812/cmdline",
    "proc/net/route",
];

/// What looks at all of them.
const COMMANDS: &[&str] = &["list", "tree", "show 0000:06:00.0", "remove -n 0000:06:00.0", "rescan -n 0000:06:00.0"];

/// The busy tree with a ZFS pool and a crash kernel, and these files made anew by `make`.
fn busy(make: impl Fn(&Path)) -> Tree {
    let tree = Tree::load("busy");
    for directory in ["sys/kernel", "proc/spl/kstat/zfs/tank"] {
        fs::create_dir_all(tree.path().join(directory)).unwrap();
    }
    tree.edit("sys/kernel/kexec_crash_loaded", "1\n");
    tree.edit("proc/spl/kstat/zfs/tank/state", "ONLINE\n");
    for file in FILES {
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        make(&path);
    }
    tree
}

/// Runs what looks at a tree, with 1 GiB of memory at most and 20 seconds; all that it prints.
fn look(tree: &Path, command: &str) -> String {
    let mut process = Command::new("prlimit");
    process.args(["--as=1073741824", "timeout", "20", env!("CARGO_BIN_EXE_pcictl")]);
    process.args(command.split(' ')).arg("--sysroot").arg(tree);
    process.env("PCICTL_RUN_DIR", tree.join("none")).env("PCICTL_STATE_DIR", tree.join("none"));
    let begun = Instant::now();
    let output = processes::output(&mut process);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let status = output.status.code();
    assert!(matches!(status, Some(0 | 1 | 3 | 4 | 5)), "{command}: {status:?} after {:?}: {text}", begun.elapsed());
    text
}

#[test]
fn no_link_leads_out_of_the_tree() {
    let outside = scratch_directory();
    let secret = outside.path().join("secret");
    let text =
        "8086  OUTSIDE\n1b36  OUTSIDE\n144d  OUTSIDE\nblacklist outside\n/dev/OUTSIDE tank /dev/nvme1n1 OUTSIDE\n";
    fs::write(&secret, text).unwrap();
    let tree = busy(|path| symlink(&secret, path).unwrap());
    for command in COMMANDS {
        let status = if command.starts_with("remove") { 4 } else { 0 };
        let traced = Run::words(command).on_big_tree(tree.path()).status(status).traced();
        let opened: Vec<&String> =
            traced.iter().filter(|call| call.contains("secret") && !call.contains("readlink")).collect();
        assert!(opened.is_empty(), "{command}: {opened:?}");
        let text = look(tree.path(), command);
        assert!(!text.contains("OUTSIDE"), "{command}: {text}");
    }
}

#[test]
fn a_link_on_the_way_to_a_link_leads_nowhere_either() {
    let outside = scratch_directory();
    fs::create_dir(outside.path().join("device")).unwrap();
    symlink("../drivers/evil", outside.path().join("device/driver")).unwrap();
    let tree = Tree::load("busy");
    let device = tree.device(IDLE);
    fs::rename(&device, outside.path().join("old")).unwrap();
    symlink(outside.path().join("device"), &device).unwrap();
    for command in ["list -o address,driver", "remove -n 0000:06:00.0"] {
        let text = look(tree.path(), command);
        assert!(!text.contains("evil"), "{command}: {text}");
    }
}

#[test]
fn a_fifo_or_an_endless_file_keeps_nobody_waiting() {
    let fifos = busy(|path| mkfifo(path, Mode::S_IRWXU).unwrap());
    let endless = busy(|path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap());
    let zeros = busy(|path| symlink("/dev/zero", path).unwrap());
    for command in COMMANDS {
        for tree in [&fifos, &endless, &zeros] {
            look(tree.path(), command);
        }
    }
}

/// A tree that is nested too deeply for the standard library to remove it.
struct Deep(TempDir);

impl Drop for Deep {
    fn drop(&mut self) {
        processes::output(Command::new("rm").arg("-rf").arg(self.0.path().join("sys")));
    }
}

#[test]
fn bridges_nested_without_end_are_an_error() {
    let tree = Deep(scratch_directory());
    let root = tree.0.path();
    fs::create_dir_all(root.join("sys/bus/pci/devices")).unwrap();
    fs::create_dir_all(root.join("sys/class/pci_bus")).unwrap();
    fs::create_dir_all(root.join("sys/devices/pci0000:00")).unwrap();
    let first = "0000:00:00.0";
    symlink(format!("../../../devices/pci0000:00/{first}"), root.join("sys/bus/pci/devices").join(first)).unwrap();
    let directory = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
    let mut at = open(&root.join("sys/devices/pci0000:00"), directory, Mode::empty()).unwrap();
    for number in 0..20_000 {
        let name = format!("{:04x}:{:02x}:{:02x}.0", number >> 13, number >> 5 & 255, number & 31);
        mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
        at = openat(&at, name.as_str(), directory, Mode::empty()).unwrap();
        mkdirat(&at, "pci_bus", Mode::S_IRWXU).unwrap();
        let modalias = openat(&at, "modalias", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
        write(&modalias, b"pci:v00008086d00002030sv00000000sd00000000bc06sc04i00\n").unwrap();
        symlinkat("../../drivers/pcieport", &at, "driver").unwrap();
    }
    for command in ["show 0000:00:00.0", "tree 0000:00:00.0", "remove -n 0000:00:00.0", "tree", "list"] {
        let begun = Instant::now();
        let text = look(root, command);
        assert!(begun.elapsed() < Duration::from_secs(5), "{command}: {:?}", begun.elapsed());
        let goes_down = !matches!(command, "tree" | "list");
        assert_eq!(text.contains("nested too deeply"), goes_down, "{command}: {text}");
    }
}

#[test]
fn what_cannot_be_read_for_want_of_descriptors_is_not_missing() {
    let tree = Tree::load("busy");
    let commands =
        ["list", "show 0000:06:00.0", "show /dev/nvme0n1", "show slot:1", "show eth0", "remove -n 0000:06:00.0"];
    let run = |command: &str, descriptors: usize| {
        let mut process = Command::new("prlimit");
        process.arg(format!("--nofile={descriptors}")).arg(env!("CARGO_BIN_EXE_pcictl"));
        process.args(command.split(' ')).arg("--sysroot").arg(tree.path());
        process.env("PCICTL_RUN_DIR", tree.path().join("none"));
        processes::output(&mut process)
    };
    for command in commands {
        let with_enough = run(command, 100).status.code();
        for descriptors in 4..12 {
            let output = run(command, descriptors);
            let (status, text) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
            // 127: the loader itself could not open a library.
            let is_told = status == Some(1) && text.contains("Too many open files") || status == Some(127);
            assert!(
                is_told || status == with_enough || status == Some(4),
                "{command}, {descriptors}: {status:?} {text}"
            );
        }
    }
}
