//! Disks: what is built on them, mounted from them, swapped to them.
//!
//! - [`nodes`]: names that udev gives to disks.
//! - [`stack`]: partitions, dm, md, bcache, loop and exports, all the way up.
//! - [`mounts`]: mounts and swap.
//! - [`zfs`]: members of imported pools.

pub(crate) mod mounts;
pub(crate) mod stack;
pub(crate) mod zfs;
pub(crate) mod nodes;
