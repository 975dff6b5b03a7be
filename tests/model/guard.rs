//! Raw writers under the guard. Each is an operator of one write with the claims of that write's row; the guard takes the
//! locks, reads again, lets him go on, and holds them until the kernel is done. A kill of the writer or of the guard alone
//! changes nothing of that, as the keeper has the locks; if the keeper ends with the guard, they end while he is inside.

use crate::check::{finds, holds};
use crate::jobs::{Job, Mutant};
use crate::on_switch;
use crate::system::{NO_DEADLOCK, NO_HAZARD};

/// What is written raw, with a command of pcictl among it.
fn raw_jobs() -> Vec<Job> {
    let raw = [1, 2, 4, 0].map(Job::RawRemove);
    raw.into_iter().chain([Job::Rescan(2), Job::RescanAll, Job::Replug(3)]).collect()
}

#[test]
fn raw_writers_are_safe_under_the_guard() {
    holds("guard", on_switch(raw_jobs(), Mutant::None));
}

/// Without a guard, and where its keeper ends with it.
#[test]
fn raw_writers_without_a_guard_or_keeper_are_not() {
    let system = |mutant| on_switch(raw_jobs(), mutant);
    finds("no guard", system, Mutant::NoLocks, NO_DEADLOCK);
    finds("the keeper ends with the guard", system, Mutant::WriterDoesNotInherit, NO_HAZARD);
}
