//! Who uses what below these functions: the one place that knows.
//!
//! - [`model`]: users and dangers, as data.
//! - [`policy`]: what was found against what was forced.
//! - [`scope`]: which functions are asked about, and which disks, interfaces and nodes are theirs.
//! - [`block`]: mounts, swap, and what is built on disks.
//! - [`network`]: addresses, routes, and what is built on interfaces.
//! - [`process`]: processes that have a node or a register file open or mapped.
//! - [`namespaces`]: the same in other namespaces.
//! - [`console`]: displays, consoles, watchdogs, crash dumps.
//! - [`vfio`]: functions given to guests, and VFs.
//! - [`virtio`]: virtio devices below functions.
//! - [`shares`]: mounts that lie on no disk: 9p, virtiofs and the like.
//! - [`kernel_clients`]: DMA channels, ciphers, clocks and modules: what the kernel itself uses.
//! - [`hives`]: GPUs that share their fate.
//! - [`unlisted`]: functions whose users nobody can list.
//! - [`nvidia`]: nodes of NVIDIA's own driver.
//! - [`protected`]: the site's own list.
//! - [`find`]: asks all of them.

pub(crate) mod block;
pub(crate) mod console;
pub mod find;
pub(crate) mod hives;
pub(crate) mod kernel_clients;
pub(crate) mod model;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod policy;
pub mod process;
pub(crate) mod protected;
pub mod scope;
pub(crate) mod nvidia;
pub(crate) mod shares;
pub(crate) mod unlisted;
pub(crate) mod vfio;
pub(crate) mod virtio;
