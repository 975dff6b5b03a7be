//! Is the kernel's PCI core stuck, and by whom?
//!
//! Reading ([`snapshot`]) is apart from deciding ([`stack`], [`diagnosis`]), so that snapshots of machines that were stuck
//! are tests. Not promised: tasks of other pid namespaces, or anything without root.

pub(crate) mod diagnosis;
pub(crate) mod leftovers;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod task;
