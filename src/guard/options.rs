//! What an operator may ask of the guard, as plain values.

use std::time::Duration;

/// Options of the guard.
#[derive(Clone, Debug)]
pub(crate) struct GuardOptions {
    /// How long somebody may wait in open(2).
    pub(crate) wait: Duration,
}
