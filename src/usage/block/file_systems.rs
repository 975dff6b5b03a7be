//! Kinds of file systems: which lie on disks, and which answer without asking anybody what an open file is.

use std::cell::Cell;
use std::collections::HashMap;

use crate::host::procfs::Procfs;
use crate::usage::scope::number;

/// What is known of a file system that something is opened through or mapped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// sysfs or proc: where register files are.
    Kernel,
    /// The kernel answers from memory what an open file is.
    Local,
    /// Asking may wait for a server, or nobody has looked into it.
    Remote,
}

impl FileSystem {
    /// What was found by reading `getattr` and `d_weak_revalidate` of each: with AT_STATX_DONT_SYNC, and behind a link of
    /// /proc, none of [`LOCAL`] asks anybody. FUSE does not (fuse_update_get_attr in fs/fuse/dir.c). overlayfs and
    /// ecryptfs hand both on to what lies below, so they are as the others that the machine has. NFS is not among them: of
    /// a file that its server has forgotten it asks the server all the same (nfs_weak_revalidate in fs/nfs/dir.c, which
    /// says ESTALE, and then path_lookupat with LOOKUP_REVAL); nor is 9p, which asks always (fs/9p/vfs_inode_dotl.c).
    fn of_kind(kind: &str) -> Self {
        match kind.split('.').next().unwrap_or_default() {
            "sysfs" | "proc" => Self::Kernel,
            kind if LOCAL.contains(&kind) => Self::Local,
            _ => Self::Remote,
        }
    }
}

/// Kinds of file systems that answer from memory: those that can hold a node, and those of the kernel's own.
const LOCAL: &[&str] = &[
    "devtmpfs",
    "tmpfs",
    "ramfs",
    "rootfs",
    "overlay",
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "f2fs",
    "zfs",
    "bcachefs",
    "squashfs",
    "erofs",
    "iso9660",
    "udf",
    "vfat",
    "msdos",
    "exfat",
    "ntfs3",
    "hfs",
    "hfsplus",
    "jfs",
    "reiserfs",
    "nilfs2",
    "minix",
    "cramfs",
    "romfs",
    "fuse",
    "fuseblk",
    "virtiofs",
    "ecryptfs",
    "autofs",
    "bdev",
    "sockfs",
    "pipefs",
    "anon_inodefs",
    "nsfs",
    "pidfs",
    "devpts",
    "mqueue",
    "hugetlbfs",
    "cgroup",
    "cgroup2",
    "cpuset",
    "bpf",
    "debugfs",
    "tracefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "configfs",
    "fusectl",
    "pstore",
    "efivarfs",
    "binfmt_misc",
    "dax",
    "drm",
    "dmabuf",
    "secretmem",
    "guest_memfd",
    "resctrl",
    "rpc_pipefs",
    "nfsd",
    "binder",
    "xenfs",
    "zonefs",
    "cxl",
    "ibm-cxl",
    "iio",
    "aio",
];

/// A line of mountinfo, as far as most are looked at.
pub(crate) struct Mount<'a> {
    id: u64,
    /// The device number of its file system.
    pub(crate) number: (u32, u32),
    /// The kind of its file system.
    pub(crate) kind: &'a str,
    /// The kind, the source and the options.
    pub(crate) rest: &'a str,
}

impl<'a> Mount<'a> {
    /// None if the line cannot be understood.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, number) = (words.next()?.parse().ok()?, words.nth(1).and_then(number)?);
        let (_, rest) = line.split_once(" - ")?;
        Some(Self { id, number, kind: rest.split(' ').next().unwrap_or_default(), rest })
    }
}

/// The file systems of the mounts that were read, by the mount's id and by the device number.
#[derive(Debug, Default)]
pub(crate) struct FileSystems {
    by_mount: HashMap<u64, FileSystem>,
    by_number: HashMap<(u32, u32), FileSystem>,
    /// The kernel knows no other kinds than those that answer from memory.
    all_are_local: bool,
    /// Whether one was asked for that is not known.
    has_missed: Cell<bool>,
}

impl FileSystems {
    /// Of a machine with these kinds, before any mount is read.
    pub(crate) fn new(kinds: &Kinds, proc: &Procfs) -> Self {
        Self { all_are_local: !proc.is_dump() && kinds.are_local(), ..Self::default() }
    }

    /// Notes a mount.
    pub(crate) fn note(&mut self, mount: &Mount<'_>) {
        let file_system = FileSystem::of_kind(mount.kind);
        self.by_mount.insert(mount.id, file_system);
        self.by_number.insert(mount.number, file_system);
    }

    /// Whether one was asked for since the last time that is not known: its mount is in a namespace that was not read, or
    /// is seen nowhere.
    pub(crate) fn has_missed(&self) -> bool {
        self.has_missed.take()
    }

    /// Whether whatever is open can be asked what it is: no file system that could wait for a server is even registered,
    /// so that there can be none, not in any namespace and not where it was unmounted while something on it is open.
    pub(crate) fn all_are_local(&self) -> bool {
        self.all_are_local
    }

    /// That of a mount; ids are unique on the machine.
    pub(crate) fn of_mount(&self, id: u64) -> Option<FileSystem> {
        self.known(self.by_mount.get(&id))
    }

    /// That of a device number, as maps of memory show it.
    pub(crate) fn of_number(&self, number: (u32, u32)) -> Option<FileSystem> {
        self.known(self.by_number.get(&number))
    }

    fn known(&self, found: Option<&FileSystem>) -> Option<FileSystem> {
        if found.is_none() {
            self.has_missed.set(true);
        }
        found.copied()
    }
}

/// Which kinds of file systems lie on block devices: what /proc/filesystems lists without `nodev`.
pub(crate) struct Kinds(HashMap<String, bool>);

impl Kinds {
    pub(crate) fn read(proc: &Procfs) -> Self {
        let mut kinds = HashMap::new();
        for line in proc.text("filesystems").ok().flatten().unwrap_or_default().lines() {
            if let Some((nodev, kind)) = line.split_once('\t') {
                kinds.insert(kind.to_owned(), nodev.is_empty());
            }
        }
        Self(kinds)
    }

    /// Whether all that the kernel knows answer from memory.
    fn are_local(&self) -> bool {
        !self.0.is_empty() && self.0.keys().all(|kind| FileSystem::of_kind(kind) != FileSystem::Remote)
    }

    /// Whether a mount of this kind (`ext4`, `fuseblk.ntfs`) can name a disk. A kind that is not listed, as in a dumped
    /// tree, can, unless it is one that is known not to.
    pub(crate) fn lies_on_disks(&self, kind: &str) -> bool {
        const NEVER: [&str; 18] = [
            "tmpfs", "ramfs", "rootfs", "devtmpfs", "overlay", "fuse", "nfs", "nfs4", "cifs", "smb3", "ceph", "9p",
            "virtiofs", "afs", "autofs", "proc", "sysfs", "devpts",
        ];
        let kind = kind.split('.').next().unwrap_or_default();
        self.0.get(kind).copied().unwrap_or_else(|| !NEVER.contains(&kind))
    }
}
