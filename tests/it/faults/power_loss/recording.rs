//! What a command writes, call by call, as it does so on the machine made of files.
//!
//! The command runs in a process of its own, which is this program once more with one test, so that strace sees nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::{Disk, Files, read, write};
use super::subjects::Subject;
use super::trace::{CALLS, Op, changes};
use crate::faults::machine::{Ended, Machine};
use crate::support::fake::Fault;
use crate::support::{processes, scratch_directory};

const VARIABLE: &str = "PCICTL_RECORDED";

/// What a command wrote.
pub struct Recording {
    /// What pcictl had written before.
    pub base: Files,
    /// Every change of a file, those of the tree among them: they are what the kernel did.
    pub ops: Vec<Op>,
    /// Where the tree was.
    pub tree: PathBuf,
}

/// Whether a change is the kernel's.
pub fn is_of_kernel(op: &Op) -> bool {
    path(op).starts_with("tree")
}

/// The path of a change; the later one of a rename.
pub fn path(op: &Op) -> &Path {
    match op {
        Op::MakeDirectory(path) | Op::Open(path) | Op::Append(path, _) | Op::Cut(path, _) => path,
        Op::Rename(_, path) | Op::Remove(path) | Op::RemoveDirectory(path) | Op::Link(path, _) | Op::Sync(path) => path,
    }
}

/// Records a command.
pub fn record(subject: &Subject) -> Recording {
    let directory = scratch_directory();
    let trace = directory.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-x", "-s", "8388608", "--seccomp-bpf", "-e", &format!("trace={CALLS}"), "-o"]);
    let test = processes::this_test("faults::power_loss::recording::a_command_in_a_process_of_its_own");
    strace.arg(&trace).arg(test.get_program()).args(test.get_args());
    strace.env(VARIABLE, format!("{}:{}", directory.path().display(), subject.name()));
    let output = processes::output(&mut strace);
    assert!(output.status.success(), "{}: is strace installed? {output:?}", subject.name());
    let paths = fs::read_to_string(directory.path().join("paths")).expect("its paths");
    let (own, tree) = paths.split_once('\n').expect("two of them");
    let relative = |path: &Path| match path.strip_prefix(tree) {
        Ok(of_kernel) => Some(Path::new("tree").join(of_kernel)),
        Err(_) => path.strip_prefix(own).ok().filter(|path| !is_of_lock(path)).map(Path::to_owned),
    };
    let trace = fs::read_to_string(trace).expect("a trace");
    let [begin, end] = ["begin", "end"].map(|name| directory.path().join(name));
    let ops = changes(&trace, &begin, &end, &relative);
    let recording = Recording { base: read_own(&directory.path().join("before")), ops, tree: tree.into() };
    recording.compare(&read_own(&directory.path().join("after")), &subject.name());
    recording
}

impl Recording {
    /// Fails unless what was recorded comes to what is there in the end: then nothing was overlooked.
    fn compare(&self, end: &Files, name: &str) {
        let mut disk = Disk::new(&self.base);
        self.ops.iter().filter(|op| !is_of_kernel(op)).for_each(|op| disk.apply(op));
        let seen = disk.seen();
        let differs = |path: &&PathBuf| seen.get(*path) != end.get(*path);
        let different: Vec<&PathBuf> = seen.keys().chain(end.keys()).filter(differs).collect();
        assert!(different.is_empty(), "{name}: not all was recorded of {different:?}");
        // A scan that finds nothing new leaves no trace in the tree.
        let is_scan = name.starts_with("rescan");
        assert!(is_scan || self.ops.iter().any(is_of_kernel), "{name}: the kernel did nothing");
    }
}

/// What pcictl has written, locks aside: nobody holds them after a boot.
fn read_own(directory: &Path) -> Files {
    let mut files: Files =
        ["run/journal", "state"].into_iter().flat_map(|name| read(&directory.join(name), name)).collect();
    if directory.join("run").is_dir() {
        files.insert("run".into(), None);
    }
    files
}

fn is_of_lock(path: &Path) -> bool {
    path.starts_with("run") && path != Path::new("run") && !path.starts_with("run/journal")
}

#[test]
#[ignore = "the tests of power losses run it, in a process of its own"]
fn a_command_in_a_process_of_its_own() {
    let Ok(value) = std::env::var(VARIABLE) else { return };
    let (directory, name) = value.split_once(':').expect("a directory and a name");
    let directory = Path::new(directory);
    let subject = Subject::named(name);
    let machine = subject.machine();
    let own = machine.directory("");
    let copy = |to: &str| {
        fs::create_dir(directory.join(to)).expect("a directory");
        write(&read_own(&own), &directory.join(to));
    };
    let paths = format!("{}\n{}", own.components().as_path().display(), machine.tree.path().display());
    fs::write(directory.join("paths"), paths).expect("the paths");
    copy("before");
    fs::create_dir(directory.join("begin")).expect("a mark");
    let ended = record_run(&subject, &machine);
    fs::create_dir(directory.join("end")).expect("a mark");
    assert!(matches!(ended, Ended::Well), "{name}: {ended:?}");
    copy("after");
}

fn record_run(subject: &Subject, machine: &Machine) -> Ended {
    machine.run_with(&subject.words(), subject.work().script(Fault::None, 0))
}
