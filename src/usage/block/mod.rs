//! Disks: what is built on them, mounted from them, swapped to them.

pub mod mounts;
pub mod stack;
pub mod zfs;
