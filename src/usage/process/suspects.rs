//! Which processes are worth a look: where the kernel can be asked for all that is open and mapped at once, most turn out to hold
//! nothing that matters. What the others hold, and how, the look at each tells as it does anywhere else.

use std::collections::{BTreeSet, HashSet};
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Instant;

use crate::host::bpf::layout::{Each, Layout};
use crate::host::bpf::program::Interest;
use crate::host::bpf::{self, Record};
use crate::host::child::{Sender, look_at_each};
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::usage::process::descriptors::Wanted;

/// From so many processes on it takes less to learn the kernel's types, five megabytes of them, than to look at each process.
const WORTH_ASKING: usize = 128;

/// Where the kernel has what is asked for; none if it does not tell, or where it is not worth the while.
pub(crate) fn layout(sysfs: &Sysfs, proc: &Procfs, processes: usize) -> Option<Layout> {
    // Members of a hive are looked for by a look of their own, at the same kernel.
    static OF_KERNEL: OnceLock<Option<Layout>> = OnceLock::new();
    // Processes are named by the numbers of the first namespace.
    let has_numbers = || proc.is_in_first_pid_namespace() == Some(true) && proc.own_pid() == Some(std::process::id());
    if processes < WORTH_ASKING || proc.is_dump() || !nix::unistd::geteuid().is_root() || !has_numbers() {
        return None;
    }
    *OF_KERNEL.get_or_init(|| read_layout(sysfs))
}

fn read_layout(sysfs: &Sysfs) -> Option<Layout> {
    /// Kernels tell five to seven megabytes.
    const MOST: u64 = 64 << 20;
    let mut types = Vec::new();
    sysfs.file("kernel/btf/vmlinux").ok().flatten()?.take(MOST).read_to_end(&mut types).ok()?;
    Layout::of_kernel(&types)
}

/// The processes that may hold something; none if the kernel does not say.
pub(crate) fn among(layout: &Layout, wanted: &Wanted, deadline: Instant) -> Option<HashSet<u32>> {
    /// Where register files are (include/uapi/linux/magic.h).
    const SYSFS: i32 = 0x6265_6572;
    const PROC: i32 = 0x9fa0;
    /// Open functions, which have no number before Linux 6.6, and claims, as the walk knows them by their names.
    const NAMES: [[u8; 8]; 2] = [*b"[vfio-de", *b"spdk_pci"];
    if !wanted.has_all_numbers() {
        return None;
    }
    let interest = Interest { file_systems: &[SYSFS, PROC], names: &NAMES, sockets: !wanted.listeners.is_empty() };
    let look = |each: &Each, sender: &mut Sender| {
        let mut pids = BTreeSet::new();
        let mut take = |record: Record| {
            if wanted.may_be(&record) {
                pids.insert(record.pid);
            }
        };
        if bpf::each(layout, *each, &interest, &mut take, &mut || sender.is_alive()).is_ok() {
            sender.send(&pids);
        }
    };
    let kinds = [Each::File, Each::Mapping];
    let mut answers: [Option<Vec<u32>>; 2] = [None, None];
    look_at_each(&kinds, kinds.len(), &[], deadline, &look, |number, pids| answers[number] = Some(pids));
    let [Some(files), Some(mappings)] = answers else { return None };
    Some(files.into_iter().chain(mappings).collect())
}
