//! pcictl removes PCI devices and brings them back without hanging the kernel.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod address;
pub mod claims;
pub mod error;
pub mod execute;
pub mod lock;
pub mod names;
pub mod place;
pub mod plan;
pub mod resolve;
pub mod selector;
pub mod sysfs;
pub mod topology;
