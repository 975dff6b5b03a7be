//! Interfaces: what they carry and what is built on them.

pub mod interfaces;
pub mod routes;
