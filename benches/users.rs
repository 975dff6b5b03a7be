//! What it costs to find out who uses a device, against a bare walk of the same files in the same run:
//!
//! ```text
//! cargo bench --bench users
//! ```
//!
//! The machine is a made tree in memory: 10,000 processes with descriptors and maps, 1,000 mounts, a disk and a card that
//! some of them use. The walk opens, lists and reads what the check does, and throws it away. Fails above 1.5 times.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pcictl::host::machine::Machine;
use pcictl::topology::fields::Fields;
use pcictl::topology::model::Topology;
use pcictl::usage::scope::Scope;

const PROCESSES: u32 = 10_000;
const MOUNTS: u32 = 1_000;
const DESCRIPTORS: u32 = 12;
const MAPPINGS: u32 = 40;
const ROUNDS: usize = 7;
const MOST: f64 = 1.5;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, once and without wanting their answer.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { ROUNDS } else { 1 };
    let directory = tempfile::Builder::new().prefix("pcictl-users-").tempdir_in("/dev/shm").expect("a place in memory");
    make(directory.path());
    let machine = Machine::open(Some(directory.path())).expect("the tree");
    let topology = Topology::load_all(&machine.sysfs, Fields::ALL).expect("functions");
    let scope = Scope::of(&topology, topology.by_address());

    let (mut checks, mut walks) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let bytes = walk(directory.path());
        walks.push(begun.elapsed());
        let begun = Instant::now();
        let users = pcictl::usage::find::find(&machine, &scope).expect("users");
        checks.push(begun.elapsed());
        assert!(bytes > 0 && users.unchecked.is_empty(), "{:?}", users.unchecked);
        assert_eq!(users.found.len(), 3, "a mount and two processes: {:?}", users.found);
    }
    let (check, walk) = (median(&mut checks), median(&mut walks));
    let ratio = check.as_secs_f64() / walk.as_secs_f64();
    println!(
        "users of {} functions among {PROCESSES} processes and {MOUNTS} mounts: check {:.0} ms, bare walk {:.0} ms, {ratio:.2} times",
        scope.iter().count(),
        check.as_secs_f64() * 1e3,
        walk.as_secs_f64() * 1e3
    );
    if measured && ratio >= MOST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The same files, by the plain means of the standard library, in one thread.
fn walk(root: &Path) -> usize {
    let mut bytes = 0;
    let proc = root.join("proc");
    bytes += fs::read(proc.join("1/mountinfo")).map_or(0, |text| text.len());
    for entry in fs::read_dir(&proc).unwrap().flatten() {
        let process = entry.path();
        let is_process = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        for kind in ["ns/mnt", "ns/net"] {
            bytes += fs::read_link(process.join(kind)).map_or(0, |target| target.as_os_str().len());
        }
        for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            bytes += fs::read_link(descriptor.path()).map_or(0, |target| target.as_os_str().len());
        }
        bytes += fs::read(process.join("maps")).map_or(0, |text| text.len());
    }
    bytes
}

fn make(root: &Path) {
    make_devices(root);
    make_mounts(root);
    let mut maps = String::new();
    for n in 0..MAPPINGS {
        let _ = writeln!(
            maps,
            "7f{n:04x}000000-7f{n:04x}021000 r-xp 00000000 fd:01 {n:<26}/usr/lib/x86_64-linux-gnu/libexample.so.{n}"
        );
    }
    for pid in 1..=PROCESSES {
        make_process(&root.join("proc").join(pid.to_string()), pid, &maps);
    }
}

fn make_devices(root: &Path) {
    let function = |address: &str, modalias: &str| {
        let path = format!("devices/pci0000:00/{address}");
        fs::create_dir_all(root.join("sys").join(&path)).unwrap();
        fs::write(root.join("sys").join(&path).join("modalias"), modalias).unwrap();
        link(root, "sys/bus/pci/devices", address, &format!("../../../{path}"));
        path
    };
    let disk = function("0000:00:03.0", "pci:v0000144Dd0000A808sv00000000sd00000000bc01sc08i02\n");
    let block = format!("{disk}/nvme/nvme0/nvme0n1");
    fs::create_dir_all(root.join("sys").join(&block).join("holders")).unwrap();
    link(root, "sys/dev/block", "259:0", &format!("../../{block}"));
    link(root, "sys/dev/char", "243:0", &format!("../../{disk}/nvme/nvme0"));
    function("0000:00:04.0", "pci:v00008086d000010D3sv00000000sd00000000bc02sc00i00\n");
}

fn make_mounts(root: &Path) {
    let mut table = String::from("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 22 0:2000 / /sys rw - sysfs sysfs rw\n");
    for n in 1..MOUNTS {
        let (device, point) = if n == 500 { ("259:0".to_owned(), "/data") } else { (format!("0:{n}"), "/run/x") };
        let _ = writeln!(table, "{} 22 {device} / {point}{n} rw,nosuid shared:{n} - tmpfs tmpfs rw,size=4k", n + 22);
    }
    fs::create_dir_all(root.join("proc/1")).unwrap();
    fs::write(root.join("proc/1/mountinfo"), table).unwrap();
}

fn make_process(directory: &Path, pid: u32, maps: &str) {
    for below in ["fd", "fdinfo", "ns"] {
        fs::create_dir_all(directory.join(below)).unwrap();
    }
    fs::write(directory.join("comm"), format!("process-{pid}\n")).unwrap();
    fs::write(directory.join("maps"), maps).unwrap();
    if pid == 7_000 {
        let line = "7fff00000000-7fff00001000 rw-s 00000000 00:7d0 9 /sys/devices/pci0000:00/0000:00:04.0/resource0\n";
        fs::write(directory.join("maps"), format!("{maps}{line}")).unwrap();
    }
    symlink("mnt:[4026531841]", directory.join("ns/mnt")).unwrap();
    symlink("net:[4026531840]", directory.join("ns/net")).unwrap();
    for n in 0..DESCRIPTORS {
        let target = match n {
            0..=2 => "/dev/null".to_owned(),
            3..=6 => format!("socket:[{pid}{n}]"),
            7 => "anon_inode:[eventpoll]".to_owned(),
            8 if pid == 5_000 => "/dev/nvme0".to_owned(),
            _ => format!("/var/log/example/process-{pid}-{n}.log"),
        };
        symlink(target, directory.join("fd").join(n.to_string())).unwrap();
    }
}

fn link(root: &Path, directory: &str, name: &str, target: &str) {
    fs::create_dir_all(root.join(directory)).unwrap();
    symlink(target, root.join(directory).join(name)).unwrap();
}
