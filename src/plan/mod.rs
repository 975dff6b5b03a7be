//! What to do, as data: steps, their order, and the claims they need. Nothing here touches a device.

pub mod action;
pub(crate) mod claims_for;
pub mod remove;
pub mod rescan;
pub(crate) mod reset;
pub(crate) mod restore;
pub mod step_state;
