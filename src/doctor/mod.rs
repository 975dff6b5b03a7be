//! Is the kernel's PCI core stuck, and by whom: a snapshot of tasks, and what it says.
//!
//! The looking ([`tasks`]) is apart from the deciding ([`frames`], [`diagnosis`]), so that snapshots of machines that
//! were stuck are tests. What it does not promise: to see tasks of other pid namespaces, or anything without root.

pub mod diagnosis;
pub mod frames;
pub mod leftovers;
pub mod tasks;

pub use diagnosis::{Diagnosis, Finding, Stuck, Trouble};
pub use frames::{Position, Waits, Work};
pub use tasks::{Proc, Snapshot, Task};
