//! The machine as files: everything that `--sysroot` replaces by a dumped tree.

pub(crate) mod modalias;
pub mod pci_ids;
pub(crate) mod procfs;
pub mod sysfs;
pub mod uevent;

/// The boot that this machine is in; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
