//! Did the device come back as it was? Records of what devices were, and comparisons with what they are.
//!
//! - [`record`]: what is kept of one function.
//! - [`overrides`]: driver overrides, read by a child that can be left behind.
//! - [`capture`]: takes down what a function is now.
//! - [`compare`]: what differs between then and now.
//! - [`function_state`]: what must not differ after a reset in place.
//! - [`snapshot`]: the scanned part of the machine at one moment.
//! - [`expectation`]: what `--expect` says must come.
//! - [`verdict`]: what a rescan came to.
//! - [`readiness`]: what a function still lacks before it can be used.
//! - [`settle`]: waits until what came is ready.

pub mod capture;
pub mod compare;
pub(crate) mod expectation;
pub(crate) mod function_state;
pub mod readiness;
pub mod record;
pub(crate) mod settle;
pub(crate) mod snapshot;
pub mod verdict;
pub mod overrides;
