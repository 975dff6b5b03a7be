//! Operations: the steps that commands share, from the locks to the report. Sees no clap.

pub(crate) mod absent;
pub(crate) mod acquire;
pub(crate) mod bring_back;
pub(crate) mod removal_record;
pub(crate) mod run;
pub(crate) mod user_check;
pub mod context;
pub(crate) mod failure;
pub(crate) mod interrupted;
pub(crate) mod recover;
pub(crate) mod options;
pub(crate) mod remove;
pub(crate) mod replug;
pub(crate) mod scan;
