//! Is the kernel's PCI core stuck, and by whom?
//!
//! Reading is apart from deciding, so that snapshots of machines that were stuck are tests. Not promised: tasks of other pid
//! namespaces, or anything without root.
//!
//! - [`task`]: tasks inside the kernel's PCI code, as data.
//! - [`stack`]: what the functions on a task's stack say.
//! - [`snapshot`]: reads the tasks from /proc.
//! - [`diagnosis`]: decides who is stuck, who is only slow, and what helps.
//! - [`writes`]: which thread of pcictl's writer makes which write.
//! - [`leftovers`]: what was left behind on a machine whose kernel is well.

pub(crate) mod diagnosis;
pub(crate) mod leftovers;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod task;
pub(crate) mod writes;
