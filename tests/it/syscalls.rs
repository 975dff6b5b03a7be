//! What a command costs in system calls: the same on a host of any size, and few. Counted by strace, never timed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::maketree::{self, SWITCH};
use crate::support::run::Run;
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, scratch_directory};

/// What a start of the program costs, with the dynamic loader's share.
const START: usize = 150;

/// A made tree, which none of the commands may change.
struct Made {
    directory: TempDir,
    before: Snapshot,
}

impl Made {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn assert_untouched(&self) {
        assert_eq!(self.before.changes(&Snapshot::of(self.path())), [""; 0]);
    }
}

fn made(functions: usize) -> Made {
    let directory = scratch_directory();
    maketree::make(directory.path(), functions).expect("a tree");
    let before = Snapshot::of(directory.path());
    Made { directory, before }
}

/// Every system call of one run, a line each.
fn traced(tree: &Path, command: &str) -> Vec<String> {
    Run::words(command).on_big_tree(tree).traced()
}

fn count(tree: &Path, command: &str) -> usize {
    as_on_a_machine(&traced(tree, command))
}

/// How many calls a machine's own files would cost. In a dumped tree each file is looked at before it is opened, and each link
/// is opened before it is read: two calls more, and a third that asks what it is.
pub fn as_on_a_machine<T: AsRef<str>>(trace: &[T]) -> usize {
    let lines = || trace.iter().map(AsRef::as_ref);
    let looks = lines().filter(|line| line.contains("openat2(") && line.contains("O_PATH")).count();
    let asks = lines().filter(|line| line.contains("fstat(") || line.contains("AT_EMPTY_PATH")).count();
    trace.len() - 2 * looks - asks
}

/// The real directory of a function.
fn device(tree: &Path, address: &str) -> PathBuf {
    tree.join("sys/bus/pci/devices").join(address).canonicalize().expect("a function")
}

fn addresses(tree: &Path) -> Vec<String> {
    let entries = fs::read_dir(tree.join("sys/bus/pci/devices")).expect("devices");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// A function's own VFs, all functions below it, itself and its ancestors.
fn touched(tree: &Path, address: &str) -> usize {
    let top = device(tree, address);
    let near = addresses(tree).into_iter().filter(|other| {
        let directory = device(tree, other);
        let physical = directory.join("physfn").canonicalize().ok();
        top.starts_with(&directory) || directory.starts_with(&top) || physical.is_some_and(|of| of.starts_with(&top))
    });
    near.count()
}

#[test]
fn touching_one_function_costs_the_same_on_any_host() {
    let (small, large) = (made(64), made(4000));
    let commands = ["remove -n", "rescan -n", "replug -n", "show", "tree", "list", "list -o address,class,name,driver"];
    for command in commands {
        let command = format!("{command} {SWITCH}");
        let counts = [&small, &large].map(|tree| count(tree.path(), &command));
        assert!(counts[1] <= counts[0] + counts[0] / 10, "{command}: {counts:?} calls on 64 and 4,000 functions");
        let trace = traced(large.path(), &command);
        let lists_all = |line: &&String| line.contains("getdents") && line.contains("4000");
        assert_eq!(trace.iter().find(lists_all), None, "{command} lists every function");
    }
    small.assert_untouched();
    large.assert_untouched();
}

/// The names of what would be gone, pci.ids and the things on at most 32 functions.
const NAMES: usize = 32 * 8 + 20;

#[test]
fn a_plan_takes_four_calls_a_function_one_more_for_a_scan_and_the_names() {
    let tree = made(1300);
    let all = addresses(tree.path());
    let has =
        |name: &str| all.iter().find(|address| device(tree.path(), address).join(name).exists()).expect("one").as_str();
    let physical = has("virtfn254");
    let port = device(tree.path(), physical).parent().and_then(Path::file_name).expect("a port").to_owned();
    let vmd = has("pci10000:00");
    let gpu = all.iter().find(|address| device(tree.path(), address).join("driver").ends_with("nvidia"));
    let mut targets = vec![SWITCH, physical, port.to_str().expect("text"), vmd];
    targets.extend(gpu.map(String::as_str));
    for address in targets {
        let touched = touched(tree.path(), address);
        // Of what is scanned each bridge is asked for its bus number.
        for (command, each, names) in
            [("remove -n", 4, NAMES), ("rescan -n", 5, 0), ("replug -n", 5, NAMES), ("show", 4, 0)]
        {
            let most = touched * each + START + names;
            let calls = count(tree.path(), &format!("{command} {address}"));
            assert!(calls <= most, "{command} {address}: {calls} calls, and {most} would do");
        }
    }
    tree.assert_untouched();
}

#[test]
fn a_listing_takes_five_calls_a_function() {
    let tree = made(1300);
    for (command, each) in [
        ("list -o address,class,name,driver", 5),
        ("list --json -o address,class,name,driver", 5),
        ("list -o address", 1),
        ("tree", 5),
        ("tree --json", 5),
    ] {
        let (calls, most) = (count(tree.path(), command), 1300 * each + START);
        assert!(calls <= most, "{command}: {calls} calls, and {most} would do");
    }
    tree.assert_untouched();
}

#[test]
fn names_are_looked_up_only_where_they_are_shown() {
    let tree = made(64);
    let opens = |command: &str| traced(tree.path(), command).iter().any(|line| line.contains("pci.ids"));
    assert!(opens("list -o name"));
    for command in ["list -o address,driver,ids", "rescan -n 0000:01:00.0", "--version"] {
        assert!(!opens(command), "{command}");
    }
    tree.assert_untouched();
}

#[test]
fn a_listing_looks_at_processes_only_where_it_is_asked_who_uses_what() {
    let tree = Tree::shared("busy");
    let looks = |command: &str| {
        let trace = Run::words(command).on(tree).traced();
        trace.iter().any(|line| line.contains("mountinfo") || line.contains("/fd\""))
    };
    for command in ["list", "list --json", "list -o +serial,lock,override,aer --sort slot", "tree"] {
        assert!(!looks(command), "{command}");
    }
    for command in ["list -o +in-use", "list --unused", "list --sort in-use"] {
        assert!(looks(command), "{command}");
    }
}

/// What a look may open below a function's own directory: all of it is told from memory, but for the link of a device that is
/// awake, and for `driver_override` and `config`, which only a child reads on a machine.
const READ_OF_FUNCTIONS: [&str; 21] = [
    "config",
    "boot_vga",
    "modalias",
    "revision",
    "class",
    "resource",
    "power_state",
    "d3cold_allowed",
    "numa_node",
    "local_cpulist",
    "reset_method",
    "sriov_totalvfs",
    "enable",
    "aer_dev_correctable",
    "aer_dev_nonfatal",
    "aer_dev_fatal",
    "current_link_speed",
    "current_link_width",
    "max_link_speed",
    "max_link_width",
    "driver_override",
];

#[test]
fn a_look_opens_nothing_for_writing_and_nothing_that_can_wait() {
    let columns = "address,class,class-code,name,ids,subsystem,revision,driver,override,link,names,serial,mac,numa,slot,iommu,\
                   iommu-members,vfs,power-state,reset,aer,lock,place";
    for tree in ["gpu-server", "names", "sriov-host", "busy", "slots"] {
        let tree = Tree::shared(tree);
        let all = Run::words("list --json -o address").on(tree).json();
        let functions = all["functions"].as_array().expect("functions").iter();
        let first: Vec<String> =
            functions.take(12).map(|row| row["address"].as_str().expect("an address").to_owned()).collect();
        let mut commands = vec!["list".to_owned(), "tree".to_owned(), format!("list -o {columns}")];
        commands.extend(first.iter().map(|address| format!("show {address}")));
        commands.extend(
            ["list --json", "status", "doctor --format prometheus", "locks -q", "history -q"].map(str::to_owned),
        );
        for command in commands {
            assert_only_looks(&Run::words(&command).on(tree).traced(), &command, &READ_OF_FUNCTIONS);
        }
    }
}

/// Opens nothing for writing, and below a function's own directory no other files than these.
fn assert_only_looks(trace: &[String], command: &str, may_read: &[&str]) {
    for line in trace.iter().filter(|line| line.contains("open")) {
        assert!(
            !line.contains("O_WRONLY") && !line.contains("O_RDWR") && !line.contains("O_CREAT"),
            "{command}: {line}"
        );
    }
    for line in trace.iter().filter(|line| line.contains("openat2(")) {
        let path = line.split('"').nth(1).unwrap_or_default();
        let Some((above, name)) = path.rsplit_once('/') else { continue };
        let is_function = |step: &str| step.len() >= 12 && step.contains(':') && step.contains('.');
        // Directories are opened as such; links are opened to be read, and not followed.
        let is_of_proc = above.starts_with("driver/");
        let is_file = !is_of_proc && !line.contains("O_DIRECTORY") && !line.contains("O_NOFOLLOW");
        if is_file && above.rsplit('/').next().is_some_and(is_function) {
            assert!(may_read.contains(&name), "{command}: {line}");
        }
    }
}

/// A machine has tens of thousands of threads, nearly all of which sleep where a signal wakes them.
#[test]
fn a_thread_that_sleeps_takes_the_doctor_three_calls() {
    const THREADS: usize = 200;
    let directory = scratch_directory();
    maketree::make(directory.path(), 64).expect("a tree");
    let proc = directory.path().join("proc");
    let add = |tid: usize| {
        let thread = proc.join(format!("900/task/{tid}"));
        fs::create_dir_all(&thread).expect("a thread");
        fs::write(thread.join("stat"), format!("{tid} (java) S 1 900 900 0 -1 0\n")).expect("a stat");
        fs::write(thread.join("wchan"), "futex_wait_queue").expect("a wchan");
    };
    add(900);
    let devices = |text: &str| fs::write(proc.join("devices"), text).expect("a table");
    devices("Character devices:\n  1 mem\n");
    let one = count(directory.path(), "doctor");
    (901..901 + THREADS).for_each(add);
    let calls = count(directory.path(), "doctor") - one;
    assert!((THREADS * 2..=THREADS * 3 + 10).contains(&calls), "{calls} calls for {THREADS} threads");
    // Where a driver may wait for its users so, each is asked where it sleeps.
    devices("Character devices:\n511 vfio\n");
    let calls = count(directory.path(), "doctor") - one;
    assert!((THREADS * 4..=THREADS * 6 + 10).contains(&calls), "{calls} calls for {THREADS} threads with vfio");
}

/// Lines that are completed by every kind of name.
const LINES: [&str; 20] = [
    "remove ",
    "rescan ",
    "bind ",
    "unbind ",
    "sriov ",
    "lock ",
    "tree ",
    "wait ",
    "recover ",
    "slot on ",
    "show driver:",
    "show class:",
    "show id:",
    "show slot:",
    "show /dev/",
    "show 1a",
    "rescan --slot ",
    "rescan --expect ",
    "bind --driver ",
    "reset --method ",
];

#[test]
fn completion_opens_nothing_for_writing_and_nothing_that_can_wait_and_looks_at_no_process() {
    for tree in ["busy", "slots", "sriov-host"] {
        let tree = Tree::shared(tree);
        for line in LINES {
            let ask = Run::words("complete -- --sysroot").and([tree.path()]).and(line.split(' '));
            let trace = ask.on_named(tree).traced();
            assert_only_looks(&trace, line, &["modalias", "reset_method"]);
            for call in trace.iter().filter(|call| call.contains("openat2(")) {
                let asks_processes =
                    ["mountinfo", "/fd", "maps", "cmdline", "/stat"].iter().any(|file| call.contains(file));
                let asks_hardware =
                    ["/power\"", "/adapter\"", "/latch\"", "/attention\""].iter().any(|file| call.contains(file));
                let is_directory = call.contains("O_DIRECTORY");
                assert!(!asks_processes && (is_directory || !asks_hardware), "{line}: {call}");
            }
        }
    }
}
