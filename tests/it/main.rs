//! The integration tests of pcictl, in one program: it links once, and what tests only read is made once.
//!
//! `cargo test --test it golden` runs those with `golden` in their name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod back;
mod bad_input;
mod completion;
mod doctor;
mod dump;
mod environment;
mod examples;
mod faults;
mod golden;
mod guard;
mod hostile_dump;
mod install;
mod kernel_answers;
mod locks;
mod manpages;
mod network;
mod output;
mod parts;
mod power;
mod redundancy;
mod refusals;
mod resets;
mod second_look;
mod settings;
mod supervise;
mod support;
mod syscalls;
mod trees;
mod users;
mod wait;
mod watch;
