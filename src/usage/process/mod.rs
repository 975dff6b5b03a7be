//! Processes: which of them hold a device node or a register file.
//!
//! - [`descriptors`]: what one process has open or mapped.
//! - [`scan`]: one pass over all processes, with watched threads.

pub(crate) mod descriptors;
pub(crate) mod scan;
