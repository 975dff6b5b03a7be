//! What to do, as data: steps, their order, and the claims they need. Nothing here touches a device.
//!
//! - [`action`]: the writes to the kernel, each with its file.
//! - [`undo`]: what takes each of them back.
//! - [`claims_for`]: what must be held for each write; the one table.
//! - [`step_state`]: whether the tree shows a step done, and what the kernel's answer means.
//! - [`stop`]: the steps that stop drivers, bottom up.
//! - [`drivers`]: unbind, bind, override.
//! - [`sriov`]: the number of VFs, and their drivers.
//! - [`awake`]: keep physical functions awake while their VFs change.
//! - [`reset_in_place`]: reset functions that stay where they are.
//! - [`power`]: power settings.
//! - [`remove`]: stop from the bottom up, then remove.
//! - [`slot`]: switch a slot's power, have its indicator blink.
//! - [`rescan`]: scan the smallest bus that brings a device back.
//! - [`reset`]: reset or power-cycle what is removed.
//! - [`restore`]: put back VFs, overrides and power settings.

pub mod action;
pub mod claims_for;
pub mod drivers;
pub mod remove;
pub mod rescan;
pub(crate) mod power;
pub(crate) mod awake;
pub(crate) mod reset;
pub(crate) mod reset_in_place;
pub(crate) mod restore;
pub(crate) mod sriov;
pub(crate) mod slot;
pub mod step_state;
pub(crate) mod stop;
pub(crate) mod undo;
