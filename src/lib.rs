//! pcictl removes PCI devices and brings them back without hanging the kernel.
//!
//! The rooms of the house, in their order: each may use those above it in this list, and none below.
#![allow(rustdoc::private_intra_doc_links)] // The documentation is for those who work on the code.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod error;
pub mod order;
pub mod pci;
pub mod host;
pub mod terminal;
pub mod topology;
pub mod lock;
pub mod resolve;
pub mod verify;
pub mod doctor;
pub mod usage;
pub mod plan;
pub mod state;
pub(crate) mod dump;
pub mod execute;
pub mod report;
pub mod operation;
pub mod cli;
pub mod commands;
