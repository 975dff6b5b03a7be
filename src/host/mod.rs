//! The machine as files: everything that `--sysroot` replaces by a dumped tree.

pub(crate) mod child;
pub mod machine;
pub(crate) mod modalias;
pub mod pci_ids;
pub(crate) mod procfs;
pub mod root;
pub mod sysfs;
pub(crate) mod text;
pub mod uevent;
