//! pcictl removes PCI devices and brings them back without hanging the kernel.
//!
//! The modules are a ladder; each uses only those above it in this list:
//!
//! - [`order`]: sorting what is few
//! - [`address`], [`place`], [`selector`], [`error`]: names of things, and what can go wrong
//! - [`users`]: who uses a device, as data, and the dangers that this means
//! - [`sysfs`], the only place that reads /sys; [`topology`], the device tree as data
//! - [`claims`], [`plan`], [`policy`]: decisions, pure: what to hold, what to do, in which order, and whether at all
//! - [`modules`]: which kernel modules are for a function
//! - [`doctor`], the only place that reads what tasks are doing, and what that means
//! - [`lock`], the only place that locks; [`execute`], performs a plan through a trait; [`supervise`], by whom;
//!   [`journal`], what was begun and how far it came
//! - [`resolve`], [`locate`], [`names`], [`inspect`]: what a selector means, which bus to scan, what a function is
//! - [`usage`], the only place that finds out who uses a device: /proc, disks, interfaces, the site's list
//! - [`ledger`], what was removed, on disk; [`verify`], what differs from it, pure; [`settle`], waits until a device
//!   is ready; [`restore`], what puts settings back; [`revive`], resets and slot power
//! - [`report`], [`cli`], [`output`]: data for people and programs, and the command line
//! - [`commands`]: a file a command, reading like the steps it promises
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod address;
pub mod claims;
pub mod cli;
pub mod commands;
pub mod doctor;
pub mod error;
pub mod execute;
pub mod inspect;
pub mod journal;
pub mod ledger;
pub mod locate;
pub mod lock;
pub mod modules;
pub mod names;
pub mod order;
pub mod output;
pub mod place;
pub mod plan;
pub mod policy;
pub mod report;
pub mod resolve;
pub mod restore;
pub mod revive;
pub mod selector;
pub mod settle;
pub mod supervise;
pub mod sysfs;
pub mod topology;
pub mod usage;
pub mod users;
pub mod verify;
