//! Did the device come back as it was? Records of what devices were, and comparisons with what they are.

pub mod capture;
pub mod compare;
pub mod expectation;
pub mod readiness;
pub mod record;
pub mod settle;
pub mod snapshot;
pub mod verdict;
