//! The namespaces that processes are in, and the tables of mounts of each: what a process is in is a link of /proc, but a
//! table costs as much as whoever made it likes, so tables are read when there is a question that they answer.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Instant;

use crate::error::plain;
use crate::host::procfs::{Next, Procfs};
use crate::usage::namespaces::{Namespace, bind_mounted};

/// A process that may not be looked at, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Denied {
    /// Whether it is for want of rights.
    pub(crate) for_rights: bool,
    /// What the system says.
    pub(crate) why: String,
    /// The process.
    pub(crate) pid: u32,
}

impl Denied {
    pub(crate) fn new(pid: u32, error: &io::Error) -> Self {
        Self { for_rights: error.kind() == io::ErrorKind::PermissionDenied, why: plain(error), pid }
    }
}

/// `pid 812 (dd)`. Nothing that is read for it waits for the process.
pub(crate) fn name(proc: &Procfs, pid: u32) -> String {
    proc.comm(&pid.to_string()).map_or_else(|| format!("pid {pid}"), |comm| format!("pid {pid} ({comm})"))
}

/// The namespaces of all processes: one process of each.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// The mounts of pcictl's own mount namespace.
    pub(crate) own_mounts: Option<String>,
    /// Every network namespace but pcictl's own.
    pub(crate) networks: Vec<Namespace>,
    /// Processes whose namespaces may not be asked for.
    pub(crate) denied: Vec<Denied>,
    /// The process whose namespaces or mounts were being read when the time was up.
    pub(crate) late: Option<u32>,
    /// The mount namespaces that were not read yet, each with the processes in it, in the order in which they were found.
    unread: Vec<(String, Vec<u32>)>,
    /// Those that were read.
    read: HashSet<String>,
}

impl Namespaces {
    /// Asks every process for its namespaces. Nothing that is read here waits for a process.
    ///
    /// # Errors
    /// The mounts of pcictl's own namespace cannot be read.
    pub(crate) fn read(proc: &Procfs, pids: &[u32], deadline: Instant) -> io::Result<Self> {
        let mut found = Self::default();
        // A dump has no process of pcictl's own; its first one stands for the machine.
        let own = if proc.is_dump() { pids.first().map_or("1".to_owned(), u32::to_string) } else { "self".to_owned() };
        found.read.extend(proc.link(&format!("{own}/ns/mnt"))?);
        let mut seen: HashSet<String> = proc.link(&format!("{own}/ns/net"))?.into_iter().collect();
        found.own_mounts = proc.text(&format!("{own}/mountinfo"))?;
        let mut places: HashMap<String, usize> = HashMap::new();
        for pid in pids {
            if Instant::now() >= deadline {
                found.late = Some(*pid);
                break;
            }
            if let Err(error) = found.add(proc, *pid, &mut places, &mut seen) {
                found.denied.push(Denied::new(*pid, &error));
            }
        }
        let pinned = bind_mounted(found.own_mounts.as_deref().unwrap_or_default(), "net");
        found.networks.extend(pinned.into_iter().filter(|namespace| seen.insert(namespace.id.clone())));
        Ok(found)
    }

    fn add(
        &mut self,
        proc: &Procfs,
        pid: u32,
        places: &mut HashMap<String, usize>,
        seen: &mut HashSet<String>,
    ) -> io::Result<()> {
        if let Some(id) = proc.link(&format!("{pid}/ns/mnt"))?.filter(|id| !self.read.contains(id)) {
            if let Some(place) = places.get(&id) {
                self.unread[*place].1.push(pid);
            } else {
                places.insert(id.clone(), self.unread.len());
                self.unread.push((id, vec![pid]));
            }
        }
        if let Some(id) = proc.link(&format!("{pid}/ns/net"))?.filter(|id| seen.insert(id.clone())) {
            self.networks.push(Namespace { id, file: format!("/proc/{pid}/ns/net"), of: name(proc, pid) });
        }
        Ok(())
    }

    /// The mount namespaces that are kept by a mount, and that no process led to when the mounts were read.
    pub(crate) fn unattended(&self) -> Vec<Namespace> {
        let mut seen = self.read.clone();
        let pinned = bind_mounted(self.own_mounts.as_deref().unwrap_or_default(), "mnt");
        pinned.into_iter().filter(|namespace| seen.insert(namespace.id.clone())).collect()
    }

    /// Whether there are mounts that were not read.
    pub(crate) fn have_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Gives `take` the mounts of every namespace but pcictl's own, line by line, with a process that is in it; each
    /// namespace is read once.
    pub(crate) fn read_mounts(&mut self, proc: &Procfs, deadline: Instant, take: &mut dyn FnMut(u32, &str)) {
        for (id, pids) in std::mem::take(&mut self.unread) {
            for pid in pids {
                match self.read_table(proc, pid, deadline, take) {
                    // It ended meanwhile, and the next one must do.
                    Ok(false) => continue,
                    Ok(true) => {
                        self.read.insert(id);
                        break;
                    }
                    Err(error) => self.denied.push(Denied::new(pid, &error)),
                }
            }
            if self.late.is_some() {
                return;
            }
        }
    }

    fn read_table(
        &mut self,
        proc: &Procfs,
        pid: u32,
        deadline: Instant,
        take: &mut dyn FnMut(u32, &str),
    ) -> io::Result<bool> {
        let (mut lines, mut is_late) = (0_usize, false);
        let mut each = |line: &str| {
            lines += 1;
            is_late |= lines % 256 == 0 && Instant::now() >= deadline;
            if is_late {
                return Next::Stop;
            }
            take(pid, line);
            Next::Go
        };
        let is_read = proc.lines(&format!("{pid}/mountinfo"), &mut each)?;
        if is_late {
            self.late = Some(pid);
        }
        Ok(is_read)
    }
}
