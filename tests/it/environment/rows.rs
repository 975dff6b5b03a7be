//! The table: a row is a fault and what comes of it.

use super::rehearsal::TREE;

/// No tree: this machine is looked at, and nothing of it is changed.
pub const THIS_MACHINE: &str = "";

/// A disk, and the function that most commands are about.
pub const NVME: &str = "0000:03:00.0";

/// What the machine and the records are afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The device is there with its driver, and nothing is pending.
    Unchanged,
    /// The device is gone, and nobody knows that it is to come back.
    Removed,
    /// The device is gone, and `status` tells that.
    RemovedAndTold,
    /// Something is half done, and `status` tells that.
    HalfDone,
}

/// A fault and what must come of it.
#[derive(Clone, Copy)]
pub struct Row {
    /// In words.
    pub fault: &'static str,
    /// Done before by a shell, whose mounts nobody else sees.
    pub before: &'static str,
    /// The shell that the command runs in, as `"$@"`.
    pub around: &'static str,
    /// Options of strace(1): which calls are made to fail.
    pub strace: &'static str,
    /// The tree that it is about.
    pub tree: &'static str,
    /// The command.
    pub command: &'static str,
    /// Whether it is tried with a kernel made of files; else the program itself looks at a tree, or locks it.
    pub is_rehearsed: bool,
    /// Its exit status; of a signal, 128 more.
    pub status: i32,
    /// What must be in what it prints.
    pub stdout: &'static str,
    /// What it says.
    pub stderr: &'static str,
    /// What must be in the trace of its system calls.
    pub sign: &'static str,
    /// The state afterwards, if a kernel made of files was there.
    pub after: After,
    /// Done afterwards by a shell, which also looks whether all is as it should be.
    pub afterwards: &'static str,
}

/// Nothing is wrong.
const NONE: Row = Row {
    fault: "",
    before: "",
    around: "exec \"$@\"",
    strace: "-e trace=all",
    tree: TREE,
    command: REMOVE,
    is_rehearsed: true,
    status: 0,
    stdout: "",
    stderr: "",
    sign: "exit_group",
    after: After::Unchanged,
    afterwards: "",
};

/// A look at a tree by the program itself.
const LOOK: Row = Row { command: "list --no-header", is_rehearsed: false, ..NONE };

/// No child can look at processes for it.
const UNSEEING: Row = Row {
    fault: "no process can be started to look at others",
    strace: "-e inject=clone,fork,vfork:error=EAGAIN",
    tree: "busy",
    stdout: "more processes: no process could be started: Try again",
    sign: "(INJECTED)",
    ..LOOK
};

/// From a directory that is no more.
const NOWHERE: Row = Row {
    fault: "the working directory is gone",
    around: "mkdir @scratch/gone; cd @scratch/gone; rmdir @scratch/gone; exec \"$@\"",
    ..LOOK
};

/// Where nothing can be seen of processes.
const UNMOUNTED: Row = Row {
    fault: "no /proc",
    before: "mount -t tmpfs none /proc",
    status: 1,
    stderr: "pcictl: @: no dumped tree can be read while /proc is not mounted\n",
    sign: "\"/proc/self\"",
    ..LOOK
};

const REMOVE: &str = "remove 0000:03:00.0";

/// Full, over quota, read-only, broken: the disks of journals and of the ledger.
pub const STORAGE: &[Row] = &[
    Row {
        fault: "no room for the journal",
        strace: "-e inject=fallocate:error=ENOSPC",
        status: 1,
        stderr: "pcictl: cannot write the journal in @run/journal: No space left on device; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the quota is used up",
        strace: "-e inject=fallocate:error=EDQUOT",
        status: 1,
        stderr: "pcictl: cannot write the journal in @run/journal: Quota exceeded; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the quota is used up until old journals are gone",
        strace: "-e inject=fallocate:error=EDQUOT:when=1",
        stderr: "",
        sign: "(INJECTED)",
        after: After::RemovedAndTold,
        ..NONE
    },
    Row {
        fault: "/run is full",
        before: "mount -t tmpfs -o size=4k,mode=755 none @run; head -c 4096 /dev/zero > @run/filled",
        status: 1,
        stderr: "pcictl: cannot lock 0000:03:00.0: its lock in @run/locks cannot be used: No space left on device; nothing was changed\n",
        sign: "ENOSPC",
        ..NONE
    },
    Row {
        fault: "/run has no inode left",
        before: "mount -t tmpfs -o nr_inodes=4,mode=755 none @run; touch @run/1 @run/2 @run/3",
        status: 1,
        stderr: "pcictl: the lock directory @run/locks cannot be made: No space left on device\n",
        sign: "ENOSPC",
        ..NONE
    },
    Row {
        fault: "/run is read-only",
        before: "mount --bind @run @run; mount -o remount,bind,ro @run",
        status: 77,
        stderr: "pcictl: the lock directory @run/locks cannot be made: Read-only file system\nhint: in a container, run it on the host\n",
        sign: "EROFS",
        ..NONE
    },
    Row {
        fault: "/var/lib is full",
        before: "mount -t tmpfs -o size=4k,mode=755 none @state; head -c 4096 /dev/zero > @state/filled",
        stderr: "\
pcictl: @state/operations: No space left on device; a power loss now would leave no trace of this operation
pcictl: this operation cannot be recorded in @state/history: No space left on device
pcictl: @state/ledger: cannot write: No space left on device, so a rescan will not know what 0000:03:00.0 was
",
        sign: "ENOSPC",
        after: After::Removed,
        ..NONE
    },
    Row {
        fault: "/var/lib is read-only",
        before: "mount --bind @state @state; mount -o remount,bind,ro @state",
        stderr: "\
pcictl: @state/operations: Read-only file system; a power loss now would leave no trace of this operation
pcictl: this operation cannot be recorded in @state/history: Read-only file system
pcictl: @state/ledger: cannot write: Read-only file system, so a rescan will not know what 0000:03:00.0 was
",
        sign: "EROFS",
        after: After::Removed,
        ..NONE
    },
    Row {
        fault: "what is written does not get to the disk",
        strace: "-e inject=fsync:error=EIO",
        status: 1,
        stderr: "pcictl: cannot write the journal in @run/journal: I/O error; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the first line of the journal does not get to the disk",
        strace: "-e inject=fdatasync:error=EIO:when=1",
        status: 1,
        stderr: "\
pcictl: unbind 0000:03:00.0 from slowpci: the kernel was not asked: I/O error; nothing was changed
hint: the journal could not be written: see df and dmesg about the file system of the run directory
",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the journal breaks in the middle",
        strace: "-e inject=fdatasync:error=EIO:when=3+",
        status: 1,
        stderr: "\
pcictl: the journal cannot be brought to its end: I/O error
pcictl: remove 0000:03:00.0: the kernel was not asked: I/O error; the one step was undone
hint: the journal could not be written: see df and dmesg about the file system of the run directory
",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the journal cannot be renamed",
        strace: "-e inject=renameat2:error=ENOSPC",
        status: 1,
        stderr: "pcictl: cannot write the journal in @run/journal: No space left on device; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "locks are not supported there",
        strace: "-e inject=flock:error=ENOLCK",
        status: 1,
        stderr: "pcictl: cannot lock 0000:03:00.0: its lock in @run/locks cannot be used: No record locks available; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row {
        fault: "the run directory is a symbolic link",
        before: "rmdir @run; mkdir -m 755 @scratch/elsewhere; ln -s elsewhere @run",
        status: 1,
        stderr: "pcictl: @run: not to be trusted for locking: it is no directory; nothing was changed\n",
        sign: "S_IFLNK",
        afterwards: "rm @run; mkdir @run",
        ..NONE
    },
    Row {
        fault: "the run directory is a file",
        before: "rmdir @run; echo > @run",
        status: 1,
        stderr: "pcictl: @run: not to be trusted for locking: it is no directory; nothing was changed\n",
        sign: "ENOTDIR",
        afterwards: "rm @run; mkdir @run",
        ..NONE
    },
    Row {
        fault: "the run directory is somebody else's",
        before: "chown 65534 @run",
        status: 1,
        stderr: "pcictl: @run: not to be trusted for locking: it belongs to user 65534; nothing was changed\n",
        sign: "65534",
        ..NONE
    },
    Row {
        fault: "the state directory is somebody else's",
        before: "chown 65534 @state",
        stderr: "\
pcictl: @state/operations: @state is not trusted: it belongs to user 65534; a power loss now would leave no trace of this operation
pcictl: this operation cannot be recorded in @state/history: @state is not trusted: it belongs to user 65534
pcictl: @state/ledger: cannot write: @state is not trusted: it belongs to user 65534, so a rescan will not know what 0000:03:00.0 was
",
        after: After::Removed,
        ..NONE
    },
    Row {
        fault: "the state directory is a symbolic link",
        before: "rmdir @state; mkdir -m 755 @scratch/elsewhere; ln -s elsewhere @state",
        stderr: "\
pcictl: @state/operations: @state is not trusted: it is not a directory; a power loss now would leave no trace of this operation
pcictl: this operation cannot be recorded in @state/history: @state is not trusted: it is not a directory
pcictl: @state/ledger: cannot write: @state is not trusted: it is not a directory, so a rescan will not know what 0000:03:00.0 was
",
        after: After::Removed,
        ..NONE
    },
];

/// Descriptors, processes, memory, file sizes, processor time.
pub const LIMITS: &[Row] = &[
    Row {
        fault: "too few descriptors",
        around: "ulimit -n 12; exec \"$@\"",
        status: 1,
        stderr: "pcictl: cannot lock 0000:03:00.0: its lock in @run/locks cannot be used: Too many open files; nothing was changed\n",
        sign: "EMFILE",
        ..NONE
    },
    Row {
        fault: "the machine has no descriptor left",
        strace: "-P @run/locks -e inject=openat:error=ENFILE",
        status: 1,
        stderr: "pcictl: cannot lock 0000:03:00.0: its lock in @run/locks cannot be used: File table overflow; nothing was changed\n",
        sign: "(INJECTED)",
        ..NONE
    },
    Row { command: "show 0000:06:00.0", ..UNSEEING },
    Row { command: "remove --dry-run 0000:06:00.0", status: 4, ..UNSEEING },
    Row {
        fault: "no process can be started",
        strace: "-e inject=clone,clone3,fork,vfork:error=EAGAIN",
        command: "lock 0000:03:00.0 -- true",
        status: 126,
        stderr: "\
pcictl: true: cannot be run: Try again; nothing was done
hint: no process could be started: see ulimit -u, pids.max of the control group
",
        sign: "(INJECTED)",
        ..LOOK
    },
    Row {
        fault: "no file may be written",
        around: "ulimit -f 0; exec \"$@\"",
        status: 1,
        stderr: "pcictl: cannot lock 0000:03:00.0: its lock in @run/locks cannot be used: File too large; nothing was changed\n",
        sign: "EFBIG",
        ..NONE
    },
    Row {
        fault: "no file may be written, and standard output is none",
        around: "ulimit -f 0; exec \"$@\"",
        sign: "exit_group",
        ..LOOK
    },
    Row {
        fault: "no processor time is left to the command",
        around: "ulimit -S -t 1; exec \"$@\" 'while :; do :; done'",
        command: "lock 0000:03:00.0 -- sh -c",
        status: 152,
        sign: "SIGXCPU",
        ..LOOK
    },
];

/// Descriptors, variables, directories and clocks that are not as they should be.
pub const SURROUNDINGS: &[Row] = &[
    Row {
        fault: "no standard input",
        around: "exec \"$@\" <&-",
        after: After::RemovedAndTold,
        sign: "/dev/null",
        ..NONE
    },
    // The standard library opens /dev/null in its place, before anything else is opened.
    Row { fault: "no standard output", around: "exec \"$@\" >&-", sign: "/dev/null", ..LOOK },
    Row {
        fault: "no standard error",
        around: "exec \"$@\" 2>&-",
        command: "show 0000:99:00.0",
        status: 3,
        sign: "/dev/null",
        ..LOOK
    },
    Row {
        fault: "no standard stream",
        around: "exec \"$@\" <&- >&- 2>&-",
        command: "lock 0000:03:00.0 -- true",
        sign: "/dev/null",
        ..LOOK
    },
    Row {
        fault: "standard output is full",
        around: "exec \"$@\" > /dev/full",
        status: 1,
        stderr: "pcictl: cannot write to standard output: No space left on device\n",
        sign: "ENOSPC",
        ..LOOK
    },
    Row {
        fault: "standard error is full",
        around: "exec \"$@\" 2> /dev/full",
        command: "show 0000:99:00.0",
        status: 3,
        sign: "ENOSPC",
        ..LOOK
    },
    Row {
        fault: "nobody reads standard output",
        around: "{ \"$@\"; echo $? >&2; } | true",
        stderr: "0\n",
        sign: "EPIPE",
        ..LOOK
    },
    Row { fault: "no environment", around: "exec env -i \"$@\"", ..LOOK },
    Row {
        fault: "a locale that does not exist",
        around: "LC_ALL=xx_XX.KOI-99 LANG=\"$(printf '\\377')\" exec \"$@\"",
        ..LOOK
    },
    Row {
        fault: "a time zone that does not exist",
        around: "TZ=Nowhere/Else exec \"$@\"",
        command: "history",
        stderr: "pcictl: no operation is recorded that this asks for\n",
        ..LOOK
    },
    Row {
        fault: "everybody may do everything",
        around: "umask 000; exec \"$@\"",
        after: After::RemovedAndTold,
        afterwards: "test -z \"$(find @run @state -not -type l -perm /022 | tee /dev/stderr)\"",
        ..NONE
    },
    Row {
        fault: "nobody else may do anything",
        around: "umask 077; exec \"$@\"",
        after: After::RemovedAndTold,
        afterwards: "test -z \"$(find @run @state -not -type l -perm /022 | tee /dev/stderr)\"",
        ..NONE
    },
    NOWHERE,
    Row {
        command: "dump copy",
        status: 1,
        stderr: "pcictl: copy: cannot be made in .: No such file or directory\n",
        sign: "ENOENT",
        ..NOWHERE
    },
    UNMOUNTED,
    Row { command: "lock 0000:03:00.0 -- true", ..UNMOUNTED },
    Row {
        tree: THIS_MACHINE,
        command: "doctor",
        stderr: "\
pcictl: cannot tell whether the PCI core is stuck: /proc is not mounted
hint: mount -t proc proc /proc
",
        sign: "statfs",
        ..UNMOUNTED
    },
    Row {
        fault: "processes of others are hidden",
        before: "mount -t proc -o hidepid=2 proc /proc; chmod 755 @scratch; cp @program @scratch/pcictl",
        around: "shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups \
            sh -c 'test ! -e /proc/1; echo hidden $?; exec \"$@\"' sh @scratch/pcictl \"$@\"",
        tree: THIS_MACHINE,
        command: "doctor",
        status: 77,
        stdout: "hidden 0\n",
        stderr: "\
pcictl: cannot tell whether the PCI core is stuck: the kernel stacks of tasks may not be read
hint: run it as root
",
        sign: "EACCES",
        ..LOOK
    },
    Row {
        fault: "a clock that was set back since the removal",
        around: "\"$@\"; sed -i 's/\"removed_at\": *[0-9]*/\"removed_at\":4102444800/' @state/ledger/*.json",
        sign: "4102444800",
        after: After::RemovedAndTold,
        ..NONE
    },
    Row {
        fault: "killed between two steps",
        strace: "-e inject=fdatasync:signal=KILL:when=3",
        status: 137,
        sign: "killed by SIGKILL",
        after: After::HalfDone,
        ..NONE
    },
];
