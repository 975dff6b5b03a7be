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
//! - [`nvidia`]: nodes of NVIDIA's own driver.
//! - [`protected`]: the site's own list.
//! - [`find`]: asks all of them.

pub(crate) mod block;
pub(crate) mod console;
pub mod find;
pub(crate) mod model;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod protected;
pub mod scope;
pub(crate) mod nvidia;
pub(crate) mod vfio;
