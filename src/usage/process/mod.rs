//! Processes: which of them hold a device node or a register file.

pub(crate) mod descriptors;
pub(crate) mod scan;
