//! What to do, as data: steps, their order, and the claims they need. Nothing here touches a device.

pub mod action;
pub mod remove;
pub mod rescan;
pub mod reset;
pub mod restore;
