//! Disks: what is built on them, mounted from them, swapped to them.

pub(crate) mod mounts;
pub(crate) mod stack;
pub(crate) mod zfs;
pub(crate) mod nodes;
