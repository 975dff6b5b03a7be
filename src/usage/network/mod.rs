//! Interfaces: what they carry and what is built on them.
//!
//! - [`routes`]: addresses and routes of one network namespace.
//! - [`interfaces`]: interfaces of the functions, and what stands on them.

pub(crate) mod interfaces;
pub(crate) mod routes;
