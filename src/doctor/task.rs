//! Tasks inside the kernel's PCI code, as data.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::doctor::writes::{self, is_writer};
use crate::host::procfs::ProcessRef;

/// A task that is inside the kernel's PCI or driver code, or might be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Task {
    /// The process.
    pub(crate) pid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// Its short name.
    pub(crate) comm: String,
    /// The command line; empty for a thread of the kernel.
    pub(crate) command: String,
    /// As in /proc/PID/stat: D is uninterruptible sleep, S interruptible sleep, R running.
    pub(crate) state: char,
    /// The function it waits in; `None` if unknown.
    pub(crate) wchan: Option<String>,
    /// The kernel functions it is in, the innermost first; empty if unknown.
    pub(crate) stack: Vec<Frame>,
    /// Files of sysfs that its process has open, without `/sys/`.
    pub(crate) files: Vec<String>,
    /// Whether it runs below a pcictl process, and so under the locks.
    pub(crate) under_pcictl: bool,
    /// Whether it stood still between the two readings.
    pub(crate) still: bool,
    /// For how many seconds its process has been there, and so the longest that it can have been where it is.
    pub(crate) seconds: Option<u64>,
}

/// The tasks of a machine as they were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Those of interest, ordered by thread id.
    pub(crate) tasks: Vec<Task>,
    /// Processes that have a device of vfio open, with what they have open.
    pub(crate) vfio_users: Vec<VfioUser>,
    /// Whether stacks can be read at all; only root may.
    pub(crate) sees_stacks: bool,
}

/// A process that has a vfio group or device open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct VfioUser {
    /// The process.
    pub(crate) process: ProcessRef,
    /// The device nodes.
    pub(crate) nodes: Vec<String>,
}

impl Task {
    /// A thread of pcictl's writer is known by what it writes itself: command line and files are those of all its threads.
    pub(crate) fn keep_own_write(&mut self) {
        let writes = if is_writer(&self.command) { writes::of_command(&self.command) } else { return };
        let Some(own) = writes.iter().find(|write| write.thread == self.tid) else { return };
        self.command = own.command();
        if writes.len() > 1 {
            self.files.retain(|file| own.is_to(file));
        }
    }

    /// A thread of the kernel has no command line.
    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.command.is_empty()
    }

    /// "pid 212 (sh -c ...)", for messages.
    pub(crate) fn in_words(&self) -> String {
        if self.is_kernel_thread() {
            return format!("kernel thread {} ({})", self.tid, self.comm);
        }
        let thread = if self.tid == self.pid { String::new() } else { format!(", thread {}", self.tid) };
        format!("pid {}{thread} ({})", self.pid, self.command)
    }
}

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its name, without what the compiler added.
    pub(crate) function: String,
    /// Its module; `None` for the kernel itself.
    pub(crate) module: Option<String>,
}

impl Frame {
    /// Reads `[<0>] slow_remove+0x3b/0x50 [slowpci]`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim().strip_prefix("[<")?.split_whitespace().skip(1);
        let symbol = words.next()?;
        let name = symbol.split_once('+').map_or(symbol, |(name, _)| name);
        // `kernfs_drain.isra.0` and the like are the same function.
        let function = name.split('.').next().filter(|name| !name.is_empty())?.to_owned();
        let module = words.next().and_then(|word| Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()));
        Some(Self { function, module })
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(f, "{} [{module}]", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
