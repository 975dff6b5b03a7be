//! Whether a task has run since it was looked at, and whether two tasks share what one of them could change for the other.
//!
//! The kernel counts each time that a task gives its processor back (`++*switch_count` of `__schedule` in
//! kernel/sched/core.c). A count that is equal proves nothing of a task that has its processor now: it has not given it
//! back yet, and as it prepares to wait it looks asleep already. Of one that has none it proves that it was given none
//! meanwhile; so says the comment of `wait_task_inactive`, which the kernel itself uses for that.
//!
//! It does NOT tell a process from one that got its number later: whoever asks compares when they started.

use nix::errno::Errno;
use nix::libc;

use crate::host::procfs::Procfs;
use crate::host::procfs::texts::context_switches;

/// How often a task has given its processor back; `task` is `PID` or `PID/task/TID`.
pub(crate) fn switches(procfs: &Procfs, task: &str) -> Option<u64> {
    context_switches(&procfs.text(&format!("{task}/status")).ok()??)
}

/// Whether a task has not run, not a moment, since it had this count. No if that may not be known. It may wait for a task
/// that is being executed (`exec_update_lock`), so it is for a child that can be left behind.
pub(crate) fn has_not_run(procfs: &Procfs, task: &str, before: u64) -> bool {
    // The count is read after it was off its processor, so that the switch which took it off is in it.
    is_off_processor(procfs, task) && switches(procfs, task) == Some(before)
}

/// The kernel shows what system call a task waits in only if `wait_task_inactive` found it off its processor
/// (`task_current_syscall` in lib/syscall.c, `proc_pid_syscall` in fs/proc/base.c); of any other it says that it is running.
fn is_off_processor(procfs: &Procfs, task: &str) -> bool {
    let text = procfs.start_of(&format!("{task}/syscall"), &mut [0; 256]);
    text.is_ok_and(|text| {
        text.is_some_and(|text| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    })
}

/// What tasks can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// The table of descriptors (CLONE_FILES).
    Files,
    /// The memory (CLONE_VM).
    Memory,
}

/// Whether two tasks have one and the same, by their numbers as this process sees them. One that is gone shares nothing;
/// yes if that may not be known. It may wait as [`has_not_run`] may.
pub(crate) fn share(a: u32, b: u32, what: Shared) -> bool {
    /// `enum kcmp_type` of include/uapi/linux/kcmp.h.
    const KCMP_VM: libc::c_long = 1;
    const KCMP_FILES: libc::c_long = 2;
    let kind = match what {
        Shared::Files => KCMP_FILES,
        Shared::Memory => KCMP_VM,
    };
    // SAFETY: the call takes five numbers and touches no memory of this process.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, libc::c_long::from(a), libc::c_long::from(b), kind, 0, 0) };
    match order {
        0 => true,
        -1 => Errno::last() != Errno::ESRCH,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_runs_has_run_and_what_sleeps_has_not() {
        let procfs = Procfs::live().unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let task = child.id().to_string();
        let mut rests = (0..500).map(|_| {
            let before = switches(&procfs, &task).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
            has_not_run(&procfs, &task, before).then_some(before)
        });
        let before = rests.find_map(|rest| rest).expect("it waits for what it is to copy");
        assert!(!has_not_run(&procfs, &task, before + 1));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!has_not_run(&procfs, &task, before), "it is gone");
    }

    /// Its count moves only when something else wants the processor.
    #[test]
    fn what_has_its_processor_has_run_whatever_its_count() {
        let procfs = Procfs::live().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let busy = std::thread::spawn(move || {
            sender.send(nix::unistd::gettid()).unwrap();
            while !ends.load(Ordering::Relaxed) {}
        });
        let task = format!("{}/task/{}", std::process::id(), receiver.recv().unwrap());
        for _ in 0..100 {
            let before = switches(&procfs, &task).unwrap();
            assert!(!has_not_run(&procfs, &task, before));
        }
        is_over.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    }

    #[test]
    fn threads_share_and_processes_do_not() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let own = std::process::id();
        let here = nix::unistd::gettid().as_raw().unsigned_abs();
        for what in [Shared::Files, Shared::Memory] {
            assert!(share(own, here, what), "{what:?}");
            assert!(!share(own, child.id(), what), "{what:?}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!share(own, child.id(), Shared::Files), "it is gone");
    }
}
