//! Did the device come back as it was? Records of what devices were, and comparisons with what they are.

pub mod capture;
pub mod compare;
pub(crate) mod expectation;
pub mod readiness;
pub mod record;
pub(crate) mod settle;
pub(crate) mod snapshot;
pub mod verdict;
pub mod overrides;
