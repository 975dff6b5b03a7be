//! The PCI device tree as data: what sits below what, what it is, which driver has it.

pub(crate) mod load;
pub(crate) mod attributes;
pub mod model;
pub(crate) mod parallel;
pub(crate) mod reader;
pub mod fields;
pub(crate) mod paths;
pub(crate) mod device_links;
