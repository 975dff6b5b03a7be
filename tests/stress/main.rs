//! Many operators at once, for as long as it takes to meet everything that can come up: real processes and real locks.
//!
//! ```text
//! cargo test -p stress             64 operators for 60 s, then 500 kills
//! cargo test -p stress -- 5        the same for 5 s
//! ```
//!
//! Who was where is not asked of the locks: every operator writes into one witness file when it is in and before it goes
//! out, in a single append, so the file's order is an order in which it happened. If two that exclude each other are in
//! at the same time, the file says so. What it does not promise: that nobody was let in for a moment too short to write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pcictl::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use pcictl::lock::claims::Claims;
use pcictl::lock::files::LockDirectory;
use pcictl::lock::proc_locks::Role;
use pcictl::pci::place::Place;

const OPERATORS: u32 = 64;
const NODES: usize = 200;
const KILLS: usize = 500;
/// What a wait must stay below: whoever waits longer ends with an error, and so does the test.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["operate", run, seed, seconds] => operate(Path::new(run), seed.parse().unwrap(), seconds.parse().unwrap()),
        ["hold", run, seed] => hold(Path::new(run), seed.parse().unwrap()),
        [] => stress(60),
        [seconds] => stress(seconds.parse().expect("how many seconds")),
        _ => panic!("takes a number of seconds"),
    }
}

fn stress(seconds: u64) {
    the_witness_would_tell();
    let run =
        tempfile::Builder::new().prefix("pcictl-").tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    operators_never_meet(run.path(), seconds);
    the_dead_hold_nothing(run.path());
}

/// Small, fast and the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit
    }
}

/// The root, four host bridges, and below them whatever falls where, at most eight deep.
struct Nodes {
    above: Vec<usize>,
    places: Vec<Place>,
}

impl Nodes {
    fn new() -> Self {
        let mut random = Random::new(1);
        let mut nodes = Self { above: vec![0], places: vec![Place::root()] };
        let mut children = vec![0_usize; NODES];
        while nodes.places.len() < NODES {
            let count = nodes.places.len();
            let above = if count <= 4 { 0 } else { 1 + random.below(count - 1) };
            if nodes.places[above].ancestors().len() >= 8 {
                continue;
            }
            let number = children[above];
            children[above] += 1;
            let step = if above == 0 { format!("pci000{number}:00") } else { format!("{number:02x}.0") };
            let chain = if above == 0 { step } else { format!("{}/{step}", nodes.places[above].chain()) };
            nodes.places.push(Place::from_chain(&chain).unwrap());
            nodes.above.push(above);
        }
        nodes
    }

    /// By the numbers and not by the places: it is to be independent of what is tested.
    fn is_at_or_below(&self, mut node: usize, top: usize) -> bool {
        while node != top && node != 0 {
            node = self.above[node];
        }
        node == top
    }

    fn overlap(&self, one: usize, two: usize) -> bool {
        self.is_at_or_below(one, two) || self.is_at_or_below(two, one)
    }

    fn below(&self, top: usize) -> Vec<Place> {
        (0..NODES).filter(|node| self.is_at_or_below(*node, top)).map(|node| self.places[node].clone()).collect()
    }
}

/// What an operator is about to work on: one to three subtrees, mostly small ones, to read or to change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    shared: bool,
    tops: Vec<usize>,
}

impl Work {
    fn any(nodes: &Nodes, random: &mut Random) -> Self {
        let shared = random.below(2) == 0;
        let wide = random.below(50) == 0;
        let count = 1 + random.below(3);
        let mut tops = Vec::new();
        while tops.len() < count {
            let top = random.below(NODES);
            if wide || nodes.below(top).len() <= 8 {
                tops.push(top);
            }
        }
        Self { shared, tops }
    }

    fn claims(&self, nodes: &Nodes) -> Claims {
        let places = self.tops.iter().map(|top| nodes.places[*top].clone()).collect();
        if self.shared {
            Claims::reading(places, self.tops.iter().flat_map(|top| nodes.below(*top)).collect())
        } else {
            Claims::changing(places)
        }
    }

    fn line(&self, mark: char, pid: u32) -> String {
        let tops: Vec<String> = self.tops.iter().map(ToString::to_string).collect();
        format!("{mark} {pid} {} {}\n", if self.shared { 's' } else { 'x' }, tops.join(","))
    }
}

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Waiting<'_>) {}
}

fn acquire(run: &Path, claims: &Claims) -> Held {
    let directory = LockDirectory::open(run).unwrap();
    directory.acquire(claims, WaitLimit::Until(Instant::now() + LONGEST_WAIT), &mut Silent).unwrap()
}

/// One operator's life; at its end it says how often it was in, and how long it had to wait at most.
fn operate(run: &Path, seed: u64, seconds: u64) {
    let (nodes, mut random) = (Nodes::new(), Random::new(seed));
    let mut witness = OpenOptions::new().append(true).open(run.join("witness")).unwrap();
    let (end, pid) = (Instant::now() + Duration::from_secs(seconds), std::process::id());
    let (mut times, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < end {
        let work = Work::any(&nodes, &mut random);
        let claims = work.claims(&nodes);
        let begun = Instant::now();
        let held = acquire(run, &claims);
        slowest = slowest.max(begun.elapsed());
        witness.write_all(work.line('+', pid).as_bytes()).unwrap();
        // Long enough for others to come by.
        std::thread::sleep(Duration::from_micros(random.below(1000).try_into().unwrap()));
        witness.write_all(work.line('-', pid).as_bytes()).unwrap();
        drop(held);
        times += 1;
    }
    println!("{times} {}", slowest.as_micros());
}

/// Takes a lock and keeps it until it is killed.
fn hold(run: &Path, seed: u64) {
    let (nodes, mut random) = (Nodes::new(), Random::new(seed));
    let _held = acquire(run, &Work::any(&nodes, &mut random).claims(&nodes));
    let _ = std::io::stdin().read(&mut [0]);
}

fn start(words: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn operators_never_meet(run: &Path, seconds: u64) {
    let witness: PathBuf = run.join("witness");
    File::create(&witness).unwrap();
    let (place, seconds) = (run.to_str().unwrap(), seconds.to_string());
    let operators: Vec<Child> =
        (1..=OPERATORS).map(|seed| start(&["operate", place, &seed.to_string(), &seconds])).collect();
    let mut all: Vec<(u64, Duration)> = Vec::new();
    for operator in operators {
        let output = operator.wait_with_output().unwrap();
        assert!(output.status.success(), "an operator gave up");
        let words = String::from_utf8(output.stdout).unwrap();
        let (times, slowest) = words.trim().split_once(' ').unwrap();
        all.push((times.parse().unwrap(), Duration::from_micros(slowest.parse().unwrap())));
    }
    let total: u64 = all.iter().map(|(times, _)| times).sum();
    let (fewest, most) = (all.iter().map(|a| a.0).min().unwrap(), all.iter().map(|a| a.0).max().unwrap());
    let slowest = all.iter().map(|(_, slowest)| *slowest).max().unwrap();
    println!("{OPERATORS} operators, {NODES} nodes, {seconds} s: {total} times in, each {fewest} to {most} times");
    println!("slowest wait: {:.3} s", slowest.as_secs_f64());
    let text = fs::read_to_string(&witness).unwrap();
    assert_eq!(text.lines().count() as u64, 2 * total);
    assert_eq!(met(&Nodes::new(), &text), None);
    assert!(fewest > 0, "an operator was never in");
}

/// Replays the witness: the first line at which two are in who exclude each other.
fn met(nodes: &Nodes, witness: &str) -> Option<String> {
    let mut inside: BTreeMap<&str, Work> = BTreeMap::new();
    for line in witness.lines() {
        let [mark, pid, mode, tops] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if mark == "-" {
            inside.remove(pid).expect("who goes out was in");
            continue;
        }
        let work = Work { shared: mode == "s", tops: tops.split(',').map(|top| top.parse().unwrap()).collect() };
        let excludes = |other: &Work| {
            let touch = work.tops.iter().any(|one| other.tops.iter().any(|two| nodes.overlap(*one, *two)));
            touch && !(work.shared && other.shared)
        };
        if let Some((other, other_work)) = inside.iter().find(|(_, other)| excludes(other)) {
            return Some(format!("{line}: but {other} is in with {other_work:?}"));
        }
        inside.insert(pid, work);
    }
    None
}

/// The check itself can fail.
fn the_witness_would_tell() {
    let nodes = Nodes::new();
    let child = (0..NODES).find(|node| nodes.above[*node] > 4).unwrap();
    let top = nodes.above[child];
    let told =
        |first: char, second: char| met(&nodes, &format!("+ 1 {first} {top}\n+ 2 {second} 1,{child}\n")).is_some();
    assert!(told('x', 's') && told('s', 'x') && told('x', 'x') && !told('s', 's'));
    assert_eq!(met(&nodes, &format!("+ 1 x {top}\n- 1 x {top}\n+ 2 x {child}\n")), None);
}

/// Every other one that is killed was seen to hold a lock, the rest is anywhere between two locks.
fn the_dead_hold_nothing(run: &Path) {
    let mut random = Random::new(2);
    let mut living: Vec<Child> = (0..8).map(|number| begin(run, number, &mut random)).collect();
    let directory = LockDirectory::open(run).unwrap();
    let mut holding = 0;
    for kill in 0..KILLS {
        let mut victim = random.below(living.len());
        if kill % 2 == 0 {
            victim = one_that_holds(&directory, &living, &mut random);
            holding += 1;
        }
        let next = begin(run, victim, &mut random);
        let mut child = std::mem::replace(&mut living[victim], next);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = directory.all_holders().unwrap();
        assert!(left.iter().all(|holder| holder.process.pid != child.id()), "{left:?}");
    }
    for mut child in living {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(directory.all_holders().unwrap(), []);
    directory.acquire(&Claims::changing(vec![Place::root()]), WaitLimit::NoWait, &mut Silent).unwrap();
    println!("{KILLS} killed, {holding} of them seen to hold a lock; nothing is left locked");
}

/// Half of them hold on to what they got, the others come and go.
fn begin(run: &Path, number: usize, random: &mut Random) -> Child {
    let (run, seed) = (run.to_str().unwrap(), random.below(1 << 30).to_string());
    if number % 2 == 0 { start(&["hold", run, &seed]) } else { start(&["operate", run, &seed, "3600"]) }
}

fn one_that_holds(directory: &LockDirectory, living: &[Child], random: &mut Random) -> usize {
    loop {
        let holders = directory.all_holders().unwrap();
        let holds = |child: &Child| holders.iter().any(|h| h.role == Role::Holds && h.process.pid == child.id());
        let holding: Vec<usize> = (0..living.len()).filter(|number| holds(&living[*number])).collect();
        if !holding.is_empty() {
            return holding[random.below(holding.len())];
        }
    }
}
