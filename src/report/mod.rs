//! What commands report: as data for `--json`, and as text for people.
//!
//! - [`step`]: steps of a plan.
//! - [`change`]: plans, and what became of them.
//! - [`drivers`]: what has which driver now.
//! - [`sriov`]: a physical function and its VFs.
//! - [`power`]: how functions may sleep and wake.
//! - [`reset`]: how functions can be reset, and what came of it.
//! - [`columns`]: the columns of a listing.
//! - [`details`]: what few columns show.
//! - [`rows`]: functions, trees and what `show` knows.
//! - [`inspector`]: fills rows.
//! - [`slot`]: slots, and what was done to one.
//! - [`status`]: the doctor's findings, and operations that are not over.
//! - [`monitor`]: how the doctor answers those who ask for its findings.
//! - [`wait`]: what was waited for and is so.
//! - [`guard`]: what a guard does.
//! - [`history`]: what was done to which device.
//! - [`text`]: all of it as text.

pub(crate) mod columns;
pub(crate) mod details;
pub(crate) mod drivers;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod inspector;
pub(crate) mod monitor;
pub(crate) mod power;
pub(crate) mod reset;
pub(crate) mod rows;
pub(crate) mod sriov;
pub mod text;
pub(crate) mod step;
pub mod change;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod wait;
