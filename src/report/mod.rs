//! What commands report: as data for `--json`, and as text for people.

pub(crate) mod inspector;
pub(crate) mod rows;
pub mod text;
pub mod change;
pub(crate) mod status;
