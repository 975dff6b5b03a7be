//! What it costs to find out who uses a device, against a bare walk of the same files in the same run:
//!
//! ```text
//! cargo bench --bench users
//! ```
//!
//! The machine is a made tree in memory: 10,000 processes with descriptors and maps, 1,000 mounts, a disk and a card that
//! some of them use. The walk opens, lists and reads what the check does, and throws it away. Fails above 1.5 times.
//!
//! Then among processes that really run, by processor time: the two looks of a change against one, with 2,000 processes of
//! 55 descriptors that sleep (fails if the second costs more than a quarter of the first), and a look at a function without disk
//! and interface with 50 mount namespaces of 200 mounts against 50 processes without (fails above 1.2 times; needs root).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crowd;
mod record;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pcictl::host::machine::Machine;
use pcictl::topology::fields::Fields;
use pcictl::topology::model::Topology;
use pcictl::usage::find::{find, find_again, find_first};
use pcictl::usage::scope::Scope;

use crate::crowd::{Crowd, Member, processor_time};
use crate::record::Record;

const PROCESSES: u32 = 10_000;
const MOUNTS: u32 = 1_000;
const DESCRIPTORS: u32 = 12;
const MAPPINGS: u32 = 40;
const ROUNDS: usize = 7;
const MOST: f64 = 1.5;

const SLEEPERS: usize = 2_000;
const NAMESPACES: usize = 50;
const MOST_OF_SECOND_LOOK: f64 = 0.25;
const MOST_OF_NAMESPACES: f64 = 1.2;

fn main() -> ExitCode {
    if let Some(member) = Member::from_arguments() {
        member.live();
        return ExitCode::SUCCESS;
    }
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
        let users = find(&machine, &scope).expect("users");
        checks.push(begun.elapsed());
        assert!(bytes > 0 && users.unchecked.is_empty(), "{:?}", users.unchecked);
        assert_eq!(users.found.len(), 3, "a mount and two processes: {:?}", users.found);
    }
    let (check, walk) = (median(&mut checks), median(&mut walks));
    let ratio = check.as_secs_f64() / walk.as_secs_f64();
    let mut record = Record::of("users");
    println!(
        "users of {} functions among {PROCESSES} processes and {MOUNTS} mounts: check {:.0} ms, bare walk {:.0} ms, {} times",
        scope.iter().count(),
        check.as_secs_f64() * 1e3,
        walk.as_secs_f64() * 1e3,
        record.note("a look, against a bare walk of the same files", ratio)
    );
    if !measured {
        return ExitCode::SUCCESS;
    }
    let machine = machine.among_own_processes().expect("/proc");
    let are_fast = [
        ratio < MOST,
        looks(&machine, &topology, &mut record),
        namespaces(&machine, &topology, &mut record),
        record.end(),
    ];
    if are_fast.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Two of the functions by themselves: the disk, and the card, which has neither disk nor interface nor node.
fn disk_and_card(topology: &Topology) -> [Scope; 2] {
    let [disk, card] = topology.by_address()[..] else { panic!("two functions") };
    [disk, card].map(|id| Scope::of(topology, [id]))
}

/// What each of these takes, of rounds in turn, in milliseconds.
fn of_rounds<const N: usize>(
    which: fn(&mut [Duration]) -> Duration,
    mut measure: impl FnMut() -> [Duration; N],
) -> [f64; N] {
    let rounds: Vec<[Duration; N]> = (0..ROUNDS).map(|_| measure()).collect();
    std::array::from_fn(|index| {
        let mut times: Vec<Duration> = rounds.iter().map(|round| round[index]).collect();
        which(&mut times).as_secs_f64() * 1e3
    })
}

/// The least: what is measured is short, and the machine does other things.
fn least(times: &mut [Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = processor_time();
    let result = work();
    (processor_time() - before, result)
}

/// The two looks of a change.
fn looks(machine: &Machine, topology: &Topology, record: &mut Record) -> bool {
    let [_, scope] = disk_and_card(topology);
    let _crowd = Crowd::new(SLEEPERS, Member { descriptors: 51, mappings: 20, mounts: 0 });
    // Not the least: the time of a child that is slow to end is not counted.
    let [one, first, second] = of_rounds(median, || {
        let (one, _) = timed(|| find(machine, &scope).expect("users"));
        let (first, (_, seen)) = timed(|| find_first(machine, &scope).expect("users"));
        let (second, _) = timed(|| find_again(machine, &scope, &seen).expect("users"));
        [one, first, second]
    });
    println!(
        "{SLEEPERS} processes that sleep, processor time: one look {one:.0} ms; of a change the first {first:.0}, the second \
         {second:.0}, both {} times one; the second {} times the first",
        record.note("both looks of a change, against one", (first + second) / one),
        record.note("the second look, against the first", second / first)
    );
    second / first < MOST_OF_SECOND_LOOK
}

/// A look at what has neither disk nor interface, where there are tables of mounts.
fn namespaces(machine: &Machine, topology: &Topology, record: &mut Record) -> bool {
    if !nix::unistd::geteuid().is_root() {
        println!("mount namespaces were not measured: that needs root");
        return true;
    }
    let [disk, plain] = disk_and_card(topology);
    let look = |scope: &Scope| timed(|| find(machine, scope).expect("users")).0;
    let measure = |mounts: usize| {
        let _crowd = Crowd::new(NAMESPACES, Member { descriptors: 3, mappings: 0, mounts });
        of_rounds(least, || [&plain, &disk].map(look)).map(|time| Duration::from_secs_f64(time / 1e3))
    };
    let [bare, bare_disk, full, full_disk] = of_rounds(least, || {
        let ([bare, bare_disk], [full, full_disk]) = (measure(0), measure(200));
        [bare, bare_disk, full, full_disk]
    });
    println!(
        "{NAMESPACES} mount namespaces of 200 mounts, processor time of a look: {full:.1} ms, {} times that without them \
         ({bare:.1}); with a disk {full_disk:.1} ms, {} times ({bare_disk:.1})",
        record.note("a look with 50 mount namespaces, against one without", full / bare),
        record.note("the same for a disk", full_disk / bare_disk)
    );
    full / bare < MOST_OF_NAMESPACES
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
