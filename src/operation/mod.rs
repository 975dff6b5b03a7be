//! Operations: the steps that commands share, from the locks to the report. Sees no clap.

pub(crate) mod acquire;
pub(crate) mod bring_back;
pub(crate) mod removal_record;
pub(crate) mod run;
pub(crate) mod user_check;
