//! One pass over all processes, however many devices are asked about.
//!
//! Reading a process's map of memory waits for a lock of that process, and a process that hangs in the kernel may never
//! give it back. So the pass is made by threads that are watched: one that stays with a process for too long is left
//! behind, the process is named as one that could not be looked into, and another thread takes its place.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host::procfs::{ProcessRef, Procfs};
use crate::order;
use crate::usage::block::mounts::MountTable;
use crate::usage::namespaces::{Namespace, bind_mounted};
use crate::usage::process::descriptors::{FileUses, Finders, SafeMounts, Wanted, look};

/// How long one process may take to be looked at; thousands take less.
const PROCESS_TIME: Duration = Duration::from_secs(2);

/// More threads than this only fight over the kernel's locks.
const MOST_THREADS: usize = 4;

/// What the pass found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The processes that hold something.
    pub(crate) holders: Vec<(ProcessRef, FileUses)>,
    /// Processes that may not be looked into, with the reason.
    pub(crate) denied: Vec<u32>,
    /// Processes that did not answer in time.
    pub(crate) stuck: Vec<u32>,
}

/// Looks at all these processes.
pub(crate) fn run(proc: &Procfs, pids: Vec<u32>, wanted: Wanted, tables: &[MountTable]) -> Findings {
    let own = std::process::id();
    let dump = proc.is_dump();
    let pids: Vec<u32> = pids.into_iter().filter(|pid| dump || *pid != own).collect();
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(pids.len() / 32 + 1);
    let shared = Arc::new(Shared {
        proc: proc.clone(),
        pids,
        wanted,
        safe: Safe::read(tables),
        finders: Finders::default(),
        state: Mutex::default(),
        changed: Condvar::new(),
    });
    for _ in 0..threads {
        spawn(&shared);
    }
    supervise(&shared)
}

/// Waits until every process was looked at or given up.
fn supervise(shared: &Arc<Shared>) -> Findings {
    let mut state = shared.state();
    loop {
        if state.working.is_empty() && (state.next >= shared.pids.len() || state.workers == 0) {
            let mut findings = std::mem::take(&mut state.findings);
            // No thread could be had for these.
            findings.stuck.extend(shared.pids.iter().skip(state.next));
            order::sort_by(&mut findings.holders, |(a, _), (b, _)| a.pid.cmp(&b.pid));
            return findings;
        }
        let late: Vec<usize> =
            state.working.iter().filter(|(_, (_, since))| since.elapsed() > PROCESS_TIME).map(|(id, _)| *id).collect();
        for id in late {
            if let Some((pid, _)) = state.working.remove(&id) {
                state.findings.stuck.push(pid);
                state.workers -= 1;
                drop(state);
                spawn(shared);
                state = shared.state();
            }
        }
        let waited = shared.changed.wait_timeout(state, PROCESS_TIME / 4);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn spawn(shared: &Arc<Shared>) {
    let mut state = shared.state();
    let id = state.started;
    state.started += 1;
    let theirs = Arc::clone(shared);
    if std::thread::Builder::new().name(format!("users-{id}")).spawn(move || theirs.work(id)).is_ok() {
        state.workers += 1;
    }
}

struct Shared {
    proc: Procfs,
    pids: Vec<u32>,
    wanted: Wanted,
    safe: Safe,
    finders: Finders,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    started: usize,
    workers: usize,
    /// Which thread is with which process, and since when.
    working: HashMap<usize, (u32, Instant)>,
    findings: Findings,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, id: usize) {
        let mut buffer = Vec::new();
        while let Some(pid) = self.next(id) {
            let found = self.look(pid, &mut buffer);
            let mut state = self.state();
            // Left behind meanwhile: another thread goes on in this one's place.
            if state.working.remove(&id).is_none() {
                return;
            }
            match found {
                Ok(Some(found)) => state.findings.holders.push(found),
                Ok(None) => {}
                Err(_) => state.findings.denied.push(pid),
            }
        }
        let mut state = self.state();
        state.workers -= 1;
        drop(state);
        self.changed.notify_all();
    }

    fn next(&self, id: usize) -> Option<u32> {
        let mut state = self.state();
        let pid = *self.pids.get(state.next)?;
        state.next += 1;
        state.working.insert(id, (pid, Instant::now()));
        Some(pid)
    }

    fn look(&self, pid: u32, buffer: &mut Vec<u8>) -> io::Result<Option<(ProcessRef, FileUses)>> {
        let Some(process) = self.proc.process(pid)? else { return Ok(None) };
        let mut look = |table: &str| look(&process, table, &self.wanted, &self.safe, &self.finders, buffer);
        let Some(mut holds) = look("")? else { return Ok(None) };
        // When a process's first thread has ended and others go on, only theirs show what it has open.
        if holds.descriptors == 0 && process.has_threads() {
            for thread in process.names("task")?.unwrap_or_default() {
                if thread != pid.to_string() {
                    holds = look(&format!("task/{thread}/"))?.unwrap_or_default();
                    if holds.descriptors > 0 {
                        break;
                    }
                }
            }
        }
        if holds.holds.is_empty() && !holds.some_vfio {
            return Ok(None);
        }
        Ok(Some((process.identity(pid, buffer), holds)))
    }
}

/// Mounts whose file systems answer `stat` of an open file from memory. One on a server or in user space may hang.
struct Safe(BTreeSet<u64>);

impl Safe {
    fn read(tables: &[MountTable]) -> Self {
        const KINDS: [&str; 9] = ["devtmpfs", "tmpfs", "ramfs", "rootfs", "ext2", "ext3", "ext4", "xfs", "btrfs"];
        let safe = |line: &str| {
            let (_, rest) = line.split_once(" - ")?;
            KINDS.contains(&rest.split(' ').next()?).then(|| line.split(' ').next()?.parse().ok())?
        };
        Self(order::set(tables.iter().flat_map(|table| table.text.lines()).filter_map(safe)))
    }
}

impl SafeMounts for Safe {
    fn is_safe(&self, mount: u64) -> bool {
        self.0.contains(&mount)
    }
}

/// The namespaces of all processes: one process of each.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// The mounts of each mount namespace; pcictl's own first.
    pub(crate) mounts: Vec<MountTable>,
    /// Every network namespace but pcictl's own.
    pub(crate) networks: Vec<Namespace>,
    /// Mount namespaces that no process is in, and that are kept by a mount.
    pub(crate) unattended: Vec<Namespace>,
    /// Processes whose namespaces may not be asked for.
    pub(crate) denied: Vec<u32>,
}

impl Namespaces {
    /// Asks every process for its namespaces. Nothing that is read here waits for a process.
    ///
    /// # Errors
    /// The mounts of pcictl's own namespace cannot be read.
    pub(crate) fn read(proc: &Procfs, pids: &[u32]) -> io::Result<Self> {
        let mut found = Self::default();
        // A dump has no process of pcictl's own; its first one stands for the machine.
        let own = if proc.is_dump() { pids.first().map_or("1".to_owned(), u32::to_string) } else { "self".to_owned() };
        let mut seen: BTreeSet<String> = BTreeSet::new();
        seen.extend(proc.link(&format!("{own}/ns/mnt"))?);
        seen.extend(proc.link(&format!("{own}/ns/net"))?);
        if let Some(text) = proc.text(&format!("{own}/mountinfo"))? {
            found.mounts.push(MountTable { of: None, text });
        }
        for pid in pids {
            if found.add(proc, *pid, &mut seen).is_err() {
                found.denied.push(*pid);
            }
        }
        let own = found.mounts.first().map(|table| table.text.as_str()).unwrap_or_default();
        let mut is_new = |namespace: &Namespace| seen.insert(namespace.id.clone());
        let networks: Vec<Namespace> = bind_mounted(own, "net").into_iter().filter(&mut is_new).collect();
        found.unattended = bind_mounted(own, "mnt").into_iter().filter(is_new).collect();
        found.networks.extend(networks);
        Ok(found)
    }

    fn add(&mut self, proc: &Procfs, pid: u32, seen: &mut BTreeSet<String>) -> io::Result<()> {
        let who = || {
            let name = proc.process(pid).ok().flatten().map(|process| process.comm(&mut Vec::new()));
            format!("pid {pid} ({})", name.unwrap_or_default())
        };
        if let Some(id) = proc.link(&format!("{pid}/ns/mnt"))?.filter(|id| !seen.contains(id)) {
            // Remembered only once it was read: this process may end meanwhile, and the next one must do.
            if let Some(text) = proc.text(&format!("{pid}/mountinfo"))? {
                seen.insert(id);
                self.mounts.push(MountTable { of: Some(who()), text });
            }
        }
        if let Some(id) = proc.link(&format!("{pid}/ns/net"))?.filter(|id| seen.insert(id.clone())) {
            self.networks.push(Namespace { id, file: format!("/proc/{pid}/ns/net"), of: who() });
        }
        Ok(())
    }
}
