//! Reports as text for people, a file for each report; they write to a value, never to a stream of the process.
//!
//! - [`words`]: actions, locks and counts, which several reports name.
//! - [`fit`]: how wide a text is on a terminal, and how it is cut.
//! - [`cells`]: what a function's row shows in a column.
//! - [`list`], [`tree`], [`show`]: functions.
//! - [`users`]: users of a device.
//! - [`locks`]: who is at which lock.
//! - [`change`]: plans, and what became of them.
//! - [`drivers`]: what has which driver now.
//! - [`sriov`]: a physical function and its VFs.
//! - [`power`]: how functions may sleep and wake.
//! - [`reset`]: how functions can be reset, and what came of it.
//! - [`slot`]: slots, and what was done to one.
//! - [`operation`]: operations that this process no longer waits for.
//! - [`status`]: the doctor's findings, interrupted operations, what was recovered.
//! - [`monitor`]: the doctor's findings for monitors.
//! - [`wait`]: what is so now.
//! - [`guard`]: what a guard does.
//! - [`history`]: what was done to which device.
//! - [`dump`]: what a dump holds.

pub mod change;
pub(crate) mod drivers;
pub(crate) mod power;
pub(crate) mod reset;
pub(crate) mod cells;
pub(crate) mod dump;
pub(crate) mod fit;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod monitor;
pub(crate) mod operation;
pub(crate) mod show;
pub(crate) mod sriov;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod users;
pub(crate) mod wait;
pub(crate) mod words;
