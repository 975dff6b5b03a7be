//! Interfaces: what they carry and what is built on them.

pub(crate) mod interfaces;
pub(crate) mod routes;
