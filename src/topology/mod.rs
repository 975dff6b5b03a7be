//! The PCI device tree: what sits below what, what it is, which driver has it.
//!
//! - [`fields`]: what to read of each function, so that a command reads no more than it shows.
//! - [`model`]: the tree as data.
//! - [`paths`]: where functions and buses are in sysfs.
//! - [`reader`]: reads functions, directory by directory.
//! - [`identity`]: reads what one function is, and which driver has it.
//! - [`parallel`]: reads a whole machine with several threads.
//! - [`load`]: reads a topology: the whole machine, or a part of it.
//! - [`device_links`]: functions whose drivers end with that of another one.
//! - [`reset_methods`]: how the kernel can reset a function, and what each way hits.
//! - [`slots`]: slots, and which functions are in them.
//! - [`vf_setting`]: what a physical function's driver keeps for a VF, as data.
//! - [`vf_link`]: the same, asked of the kernel at the physical function's interface.
//! - [`aer`]: errors that the kernel has counted.
//! - [`regions`]: BARs, and the windows of bridges.
//! - [`attributes`]: attributes of one function: link, NUMA node, IOMMU group, slot, the devices below.

pub(crate) mod load;
pub(crate) mod aer;
pub(crate) mod attributes;
pub mod model;
pub(crate) mod parallel;
pub(crate) mod reader;
pub(crate) mod identity;
pub mod fields;
pub(crate) mod paths;
pub(crate) mod regions;
pub(crate) mod device_links;
pub(crate) mod reset_methods;
pub(crate) mod slots;
pub(crate) mod vf_link;
pub mod vf_setting;
