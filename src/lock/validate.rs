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
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use nix::unistd::{Uid, setuid};

    use super::*;
    use crate::host::child::{Limits, Sender, look_at_each};
    use crate::host::procfs::FIRST_PID_NAMESPACE;
    use crate::host::root::Root;

    const ROOTS: &str = "Uid:\t0\t0\t0\t0\n";

    /// A /proc with these files.
    fn proc_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Procfs) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join("proc").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
        (root, procfs)
    }

    /// The search for locks on older files of a file system that /proc/locks calls 00:13.
    fn search(procfs: &Procfs) -> Searched<'_> {
        let (directory, file_named) = ("/run/pcictl/locks", &|_: &str| None);
        Searched { procfs, device: 0x13, directory, is_of_host: true, file_named, new: &[] }
    }

    #[test]
    fn a_lock_whose_taker_has_ended_counts_only_where_not_everybody_can_be_seen() {
        // Whoever has it since is none who may open lock files, or is hidden.
        let lock = ("locks", "1: FLOCK  ADVISORY  WRITE 4711 00:13:77 0 EOF\n");
        let (_all, everybody) = proc_with(&[lock, ("1/status", ROOTS)]);
        assert_eq!(search(&everybody).look().unwrap(), StaleHolders::default());
        let (_some, some) = proc_with(&[lock, ("4000/status", ROOTS)]);
        // Others than root see even less, and that tells nothing.
        let hidden = if geteuid().is_root() { vec![4711] } else { Vec::new() };
        assert_eq!(search(&some).look().unwrap(), StaleHolders { hidden, ..StaleHolders::default() });
    }

    #[test]
    fn of_locks_that_nobody_accounts_for_those_count_whose_taker_was_never_seen() {
        let seen = 4712;
        let (explained, elsewhere, there) = ("4713 00:13:79", "4714 00:14:80", "4715 00:13:81");
        let holders = ["4711 00:13:77", "4712 00:13:78", explained, elsewhere, there];
        let locks = holders.map(|holder| format!("1: FLOCK  ADVISORY  WRITE {holder} 0 EOF\n")).concat();
        let (_root, procfs) = proc_with(&[("locks", &locks), ("4715/stat", "4715 (x) S 1")]);
        let explained = [KernelFile { device: 0x13, inode: 79 }];
        assert_eq!(search(&procfs).hidden_holders(&[seen], &[], &explained).unwrap(), [4711]);
    }

    #[test]
    fn without_the_kernels_table_everybody_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
        std::os::unix::fs::symlink(FIRST_PID_NAMESPACE, root.path().join("proc/self/ns/pid")).unwrap();
        let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
        assert_eq!(procfs.is_in_first_pid_namespace(), Some(true));
        let searched = search(&procfs);
        assert!(!searched.table_shows_none().unwrap());
        assert_eq!(searched.stale_holders().unwrap(), StaleHolders::default());
    }

    #[test]
    fn the_kernels_table_shows_none_only_where_those_who_took_a_lock_have_it_still() {
        let taken = "1: FLOCK  ADVISORY  WRITE 4711 00:14:77 0 EOF\n";
        let shows_none = |descriptor: &str| {
            let (root, procfs) = proc_with(&[("locks", taken), ("4711/status", ROOTS), ("4711/fdinfo/3", descriptor)]);
            for (link, target) in [("self/ns/pid", FIRST_PID_NAMESPACE), ("4711/fd/3", "/srv/backup.lock")] {
                let link = root.path().join("proc").join(link);
                std::fs::create_dir_all(link.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, link).unwrap();
            }
            search(&procfs).table_shows_none().unwrap()
        };
        assert!(shows_none(&format!("pos:\t0\nlock:\t{taken}")));
        assert!(!shows_none("pos:\t0\n"), "another may have a copy of the descriptor that it took the lock with");
    }

    #[test]
    fn on_another_file_system_a_lock_counts_by_what_roots_file_is_called() {
        // What `OffsetTag` puts on a file a millisecond after boot.
        const MARKED: u64 = 1 << 2;
        let stale = |target: &str, uid: &str, position: u64| {
            let descriptor = format!("pos:\t{position}\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 00:14:77 0 EOF\n");
            let status = format!("Uid:\t{uid}\t0\t0\t0\n");
            let (root, procfs) = proc_with(&[("4711/status", &status), ("4711/fdinfo/3", &descriptor)]);
            std::fs::create_dir_all(root.path().join("proc/4711/fd")).unwrap();
            std::os::unix::fs::symlink(target, root.path().join("proc/4711/fd/3")).unwrap();
            search(&procfs).look().unwrap().stale
        };
        let lock = "/run/pcictl/locks/pci0000:00+03.0.lock";
        assert_eq!(stale(lock, "0", MARKED), [4711]);
        assert_eq!(stale("/run/other/pci0000:00+03.0.lock", "0", MARKED), [0; 0], "a file of somebody else's");
        assert_eq!(stale(lock, "65534", MARKED), [0; 0], "others than root may call their files as they like");
        assert_eq!(stale(lock, "0", u64::MAX >> 2), [0; 0], "no mark");
    }

    #[test]
    fn who_is_no_root_need_not_see_what_root_has_open() {
        if !geteuid().is_root() {
            return;
        }
        let lock = ("locks", "1: FLOCK  ADVISORY  WRITE 4711 00:13:77 0 EOF\n");
        let (root, _) = proc_with(&[lock, ("4711/status", ROOTS), ("4711/fd/3", "")]);
        for (path, mode) in [("", 0o755), ("proc/4711/fd", 0o700)] {
            std::fs::set_permissions(root.path().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        // In a process of its own, for the user is that of a process.
        let look = |_: &(), sender: &mut Sender| {
            setuid(Uid::from_raw(65534)).unwrap();
            let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
            sender.send(&search(&procfs).look().unwrap().hidden);
        };
        let mut hidden = None;
        look_at_each(
            &[()],
            1,
            &[],
            Limits::of_answer(std::time::Duration::from_secs(60)),
            &look,
            |_, found: Vec<u32>| {
                hidden = Some(found);
            },
        );
        assert_eq!(hidden.unwrap(), [0; 0]);
    }

    #[test]
    fn hidden_is_who_is_so_in_every_look() {
        let confirmed_by = |looks: &[(Vec<u32>, Vec<u32>)]| {
            let mut left = looks.iter();
            let found = confirmed(|| {
                let (stale, hidden) = left.next().unwrap();
                Ok(StaleHolders { stale: stale.clone(), hidden: hidden.clone() })
            });
            let found = found.unwrap();
            (found.stale, found.hidden, left.count())
        };
        let nobody = || (vec![], vec![]);
        let hidden = |pids: &[u32]| (vec![], pids.to_vec());
        assert_eq!(confirmed_by(&[nobody(), nobody()]), (vec![], vec![], 1));
        assert_eq!(confirmed_by(&[(vec![5], vec![1]), nobody()]), (vec![5], vec![1], 1));
        let looks = [hidden(&[1, 2]), hidden(&[2, 3]), hidden(&[1, 3]), nobody()];
        assert_eq!(confirmed_by(&looks), (vec![], vec![], 1));
        assert_eq!(confirmed_by(&[hidden(&[1]), (vec![5], vec![1]), nobody()]), (vec![5], vec![1], 1));
        let always: Vec<_> = (0..6).map(|_| hidden(&[1])).collect();
        assert_eq!(confirmed_by(&always), (vec![], vec![1], 1));
    }

    #[test]
    fn on_another_file_system_the_end_of_the_path_decides() {
        let procfs = Procfs::live().unwrap();
        let mut searched = search(&procfs);
        for target in [
            "/run/pcictl/locks/root.lock",
            "/old/run/pcictl/locks/pci0000:00+03.0.lock",
            "/pcictl/locks/root.lock (deleted)",
        ] {
            assert!(searched.is_lock_path(target), "{target}");
        }
        for target in ["/run/pcictl/locks/root.gate", "/run/other/locks/root.lock", "/locks/root.lock", "/x/A.lock"] {
            assert!(!searched.is_lock_path(target), "{target}");
        }
        searched.is_of_host = false;
        assert!(searched.is_lock_path("/run/pcictl/locks/root.lock"));
        assert!(!searched.is_lock_path("/old/run/pcictl/locks/root.lock"));
    }
}
