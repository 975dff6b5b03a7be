//! The PCI device tree as data: what sits below what, what it is, which driver has it.

pub mod load;
pub mod model;
pub mod parallel;
pub mod reader;
