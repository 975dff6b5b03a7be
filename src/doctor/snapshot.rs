//! What the tasks of a machine are doing, from /proc: the only place that reads it for the doctor.
//!
//! Nothing here can block: the kernel answers state, wchan and stack from memory, whatever the task waits for. A task
//! that ends while being read is left out. Every task of interest is read twice, and its count of context switches
//! tells whether it ran in between: only tasks that all stood still make one picture, and only such a picture can prove
//! anything about who waits for whom.

use std::collections::BTreeMap;

use crate::doctor::stack::{self, Position, Work};
use crate::doctor::task::{Frame, Snapshot, Task, VfioUser};
use crate::host::procfs::Procfs;
use crate::host::stillness::switches;

/// Every task that waits in PCI or driver code; an empty snapshot where there is no /proc.
pub(crate) fn take(procfs: Option<&Procfs>) -> Snapshot {
    procfs.map_or_else(Snapshot::default, |procfs| Reader { procfs }.snapshot())
}

/// One thread, whatever it does.
pub(crate) fn look(procfs: &Procfs, pid: u32, tid: u32) -> Option<Task> {
    let state = procfs.stat(&task_path(pid, tid))?.state;
    Reader { procfs }.read(pid, tid, state).map(|(task, _)| task)
}

/// A process's command line, be it that it was killed and has but threads left that are in the kernel.
pub(crate) fn writer_command(procfs: &Procfs, pid: u32) -> String {
    let threads = Reader { procfs }.threads(pid).into_iter();
    threads.map(|tid| procfs.command(&task_path(pid, tid))).find(|command| !command.is_empty()).unwrap_or_default()
}

fn task_path(pid: u32, tid: u32) -> String {
    format!("{pid}/task/{tid}")
}

/// Whether there is a driver that waits for its users in interruptible sleep: they register their device numbers as long as
/// they are there. Without one, what sleeps so, and that is nearly everything on a machine, need not be asked where.
fn may_wait_for_users(procfs: &Procfs) -> bool {
    let Ok(Some(devices)) = procfs.text("devices") else { return true };
    devices.lines().filter_map(|line| line.split_whitespace().nth(1)).any(stack::is_device_of_waiting_driver)
}

struct Reader<'a> {
    procfs: &'a Procfs,
}

impl Reader<'_> {
    fn snapshot(&self) -> Snapshot {
        let mut found: BTreeMap<u32, (Task, Option<u64>)> = BTreeMap::new();
        let asks_sleepers = may_wait_for_users(self.procfs);
        for pid in self.procfs.pids().unwrap_or_default() {
            let Some(main) = self.procfs.stat(&task_path(pid, pid)) else { continue };
            // Most processes have one thread, and need not be asked for it.
            let others = if main.threads == 1 { Vec::new() } else { self.threads(pid) };
            let state = |tid: u32| Some((tid, self.procfs.stat(&task_path(pid, tid))?.state));
            let others = others.into_iter().filter(|tid| *tid != pid).filter_map(state);
            for (tid, state) in std::iter::once((pid, main.state)).chain(others) {
                if let Some(task) = self.interesting(pid, tid, state, asks_sleepers) {
                    found.insert(tid, task);
                }
            }
        }
        let mut tasks = Vec::new();
        for (mut task, before) in found.into_values() {
            let now = switches(self.procfs, &task_path(task.pid, task.tid));
            // What runs waits for nobody.
            task.still = task.state != 'R' && before.is_some() && now == before;
            tasks.push(task);
        }
        let vfio = tasks.iter().any(|task| task.stack.iter().any(|frame| frame.function.starts_with("vfio_")));
        let vfio_users = if vfio { self.vfio_users() } else { Vec::new() };
        let sees_stacks = matches!(self.procfs.text("self/stack"), Ok(Some(_)));
        Snapshot { tasks, vfio_users, sees_stacks }
    }

    fn threads(&self, pid: u32) -> Vec<u32> {
        let names = self.procfs.names(&format!("{pid}/task")).ok().flatten().unwrap_or_default();
        let mut threads: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        threads.sort_unstable();
        threads
    }

    fn text(&self, path: &str) -> Option<String> {
        Some(self.procfs.text(path).ok()??.trim_end_matches('\n').to_owned())
    }

    /// A task that may be in PCI code. Tasks that run, or sleep where user programs sleep, are skipped quickly: a
    /// machine has thousands of them.
    fn interesting(&self, pid: u32, tid: u32, state: char, asks_sleepers: bool) -> Option<(Task, Option<u64>)> {
        match state {
            // A driver that sleeps and looks again runs at times.
            'D' | 'R' => {}
            // Only vfio and the like wait for their users in a way that signals can end.
            'S' if asks_sleepers && self.waits_for_users(&task_path(pid, tid)) => {}
            _ => return None,
        }
        let (task, switches) = self.read(pid, tid, state)?;
        let is_at_work = state != 'R' || Position::of(&task).work != Work::Other;
        (is_at_work && stack::is_of_interest(&task)).then_some((task, switches))
    }

    /// Whether a sleeping task waits for the users of a device. On x86 wchan names nothing before Linux 5.16: it followed
    /// frame pointers, which kernels that unwind by ORC do not have (arch/x86/kernel/process.c). The stack tells it there.
    fn waits_for_users(&self, task: &str) -> bool {
        match self.procfs.start_of(&format!("{task}/wchan"), &mut [0; 512]) {
            Ok(Some(wchan)) if !matches!(wchan.as_str(), "" | "0") => stack::waits_for_users(&wchan),
            _ => self.stack(task).iter().any(|frame| stack::waits_for_users(&frame.function)),
        }
    }

    /// The functions it is in, innermost first; none if they may not be seen.
    fn stack(&self, task: &str) -> Vec<Frame> {
        let stack = self.text(&format!("{task}/stack")).unwrap_or_default();
        stack.lines().filter_map(Frame::parse).collect()
    }

    fn read(&self, pid: u32, tid: u32, state: char) -> Option<(Task, Option<u64>)> {
        let path = task_path(pid, tid);
        let switches = switches(self.procfs, &path);
        let wchan = self.text(&format!("{path}/wchan")).filter(|wchan| !matches!(wchan.as_str(), "" | "0"));
        let mut task = Task {
            pid,
            tid,
            comm: self.procfs.comm(&path)?,
            command: self.command(pid, tid),
            state,
            wchan,
            stack: self.stack(&path),
            files: self.sysfs_files(pid, tid),
            under_pcictl: self.is_under_pcictl(pid),
            still: false,
            seconds: self.procfs.age(pid).map(|age| age.as_secs()),
        };
        task.keep_own_write();
        Some((task, switches))
    }

    /// The command line of a process, as a thread has it if the first one has ended (`exit_mm` in kernel/exit.c).
    fn command(&self, pid: u32, tid: u32) -> String {
        let command = self.procfs.command(&pid.to_string());
        if command.is_empty() && tid != pid { self.procfs.command(&task_path(pid, tid)) } else { command }
    }

    fn is_under_pcictl(&self, pid: u32) -> bool {
        let is_pcictl = |pid: u32| self.procfs.comm(&pid.to_string()).is_some_and(|comm| comm.starts_with("pcictl"));
        is_pcictl(pid) || self.procfs.ancestors(pid).into_iter().take_while(|pid| *pid > 1).any(is_pcictl)
    }

    fn open_files(&self, task: &str) -> Vec<String> {
        let targets = self.procfs.descriptor_targets(task).unwrap_or_default();
        targets.into_iter().map(|(_, target)| target).collect()
    }

    /// The table of descriptors is the process's, and still its other threads' when the first one has ended.
    fn sysfs_files(&self, pid: u32, tid: u32) -> Vec<String> {
        let mut files = self.open_files(&pid.to_string());
        if files.is_empty() && tid != pid {
            files = self.open_files(&task_path(pid, tid));
        }
        let files = files.into_iter();
        let mut files: Vec<String> = files
            .filter_map(|file| {
                let file = file.strip_suffix(" (deleted)").unwrap_or(&file);
                file.strip_prefix("/sys/").map(str::to_owned)
            })
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn vfio_users(&self) -> Vec<VfioUser> {
        let mut users = Vec::new();
        for pid in self.procfs.pids().unwrap_or_default() {
            let mut nodes = self.open_files(&pid.to_string());
            nodes.retain(|node| {
                (node.starts_with("/dev/vfio/") && node != "/dev/vfio/vfio") || node == "anon_inode:[vfio-device]"
            });
            nodes.sort_unstable();
            nodes.dedup();
            if !nodes.is_empty() {
                users.push(VfioUser { process: self.procfs.process_ref(pid), nodes });
            }
        }
        users
    }
}
