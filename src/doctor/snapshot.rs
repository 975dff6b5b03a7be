//! What the tasks of a machine are doing, from /proc: the only place that reads it for the doctor.
//!
//! Nothing here can block: state, wchan and stack are answered from memory, whatever the task waits for. A task that ends
//! while it is looked at is left out. Every task of interest is read twice, and its count of context switches tells
//! whether it ran in between: only tasks that all stood still make one picture, and only such a picture can prove
//! anything about who waits for whom.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::doctor::stack;
use crate::doctor::task::{Frame, Snapshot, Task, VfioUser};

/// A /proc, of this machine or of a dumped tree.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    root: PathBuf,
}

impl Proc {
    /// The one below this root directory.
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.join("proc") }
    }

    /// Every task that waits in PCI or driver code.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut found: BTreeMap<u32, (Task, Option<u64>)> = BTreeMap::new();
        for pid in numbers(&self.root) {
            let Some(main) = Stat::read(&self.task(pid, pid)) else { continue };
            // Most processes have one thread, and need not be asked for it.
            let others = if main.threads == 1 { Vec::new() } else { numbers(&self.root.join(format!("{pid}/task"))) };
            let others =
                others.into_iter().filter(|tid| *tid != pid).filter_map(|tid| Some((tid, self.state(pid, tid)?)));
            for (tid, state) in std::iter::once((pid, main.state)).chain(others) {
                if let Some(task) = self.interesting(pid, tid, state) {
                    found.insert(tid, task);
                }
            }
        }
        let mut tasks = Vec::new();
        for (mut task, switches) in found.into_values() {
            let directory = self.task(task.pid, task.tid);
            task.still = switches.is_some() && self.switches(&directory) == switches;
            tasks.push(task);
        }
        let vfio = tasks.iter().any(|task| task.stack.iter().any(|frame| frame.function.starts_with("vfio_")));
        let vfio_users = if vfio { self.vfio_users() } else { Vec::new() };
        let sees_stacks = self.root.join("self/stack").exists() && fs::read(self.root.join("self/stack")).is_ok();
        Snapshot { tasks, vfio_users, sees_stacks }
    }

    /// One process's main thread, whatever it does.
    pub(crate) fn look(&self, pid: u32) -> Option<Task> {
        let state = self.state(pid, pid)?;
        self.read(pid, pid, state).map(|(task, _)| task)
    }

    /// A task that may be in the code we ask for. What runs, or sleeps where user programs sleep, is passed over quickly:
    /// a machine has thousands of those.
    fn interesting(&self, pid: u32, tid: u32, state: char) -> Option<(Task, Option<u64>)> {
        match state {
            'D' => {}
            // Only vfio and the like wait for their users in a way that signals can end.
            'S' if text(&self.task(pid, tid).join("wchan")).is_some_and(|wchan| stack::waits_for_users(&wchan)) => {}
            _ => return None,
        }
        let (task, switches) = self.read(pid, tid, state)?;
        stack::is_of_interest(&task).then_some((task, switches))
    }

    fn read(&self, pid: u32, tid: u32, state: char) -> Option<(Task, Option<u64>)> {
        let directory = self.task(pid, tid);
        let switches = self.switches(&directory);
        let stack = text(&directory.join("stack")).unwrap_or_default();
        let wchan = text(&directory.join("wchan")).filter(|wchan| !matches!(wchan.as_str(), "" | "0"));
        let task = Task {
            pid,
            tid,
            comm: printable(&text(&directory.join("comm"))?),
            command: self.command(pid),
            state,
            wchan,
            stack: stack.lines().filter_map(Frame::parse).collect(),
            files: self.sysfs_files(pid),
            under_pcictl: self.is_under_pcictl(pid),
            still: false,
        };
        Some((task, switches))
    }

    fn task(&self, pid: u32, tid: u32) -> PathBuf {
        self.root.join(format!("{pid}/task/{tid}"))
    }

    fn state(&self, pid: u32, tid: u32) -> Option<char> {
        Some(Stat::read(&self.task(pid, tid))?.state)
    }

    fn is_under_pcictl(&self, pid: u32) -> bool {
        let parent = |pid: &u32| -> Option<u32> {
            let stat = text(&self.root.join(format!("{pid}/stat")))?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
        };
        let is_pcictl =
            |pid| text(&self.root.join(format!("{pid}/comm"))).is_some_and(|comm| comm.starts_with("pcictl"));
        std::iter::successors(Some(pid), parent).take_while(|pid| *pid > 1).take(32).any(is_pcictl)
    }

    /// How often it gave up the processor.
    fn switches(&self, task: &Path) -> Option<u64> {
        let status = text(&task.join("status"))?;
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        counts.map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
    }

    fn command(&self, pid: u32) -> String {
        let line = fs::read(self.root.join(format!("{pid}/cmdline"))).unwrap_or_default();
        let words: Vec<_> =
            line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
        printable(&words.join(" "))
    }

    fn open_files(&self, pid: u32) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(format!("{pid}/fd"))) else { return Vec::new() };
        let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter_map(|target| target.to_str().map(str::to_owned)).collect()
    }

    fn sysfs_files(&self, pid: u32) -> Vec<String> {
        let files = self.open_files(pid).into_iter();
        let mut files: Vec<String> = files
            .filter_map(|file| {
                let file = file.strip_suffix(" (deleted)").unwrap_or(&file);
                file.strip_prefix("/sys/").map(printable)
            })
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn vfio_users(&self) -> Vec<VfioUser> {
        let mut users = Vec::new();
        for pid in numbers(&self.root) {
            let mut nodes = self.open_files(pid);
            nodes.retain(|node| {
                (node.starts_with("/dev/vfio/") && node != "/dev/vfio/vfio") || node == "anon_inode:[vfio-device]"
            });
            nodes.sort_unstable();
            nodes.dedup();
            if !nodes.is_empty() {
                users.push(VfioUser { pid, command: self.command(pid), nodes });
            }
        }
        users
    }
}

/// What /proc/PID/stat says of a task.
struct Stat {
    state: char,
    /// Of its whole process.
    threads: usize,
}

impl Stat {
    /// `PID (COMM) STATE ...`, where COMM may hold anything; the threads are the twentieth field, see proc_pid_stat(5).
    fn read(task: &Path) -> Option<Self> {
        let text = text(&task.join("stat"))?;
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // A tree that was dumped by hand may have less; then all the threads there are get looked at.
        let threads = fields.nth(16).and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self { state, threads })
    }
}

/// The entries of a directory of /proc that are numbers, in their order.
fn numbers(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// What a file of /proc says. Asking for its size first, as `fs::read` does, is of no use there; and these files are given
/// out in one piece (single_open in the kernel), so what does not fill the room is all there is.
fn text(path: &Path) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let mut bytes = vec![0; 4096];
    let length = file.read(&mut bytes).ok()?;
    bytes.truncate(length);
    if length == 4096 {
        file.read_to_end(&mut bytes).ok()?;
    }
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
