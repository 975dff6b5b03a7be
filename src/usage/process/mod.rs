//! Processes: which of them hold a device node or a register file.
//!
//! - [`activity`]: which of them have not run since they were looked at.
//! - [`descriptors`]: what one process has open or mapped.
//! - [`namespaces`]: the namespaces they are in, and the mounts of each.
//! - [`suspects`]: which of them are worth a look, where the kernel tells.
//! - [`scan`]: one pass over all processes, by children that are watched.

pub(crate) mod activity;
pub(crate) mod descriptors;
pub(crate) mod namespaces;
pub(crate) mod suspects;
pub mod scan;
