//! pcictl removes PCI devices and brings them back without hanging the kernel.
//!
//! The rooms of the house, in their order: each uses those above it in this list, and none below; `cargo test -p house`
//! compares every import with it. To find the room for a change, ask what it must know.
//!
//! | room | what it knows | what it never does |
//! |---|---|---|
//! | [`error`] | errors, their hints, exit statuses | knows what failed |
//! | [`order`] | sorting, for few things | |
//! | [`pci`] | names: addresses, places, ids, selectors | touches a machine |
//! | [`host`] | the machine as files: /sys, /proc, run and state directories, pci.ids, uevents | knows what a file means |
//! | [`terminal`] | stdout, stderr, JSON, progress, questions | decides |
//! | [`topology`] | the device tree: reading it, and one function's attributes | changes anything |
//! | [`lock`] | the lock protocol and its files | knows which operation wants what |
//! | [`resolve`] | which functions a selector means; which bus brings one back | |
//! | [`verify`] | what a device was and is, readiness, differences | stores anything |
//! | [`doctor`] | who is stuck in the kernel, what was left behind | ends anything |
//! | [`usage`] | who uses a device: disks, networks, processes, guests, the site's list | changes anything |
//! | [`plan`] | which writes in which order, as data, with the locks they need | makes one |
//! | [`state`] | journals and the ledger: what outlives a process | decides what to write |
//! | [`dump`] | what is copied of a machine for a report, and what is not | waits, wakes or follows a link |
//! | [`execute`] | performing a plan by a writer, with timeouts and interrupts | plans |
//! | [`report`] | what commands found, as data and as text | writes to a stream |
//! | [`operation`] | what commands share: locks, users, removal, scan, recovery | knows the command line |
//! | [`guard`] | who opens a file whose write can meet another, what must be held for it | writes to a device |
//! | [`cli`] | what can be typed | looks at the machine |
//! | [`commands`] | a file for each command | is used by another room |
//! | [`schema`] | the published form of all documents, for tests and `cargo xtask regenerate` | is in the program |
//! | [`fuzz`] | what takes foreign bytes, for `tests/fuzz` | is in the program |
//!
//! Last comes `main.rs`, which turns an outcome into an exit status. CONTRIBUTING.md says how to add a command, a kernel
//! write, a kind of user, a tree, a guest case.
//!
//! [`schema`]: self
//! [`fuzz`]: self
#![allow(rustdoc::private_intra_doc_links)] // The documentation is for those who work on the code.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]
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
pub mod guard;
pub mod cli;
pub mod commands;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "fuzz")]
pub mod fuzz;
