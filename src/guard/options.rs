//! What an operator may ask of the guard, as plain values.

use std::time::Duration;

use crate::guard::checks::Conditions;

/// Options of the guard.
#[derive(Clone, Debug)]
pub(crate) struct GuardOptions {
    /// How long somebody may wait in open(2).
    pub(crate) wait: Duration,
    /// What besides the locks is asked for.
    pub(crate) conditions: Conditions,
    /// Nobody is held up; it is only told what would have become of him.
    pub(crate) report_only: bool,
}
