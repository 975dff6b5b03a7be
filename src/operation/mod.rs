//! Operations: the steps that commands share, from the locks to the report. Sees no clap.
//!
//! - [`options`]: what may be asked of an operation, as plain values.
//! - [`context`]: one machine or dumped tree, and the terminal.
//! - [`absent`]: what is said of an address that is not there.
//! - [`failure`]: why an operation stopped, in one sentence.
//! - [`announced`]: says of every step that it begins, goes on and ends.
//! - [`audit`]: the record of an operation, at its start and at its end.
//! - [`acquire`]: locks, and a second look at what is locked.
//! - [`run`]: an operation on its way through the kernel.
//! - [`user_check`]: looks for users, judges them, says what is overridden.
//! - [`progress`]: what is said while something is waited for.
//! - [`targets`]: what the selectors of a changing command name.
//! - [`consumers`]: whose driver would end along with another one.
//! - [`removal_record`]: writes down what goes, crosses off what came back.
//! - [`vf_settings`]: what physical functions keep for their VFs.
//! - [`obstacles`]: what keeps a driver from a function.
//! - [`change`]: a change after which the functions are still there.
//! - [`drivers`]: what has which driver now.
//! - [`power`]: power settings, and what came of changing them.
//! - [`reset`]: which functions a reset hits, how, and what came of it.
//! - [`remove`]: the two phases of a removal.
//! - [`scan`]: which buses, under which locks, and the writes.
//! - [`scannable`]: whether they can bear it.
//! - [`slot`]: a slot that is switched off or on.
//! - [`identify`]: has a light show where a slot is.
//! - [`vf_drivers`]: gives VFs that were created to their drivers.
//! - [`bring_back`]: from the last look before a scan to the report.
//! - [`replug`]: remove, reset or power-cycle, rescan, under one set of locks.
//! - [`sriov`]: the number of VFs, and what is known of them.
//! - [`watch`]: a look that is made again whenever something has happened.
//! - [`interrupted`]: operations that are not over.
//! - [`recover`]: brings one of them to its end or back to its start.

pub(crate) mod absent;
pub(crate) mod acquire;
pub(crate) mod announced;
pub(crate) mod audit;
pub(crate) mod bring_back;
pub(crate) mod change;
pub(crate) mod consumers;
pub(crate) mod drivers;
pub(crate) mod removal_record;
pub(crate) mod run;
pub(crate) mod user_check;
pub mod context;
pub(crate) mod failure;
pub(crate) mod interrupted;
pub(crate) mod recover;
pub(crate) mod obstacles;
pub(crate) mod options;
pub(crate) mod remove;
pub(crate) mod replug;
pub(crate) mod power;
pub(crate) mod progress;
pub(crate) mod reset;
pub(crate) mod scan;
pub(crate) mod scannable;
pub(crate) mod sriov;
pub(crate) mod slot;
pub(crate) mod identify;
pub(crate) mod targets;
pub(crate) mod vf_drivers;
pub(crate) mod vf_settings;
pub(crate) mod watch;
