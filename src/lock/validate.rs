//! A new lock file is worth something only if nobody still holds the one that was there before it.
//!
//! Somebody may wipe, rename, copy or cover the run directory while locks are held. Those locks go on as they were, on files
//! that have no name or another one, and whoever comes next would lock new files and meet the old holders in the kernel. So
//! each file says in a mark which file it is and what its name was when somebody who had locked it had looked around and found
//! no lock on an older file of that name. A file without its own mark, because it is new or was copied or renamed, may be
//! relied on only after another such look. Nobody can come by an older file later: after all locks are taken and marked,
//! every name is looked at again.
//!
//! The kernel's table of locks is asked first. Where it can be trusted to be whole, and each lock in it is that of a process
//! that has it still and on a file that is no older one, nobody else need be looked into: a table has few lines on a host with
//! thousands of processes. Otherwise all processes are asked for what they have open, and the table only for those that may not
//! be looked into: if one of them has a lock on whatever file, it may be on one of these.
//!
//! Processes whose users may not open lock files cannot hold one on purpose, cannot write to the kernel's files either, and
//! are passed over: nobody can keep the machine's locks from being used by opening files that merely look like them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::host::procfs::Procfs;
use crate::lock::fdinfo::{Access, Descriptor, Fdinfo, each_descriptor, told};
use crate::lock::owner::{Owner, is_trusted_uid};
use crate::lock::proc_locks::{KernelFile, Role, all_flocks, whole_table};
use crate::pci::place::Place;

/// No mark is longer: a path and a few numbers.
const MARK_MAX: usize = 8 << 10;

/// Device and inode as stat(2) tells them.
pub(crate) type FileId = (u64, u64);

/// What a file is to be marked with.
pub(crate) fn mark(directory: &str, name: &str, file: FileId) -> String {
    format!("pcictl {:x}:{} {directory}/{name}\n", file.0, file.1)
}

/// Whether a file has this mark.
pub(crate) fn is_marked(file: &File, mark: &str) -> io::Result<bool> {
    Ok(read_mark(file)? == mark.as_bytes())
}

/// Marks a file as one to be relied on.
pub(crate) fn mark_validated(file: &File, mark: &str) -> io::Result<()> {
    file.write_all_at(mark.as_bytes(), 0)?;
    file.set_len(mark.len() as u64)
}

fn read_mark(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let mut length = file.read_at(&mut bytes, 0)?;
    if length == bytes.len() {
        bytes.resize(MARK_MAX, 0);
        length = file.read_at(&mut bytes, 0)?;
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Makes sure that the kernel here knows of a lock that this process has on the file.
///
/// # Errors
/// It does not, as with network file systems, which keep locks elsewhere.
pub(crate) fn check_kept_here(procfs: &Procfs, file: &File) -> io::Result<()> {
    if Fdinfo::own(procfs, file.as_raw_fd())?.locked.is_some() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "this file system does not keep its locks on this machine"))
}

/// The lock directory, as far as the search for older files needs it.
pub(crate) struct Searched<'a> {
    pub(crate) procfs: &'a Procfs,
    /// The kernel's device of its file system.
    pub(crate) device: u64,
    /// Where it is.
    pub(crate) directory: &'a str,
    /// Whether these are the locks of this machine, and not only those of a dumped tree.
    pub(crate) is_of_host: bool,
    /// The file that has a name in it now.
    pub(crate) file_named: &'a dyn Fn(&str) -> Option<FileId>,
    /// The files that this process has just locked, and that are not marked yet.
    pub(crate) new: &'a [FileId],
}

/// What several looks agree on; one is enough where somebody is seen with a lock, or nobody is hidden.
fn confirmed(mut look: impl FnMut() -> io::Result<StaleHolders>) -> io::Result<StaleHolders> {
    const LOOKS: usize = 5;
    let mut found = look()?;
    for _ in 1..LOOKS {
        if !found.stale.is_empty() || found.hidden.is_empty() {
            break;
        }
        let again = look()?;
        found.stale = again.stale;
        found.hidden.retain(|hidden| again.hidden.contains(hidden));
    }
    Ok(found)
}

/// Who may hold a lock on an older file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StaleHolders {
    /// These do.
    pub(crate) stale: Vec<u32>,
    /// These hold some lock, or held it once and left it to others, and it cannot be seen on what.
    pub(crate) hidden: Vec<u32>,
}

impl Searched<'_> {
    /// Looks at all processes; again where locks come and go while it looks.
    ///
    /// # Errors
    /// They cannot be listed, or this process has too few descriptors or too little memory left to look.
    pub(crate) fn stale_holders(&self) -> io::Result<StaleHolders> {
        if self.table_shows_none()? { Ok(StaleHolders::default()) } else { confirmed(|| self.look()) }
    }

    /// Whether the kernel's table alone shows that nobody holds a lock on an older file. False where there may be somebody.
    fn table_shows_none(&self) -> io::Result<bool> {
        // To other namespaces the table does not show the locks of processes that have ended, and left them to others.
        if self.procfs.is_in_first_pid_namespace() != Some(true) {
            return Ok(false);
        }
        let Some(lines) = told(whole_table(self.procfs))?.flatten() else { return Ok(false) };
        let mut held: BTreeMap<u32, HashSet<KernelFile>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.role == Role::Holds) {
            held.entry(line.pid).or_default().insert(line.file);
        }
        let mut seen = HashMap::new();
        for (pid, mut files) in held {
            let mut is_stale = false;
            let access = each_descriptor(self.procfs, pid, &mut |descriptor| {
                files.retain(|file| Some(*file) != descriptor.info.locked);
                // Others may have the same file, so it does not matter whose this process is.
                is_stale |= self.is_stale(pid, true, descriptor, &mut seen);
            })?;
            // Who took a lock that is left may have ended, and its number may be another process's by now.
            if access == Access::Denied || is_stale || !files.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn look(&self) -> io::Result<StaleHolders> {
        let mut found = StaleHolders::default();
        let (mut explained, mut denied) = (Vec::new(), Vec::new());
        // Many hold the same few files shared.
        let mut seen = HashMap::new();
        let pids = self.procfs.pids()?;
        for pid in &pids {
            let Some(owner) = Owner::of(self.procfs, *pid)?.filter(Owner::may_open_lock_files) else { continue };
            let mut is_stale = false;
            let access = each_descriptor(self.procfs, *pid, &mut |descriptor| {
                explained.extend(descriptor.info.locked);
                is_stale |= self.is_stale(*pid, owner.is_trusted(), descriptor, &mut seen);
            })?;
            match access {
                // Nobody but root looks into what belongs to root.
                Access::Denied if owner.is_like_this_process() => denied.push(*pid),
                Access::Denied => {}
                Access::Seen if is_stale => found.stale.push(*pid),
                Access::Seen => {}
            }
        }
        // Where processes are hidden from view (hidepid), not even the first one is seen.
        if !denied.is_empty() || geteuid().is_root() && !pids.contains(&1) {
            found.hidden = self.hidden_holders(&pids, &denied, &explained)?;
        }
        Ok(found)
    }

    /// Those who hold locks that nobody accounts for who could be looked into.
    fn hidden_holders(&self, seen: &[u32], denied: &[u32], explained: &[KernelFile]) -> io::Result<Vec<u32>> {
        /// Each look may miss lines.
        const LOOKS: usize = 3;
        let look = || -> io::Result<Vec<(u32, KernelFile)>> {
            let mut lines = Vec::new();
            for _ in 0..LOOKS {
                let flocks = all_flocks(self.procfs).map_err(|error| io::Error::other(error.to_string()))?;
                lines.extend(flocks.iter().filter(|line| line.role == Role::Holds).map(|line| (line.pid, line.file)));
            }
            Ok(lines)
        };
        let unaccounted = |(pid, file): &(u32, KernelFile)| {
            // Who took the lock may have ended, and left it to somebody who cannot be looked into. That can be anybody, so it
            // counts only on the file system of the lock files.
            let ended =
                || file.device == self.device && !seen.contains(pid) && self.procfs.stat(&pid.to_string()).is_none();
            !explained.contains(file) && (denied.contains(pid) || ended())
        };
        let mut first = look()?;
        first.retain(unaccounted);
        if first.is_empty() {
            return Ok(Vec::new());
        }
        let again = look()?;
        let mut holders: Vec<u32> = first.into_iter().filter(|line| again.contains(line)).map(|(pid, _)| pid).collect();
        holders.sort_unstable();
        holders.dedup();
        Ok(holders)
    }

    fn is_stale(
        &self,
        pid: u32,
        is_trusted: bool,
        descriptor: &Descriptor<'_>,
        seen: &mut HashMap<KernelFile, Option<FileId>>,
    ) -> bool {
        let Some(file) = descriptor.info.locked else { return false };
        if descriptor.info.tag.is_none_or(|tag| !tag.is_plausible()) {
            return false;
        }
        if file.device == self.device {
            let older = match seen.get(&file) {
                Some(older) => *older,
                None => match self.marked_name(pid, descriptor.number) {
                    Some((name, id)) => {
                        *seen.entry(file).or_insert(((self.file_named)(&name) != Some(id)).then_some(id))
                    }
                    // No lock file, or this process has just closed it: another one may still have it.
                    None => return false,
                },
            };
            return older.is_some_and(|id| Some(pid) != self.procfs.own_pid() || !self.new.contains(&id));
        }
        // On another file system nothing but the text can be had: the directory was covered, or the process sees another one.
        is_trusted && self.is_lock_path(descriptor.target)
    }

    /// The name of a lock file of this directory that a process has open, and which file it is. Only for a descriptor that
    /// the kernel says to be on this file system.
    fn marked_name(&self, pid: u32, number: &str) -> Option<(String, FileId)> {
        let path = format!("/proc/{pid}/fd/{number}");
        let metadata = std::fs::metadata(&path).ok()?;
        let private = metadata.is_file() && metadata.mode() & 0o7777 == 0o600 && is_trusted_uid(metadata.uid());
        if !private || metadata.size() == 0 || metadata.size() > MARK_MAX as u64 {
            return None;
        }
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path).ok()?;
        // The number may have become that of another file meanwhile.
        let id = (metadata.dev(), metadata.ino());
        file.metadata().ok().filter(|opened| (opened.dev(), opened.ino()) == id)?;
        let bytes = read_mark(&file).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let (_, path) = text.strip_prefix("pcictl ")?.split_once(' ')?;
        let name = path.strip_prefix(self.directory)?.strip_prefix('/')?.strip_suffix('\n')?;
        Some((name.to_owned(), id))
    }

    /// Whether a path is that of a lock file here. What was mounted where may have changed meanwhile, so for the machine's own
    /// locks the end of the path will do: rather wait for somebody's rehearsal than miss a lock.
    fn is_lock_path(&self, target: &str) -> bool {
        let Some((directory, name)) = target.strip_suffix(" (deleted)").unwrap_or(target).rsplit_once('/') else {
            return false;
        };
        let end = |path: &str| path.rsplit('/').take(2).map(str::to_owned).collect::<Vec<_>>();
        let fits = directory == self.directory || self.is_of_host && end(directory) == end(self.directory);
        fits && place_of(name).is_some()
    }
}

/// `root.lock`, `pci0000:00+03.0.lock`: `+` occurs in no place, so no two places share a file.
pub(crate) fn file_name(place: &Place, kind: &str) -> String {
    match place.chain() {
        "" => format!("root.{kind}"),
        chain => format!("{}.{kind}", chain.replace('/', "+")),
    }
}

/// The place of a `.lock` file's name.
pub(crate) fn place_of(name: &str) -> Option<Place> {
    match name.strip_suffix(".lock")? {
        "root" => Some(Place::root()),
        chain => Place::from_chain(&chain.replace('+', "/")),
    }
}

#[cfg(test)]
mod tests;
