//! How many things are worth doing at the same time.

use std::sync::OnceLock;

/// So many, of those that there are to do, but no more than this process may use processors. That is asked once, and only where
/// it matters: with the quotas of control groups it takes twenty calls.
pub(crate) fn at_once(most: usize) -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    if most < 2 {
        return 1;
    }
    most.min(*PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from)))
}
