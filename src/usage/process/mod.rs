//! Processes: which of them hold a device node or a register file.

pub mod descriptors;
pub mod scan;
