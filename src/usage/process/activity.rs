//! Which processes have not run since they were looked at, so that what was seen of them is still so: the second look
//! before a change need not go through their descriptors and mappings again.
//!
//! A table of descriptors is changed by tasks that have it and run: `fd_install` and `receive_fd` (fs/file.c) take the one
//! of `current`. What others hand to a process, it takes itself when it runs: by a socket (`scm_detach_fds` in
//! net/core/scm.c), from a seccomp notifier (`seccomp_do_user_notification` in kernel/seccomp.c), from binder
//! (`binder_apply_fd_fixups` in drivers/android/binder.c); what a debugger has it do, it runs for; and `pidfd_getfd` takes
//! and does not give. Nor is anything mapped into memory but that of `current` (`do_mmap` in mm/mmap.c). The workers of
//! io_uring and vhost are threads of the process and are counted with them (`create_io_thread` in kernel/fork.c,
//! `vhost_task_create` in kernel/vhost_task.c), since Linux 5.12; before, threads of the kernel borrowed the tables, and
//! there nothing is kept.
//!
//! Tables and memory can be shared by processes (CLONE_FILES, CLONE_VM), and who shared them may have ended. So those that
//! share are known from the start, and none of them is taken for still unless all are. Both come by `clone` alone and end
//! with `execve` (`begin_new_exec` in fs/exec.c), so sharers have the same program at the same place in memory: only such
//! are asked about.
//!
//! It does NOT see what is handed on between processes that come and go faster than /proc lists them, as no look does, nor
//! processes that hide their relation by moving the marks of their memory (PR_SET_MM).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::host::child::{Sender, look_at_each};
use crate::host::processors::at_once;
use crate::host::procfs::Procfs;
use crate::host::procfs::texts::context_switches;
use crate::host::stillness::{self, Shared};

/// More questions about a family than this are not asked: it is still as a whole, or not.
const MOST_PAIRS: usize = 2_000;

/// So many processes are asked about between two messages to the parent.
const PIECE: usize = 32;

/// More children than this only fight over the kernel's locks.
const MOST_CHILDREN: usize = 4;

/// What processes were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    processes: HashMap<u32, Process>,
    /// Processes that share a table or memory, or may.
    sharers: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Process {
    /// In ticks since boot.
    started: u64,
    layout: (u64, u64),
    /// Its threads, each with its count; none if it is not worth the while, or cannot be told.
    threads: Vec<(u32, u64)>,
}

impl Activity {
    /// Notes what these processes are, before they are looked at.
    pub(crate) fn note(procfs: &Procfs, pids: &[u32], deadline: Instant) -> Self {
        if procfs.is_dump() || !only_tasks_change_tables(procfs) || !has_own_numbers(procfs) {
            return Self::default();
        }
        let noted = |pid: &u32| Some((*pid, Process::note(procfs, *pid)?));
        let processes: HashMap<u32, Process> = pids.iter().filter_map(noted).collect();
        let sharers = sharers(&processes, deadline);
        Self { processes, sharers }
    }

    /// The processes that are there and have not run since, nor anybody who shares with them.
    pub(crate) fn still(&self, procfs: &Procfs, deadline: Instant) -> HashSet<u32> {
        let mut candidates: Vec<u32> =
            self.processes.iter().filter(|(_, one)| one.may_be_kept()).map(|(pid, _)| *pid).collect();
        candidates.sort_unstable();
        let pieces: Vec<&[u32]> = candidates.chunks(PIECE).collect();
        let look = |piece: &&[u32], sender: &mut Sender| {
            let is_still = |pid: &&u32| self.processes.get(pid).is_some_and(|process| process.is_still(procfs, **pid));
            let still: Vec<u32> = piece
                .iter()
                .filter(|pid| {
                    sender.is_alive();
                    is_still(pid)
                })
                .copied()
                .collect();
            sender.send(&still);
        };
        let mut still = HashSet::new();
        let take = |_: usize, found: Vec<u32>| still.extend(found);
        // Of a piece that was not looked at to its end none is kept.
        look_at_each(&pieces, children(pieces.len()), &[procfs.descriptor()], deadline, &look, take);
        let has_run = |pid: &u32| !still.contains(pid);
        let disturbed: Vec<u32> =
            self.sharers.iter().filter(|group| group.iter().any(has_run)).flatten().copied().collect();
        disturbed.iter().for_each(|pid| {
            still.remove(pid);
        });
        still
    }
}

impl Process {
    fn note(procfs: &Procfs, pid: u32) -> Option<Self> {
        /// A thread is asked for as much as these descriptors are.
        const DESCRIPTORS_A_THREAD: usize = 8;
        let task = pid.to_string();
        let status = procfs.text(&format!("{task}/status")).ok()??;
        let number = |name: &str| -> Option<usize> {
            status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
        };
        let (count, size) = (number("Threads:").unwrap_or(0), number("FDSize:").unwrap_or(0));
        let threads = match count {
            1 => context_switches(&status).map(|switches| vec![(pid, switches)]),
            _ if count * DESCRIPTORS_A_THREAD > size => None,
            _ => threads(procfs, pid),
        };
        // Read last: a thread that is missing was there by now, or was started by one that has run since it was noted.
        let stat = procfs.stat(&task)?;
        let is_whole = |threads: &Vec<(u32, u64)>| threads.len() == stat.threads && stat.state != 'Z';
        Some(Self { started: stat.started, layout: stat.layout, threads: threads.filter(is_whole).unwrap_or_default() })
    }

    /// Whether it can be told later that it has not run. Of one whose memory may not be known, nobody can tell who shares
    /// with it.
    fn may_be_kept(&self) -> bool {
        !self.threads.is_empty() && self.started != 0 && self.has_layout()
    }

    fn has_layout(&self) -> bool {
        self.layout.1 != 0
    }

    fn is_still(&self, procfs: &Procfs, pid: u32) -> bool {
        self.threads.iter().all(|(tid, before)| {
            let task = if *tid == pid { pid.to_string() } else { format!("{pid}/task/{tid}") };
            stillness::has_not_run(procfs, &task, *before)
        }) && procfs.stat(&pid.to_string()).is_some_and(|stat| stat.started == self.started)
    }
}

/// The threads of a process, each with its count.
fn threads(procfs: &Procfs, pid: u32) -> Option<Vec<(u32, u64)>> {
    let names = procfs.names(&format!("{pid}/task")).ok()??;
    let thread = |name: &String| {
        let switches = stillness::switches(procfs, &format!("{pid}/task/{name}"))?;
        Some((name.parse().ok()?, switches))
    };
    names.iter().map(thread).collect()
}

/// The processes that share a table or memory, in groups.
fn sharers(processes: &HashMap<u32, Process>, deadline: Instant) -> Vec<Vec<u32>> {
    let mut families: BTreeMap<(u64, u64), Vec<u32>> = BTreeMap::new();
    for (pid, process) in processes.iter().filter(|(_, process)| process.has_layout()) {
        families.entry(process.layout).or_default().push(*pid);
    }
    let of = |pid: &u32| processes.get(pid).map(|process| process.threads.as_slice()).unwrap_or_default();
    let is_asked = |family: &Vec<u32>| {
        let tasks: usize = family.iter().map(|pid| of(pid).len()).sum();
        family.iter().all(|pid| !of(pid).is_empty()) && tasks * family.len() <= MOST_PAIRS
    };
    let (asked, mut groups): (Vec<Vec<u32>>, Vec<Vec<u32>>) =
        families.into_values().filter(|family| family.len() > 1).partition(is_asked);
    let look = |family: &Vec<u32>, sender: &mut Sender| {
        for (index, a) in family.iter().enumerate() {
            let others = family[index + 1..].iter().filter(|b| share_anything((*a, of(a)), (**b, of(b))));
            let others: Vec<u32> = others.copied().collect();
            if others.is_empty() {
                sender.is_alive();
            } else {
                sender.send(&others.into_iter().chain([*a]).collect::<Vec<u32>>());
            }
        }
    };
    let mut found = Vec::new();
    let unseen = look_at_each(&asked, 1, &[], deadline, &look, |_, group: Vec<u32>| found.push(group));
    groups.append(&mut found);
    groups.extend(unseen.into_iter().map(|(number, _)| asked[number].clone()));
    groups
}

/// Whether what is seen of one process can be changed by the other. What is seen is the first thread's; another may have a
/// table of its own.
fn share_anything((a, of_a): (u32, &[(u32, u64)]), (b, of_b): (u32, &[(u32, u64)])) -> bool {
    stillness::share(a, b, Shared::Memory)
        || of_b.iter().any(|(task, _)| stillness::share(a, *task, Shared::Files))
        || of_a.iter().any(|(task, _)| stillness::share(*task, b, Shared::Files))
}

fn children(pieces: usize) -> usize {
    at_once(MOST_CHILDREN.min(pieces / 2 + 1))
}

/// Whether no thread of the kernel opens files for others: io_uring's did before 5.12.
fn only_tasks_change_tables(procfs: &Procfs) -> bool {
    let release = procfs.text("sys/kernel/osrelease").ok().flatten().unwrap_or_default();
    is_from_5_12(&release)
}

fn is_from_5_12(release: &str) -> bool {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit()).map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    major.zip(minor).is_some_and(|version| version >= (5, 12))
}

/// Whether processes have the numbers here that /proc shows.
fn has_own_numbers(procfs: &Procfs) -> bool {
    procfs.own_pid() == Some(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::AsRawFd;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use nix::libc;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, Pid, fork};

    use super::*;
    use crate::host::child::leave;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// A program that sleeps until it is given something.
    fn sleeper() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    /// What these are when all of them have come to rest.
    fn at_rest(procfs: &Procfs, pids: &[u32]) -> Activity {
        let mut tries = (0..200).map(|_| {
            let activity = Activity::note(procfs, pids, soon());
            std::thread::sleep(Duration::from_millis(20));
            activity
        });
        tries.find(|activity| activity.still(procfs, soon()).len() == pids.len()).expect("all of them sleep")
    }

    fn assert_runs(procfs: &Procfs, pid: u32, before: u64) {
        let mut tries = (0..500).map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            stillness::switches(procfs, &pid.to_string()) != Some(before)
        });
        assert!(tries.any(|has_run| has_run), "{pid} did not run");
    }

    #[test]
    fn one_that_sleeps_is_still_until_it_runs() {
        let procfs = Procfs::live().unwrap();
        let (mut one, mut other) = (sleeper(), sleeper());
        let pids = [one.id(), other.id()];
        let activity = at_rest(&procfs, &pids);
        let before = stillness::switches(&procfs, &pids[0].to_string()).unwrap();
        one.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        assert_runs(&procfs, pids[0], before);
        assert_eq!(activity.still(&procfs, soon()), HashSet::from([pids[1]]));
        for child in [&mut one, &mut other] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
        assert_eq!(activity.still(&procfs, soon()), HashSet::new(), "they are gone");
    }

    #[test]
    fn another_process_of_the_same_number_is_not_still() {
        let procfs = Procfs::live().unwrap();
        let mut child = sleeper();
        let mut activity = at_rest(&procfs, &[child.id()]);
        // Its counts may well be the same.
        activity.processes.get_mut(&child.id()).unwrap().started -= 1;
        assert_eq!(activity.still(&procfs, soon()), HashSet::new());
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn all_threads_of_a_process_count() {
        let procfs = Procfs::live().unwrap();
        let (reader, writer) = pipe().unwrap();
        let pid = forked(|| {
            extern "C" fn read_on(fd: *mut libc::c_void) -> libc::c_int {
                loop {
                    wait_for_byte(fd as libc::c_int);
                }
            }
            let flags = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_FILES;
            clone(read_on, flags, reader.as_raw_fd() as *mut libc::c_void);
            sleep_for_ever();
        });
        let activity = at_rest(&procfs, &[pid]);
        let threads = activity.processes[&pid].threads.clone();
        assert_eq!(threads.len(), 2);
        (&writer).write_all(b"x").unwrap();
        let (tid, before) = threads.into_iter().find(|(tid, _)| *tid != pid).unwrap();
        assert_runs(&procfs, tid, before);
        assert_eq!(activity.still(&procfs, soon()), HashSet::new());
        end(pid);
    }

    #[test]
    fn one_whose_table_another_has_opened_files_in_is_not_still() {
        let procfs = Procfs::live().unwrap();
        let ((mut told, tell), (reader, writer)) = (pipe().unwrap(), pipe().unwrap());
        let (one, mut alone) = (forked(|| share_table(&tell, &reader)), sleeper());
        let mut other = [0; 4];
        told.read_exact(&mut other).unwrap();
        let other = u32::from_ne_bytes(other);
        let activity = at_rest(&procfs, &[one, other, alone.id()]);
        (&writer).write_all(b"x").unwrap();
        let mut tries = (0..500).map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            procfs.stat(&other.to_string()).is_none_or(|stat| stat.state == 'Z')
        });
        assert!(tries.any(|has_ended| has_ended));
        let process = &activity.processes[&one];
        assert!(process.is_still(&procfs, one), "it has not run itself");
        assert_eq!(activity.still(&procfs, soon()), HashSet::from([alone.id()]));
        end(one);
        drop(alone.stdin.take());
        alone.wait().unwrap();
    }

    /// Makes a process with the same table that ends when it is given a byte, says which, and sleeps.
    fn share_table(tell: &PipeWriter, reader: &PipeReader) {
        // SAFETY: as fork, with a table in common; both only make system calls from here on.
        match unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0) } {
            0 => {
                die_with_parent();
                wait_for_byte(reader.as_raw_fd());
                leave()
            }
            pid => {
                let bytes = u32::try_from(pid).unwrap_or(0).to_ne_bytes();
                let _ = nix::unistd::write(tell, &bytes);
                sleep_for_ever()
            }
        }
    }

    #[test]
    fn one_whose_memory_another_runs_in_is_not_still() {
        let procfs = Procfs::live().unwrap();
        let ((mut told, tell), (reader, writer)) = (pipe().unwrap(), pipe().unwrap());
        let fds = [tell.as_raw_fd(), reader.as_raw_fd()];
        let one = forked(|| {
            extern "C" fn run(fds: *mut libc::c_void) -> libc::c_int {
                die_with_parent();
                // SAFETY: it points to the numbers that the parent waits with.
                let [tell, reader] = unsafe { *fds.cast::<[i32; 2]>() };
                let pid = std::process::id().to_ne_bytes();
                // SAFETY: as many bytes are written as there are.
                unsafe { libc::write(tell, pid.as_ptr().cast(), pid.len()) };
                loop {
                    wait_for_byte(reader);
                }
            }
            // As posix_spawn does: its parent sleeps until it ends.
            clone(run, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, fds.as_ptr().cast_mut().cast());
        });
        let mut other = [0; 4];
        told.read_exact(&mut other).unwrap();
        let other = u32::from_ne_bytes(other);
        let activity = at_rest(&procfs, &[one, other]);
        let before = stillness::switches(&procfs, &other.to_string()).unwrap();
        (&writer).write_all(b"x").unwrap();
        assert_runs(&procfs, other, before);
        assert!(activity.processes[&one].is_still(&procfs, one), "it has not run itself");
        assert_eq!(activity.still(&procfs, soon()), HashSet::new());
        end(other);
        end(one);
    }

    /// Whom it would cost too much to ask, or who cannot be asked, is no reason to miss anything.
    #[test]
    fn a_family_that_is_not_asked_is_still_as_a_whole() {
        let one = |layout: (u64, u64), threads: Vec<(u32, u64)>| Process { started: 1, layout, threads };
        let groups = |processes: Vec<(u32, Process)>| {
            let mut groups = sharers(&processes.into_iter().collect(), soon());
            groups.iter_mut().for_each(|group| group.sort_unstable());
            groups
        };
        let many: Vec<u32> = (900_000..900_000 + 50).collect();
        assert_eq!(groups(many.iter().map(|pid| (*pid, one((1, 2), vec![(*pid, 1)]))).collect()), [many]);
        let unknown = vec![(900_001, one((1, 2), vec![(900_001, 1)])), (900_002, one((1, 2), Vec::new()))];
        assert_eq!(groups(unknown), [[900_001, 900_002]]);
        let strangers = vec![(900_001, one((1, 2), Vec::new())), (900_002, one((1, 3), Vec::new()))];
        assert_eq!(groups(strangers), [[0; 0]; 0]);
        let without_memory = vec![(900_001, one((0, 0), Vec::new())), (900_002, one((0, 0), Vec::new()))];
        assert_eq!(groups(without_memory), [[0; 0]; 0]);
    }

    #[test]
    fn before_5_12_threads_of_the_kernel_opened_files_for_others() {
        for (release, is_told) in
            [("6.18.44-fc-v769", true), ("5.12.0", true), ("5.10.0-21-amd64", false), ("4.18.0", false), ("", false)]
        {
            assert_eq!(is_from_5_12(release), is_told, "{release}");
        }
    }

    /// A child that only makes system calls.
    fn forked(work: impl FnOnce()) -> u32 {
        // SAFETY: what the child does takes no lock that another thread could have held.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child.as_raw().unsigned_abs(),
            ForkResult::Child => {
                die_with_parent();
                work();
                leave()
            }
        }
    }

    /// A task that runs `what` in the same memory.
    fn clone(what: extern "C" fn(*mut libc::c_void) -> libc::c_int, flags: libc::c_int, argument: *mut libc::c_void) {
        let stack = vec![0_u8; 64 << 10].leak();
        // SAFETY: it has a stack of its own, which stays, and only makes system calls.
        unsafe { libc::clone(what, stack.as_mut_ptr_range().end.cast(), flags, argument) };
    }

    fn die_with_parent() {
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    }

    fn wait_for_byte(fd: i32) {
        let mut byte = 0_u8;
        // SAFETY: one byte is read into one.
        unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
    }

    fn sleep_for_ever() {
        loop {
            nix::unistd::pause();
        }
    }

    fn end(pid: u32) {
        let pid = Pid::from_raw(pid.cast_signed());
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    }
}
