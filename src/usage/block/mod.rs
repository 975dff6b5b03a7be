//! Disks: what is built on them, mounted from them, swapped to them.
//!
//! - [`nodes`]: names that udev gives to disks.
//! - [`layers`]: what stands right on a disk.
//! - [`multipath`]: which of its paths dm-multipath uses.
//! - [`redundancy`]: what has several paths or copies, and what is left of it.
//! - [`stack`]: partitions, dm, md, bcache and loop, all the way up.
//! - [`holders`]: members, caches, journals and exports, which nothing stands on.
//! - [`fabric`]: targets on ports of the functions.
//! - [`file_systems`]: which lie on disks, and which answer without asking anybody.
//! - [`mounts`]: mounts and swap.
//! - [`zfs`]: members of imported pools.
//! - [`claims`]: what the kernel says when it is asked for a disk alone.

pub(crate) mod claims;
pub(crate) mod fabric;
pub(crate) mod file_systems;
pub(crate) mod holders;
pub(crate) mod layers;
pub(crate) mod mounts;
pub(crate) mod multipath;
pub(crate) mod nodes;
pub(crate) mod redundancy;
pub(crate) mod stack;
pub(crate) mod zfs;
