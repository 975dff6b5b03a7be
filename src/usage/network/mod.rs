//! Interfaces: what they carry and what is built on them.
//!
//! - [`carried`]: what interfaces carry, as data.
//! - [`routes`]: addresses and routes by the files of /proc/net.
//! - [`rtnetlink`]: the same and more, asked of the kernel.
//! - [`packets`]: packet sockets.
//! - [`bonds`]: which links of a bond remain.
//! - [`interfaces`]: interfaces of the functions, and what stands on them.
//! - [`rdma`]: RDMA devices, and what of the kernel uses them.
//! - [`own`]: all of it in pcictl's own namespace.

pub(crate) mod carried;
pub(crate) mod routes;
pub(crate) mod rtnetlink;
pub(crate) mod packets;
pub(crate) mod bonds;
pub(crate) mod interfaces;
pub(crate) mod rdma;
pub(crate) mod own;
