//! Every interleaving of three operators on small machines, with kills anywhere: the product's own planning and ordering
//! against a model of the kernel: `cargo test -p model --profile model -- --nocapture`, which takes a minute or two (a
//! build without optimization takes twenty times as long). A check that cannot fail is none, so the same model with one thing
//! broken must fail.
//!
//! - `board`, `boards`: machines; `kernel`, `hazards`: what writes do there, and which must not meet.
//! - `jobs`, `subject`, `claims`, `plans`: what operators want, and what the product makes of it.
//! - `work`, `system`, `check`: operators, locks and kernel as one system, and the checker that goes through it.
//! - `guard`: tests of raw writers under the guard.
//! - `lifecycle`: tests of the writes beside removal, rescan and virtual functions, which are here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod board;
mod boards;
mod check;
mod claims;
mod guard;
mod hazards;
mod jobs;
mod kernel;
mod lifecycle;
mod plans;
mod subject;
mod system;
mod work;

use boards::{shared_virtual_bus, sriov, switch};
use check::{finds, holds, meets, without};
use hazards::{D1, D4, D5, D8, S};
use jobs::{Job, Mutant};
use kernel::{Kind, Write};
use system::{EXCLUSION, NO_DEADLOCK, NO_HAZARD, Operator, Phase, System};

fn switch_jobs() -> Vec<Job> {
    vec![
        Job::Remove(&[1]),
        Job::Rescan(2),
        Job::Unbind(5),
        Job::Remove(&[0]),
        Job::RawRemove(2),
        Job::Remove(&[3, 5]),
        Job::Remove(&[5, 3]),
        Job::Rescan(0),
        Job::BringBack(3),
        Job::RescanAll,
        Job::Replug(1),
        Job::Replug(2),
        Job::Replug(3),
    ]
}

fn sriov_jobs() -> Vec<Job> {
    vec![
        Job::Remove(&[3]),
        Job::SetVfs(3, 1),
        Job::Unbind(5),
        Job::Remove(&[0]),
        Job::Remove(&[2]),
        Job::Rescan(2),
        Job::RescanAll,
        Job::Replug(3),
        Job::Replug(1),
        Job::SetVfs(3, 0),
        Job::Unbind(3),
        Job::Unbind(4),
        Job::SlotOff(2),
        Job::RemoveAndRollBack(3),
    ]
}

/// Both physical functions in one operation, each by itself, and their virtual functions on and off.
fn shared_jobs() -> Vec<Job> {
    vec![
        Job::Remove(&[1, 2]),
        Job::SetVfs(1, 1),
        Job::SetVfs(2, 1),
        Job::SetVfs(1, 0),
        Job::SetVfs(2, 0),
        Job::Remove(&[1]),
        Job::Remove(&[0]),
        Job::Rescan(0),
        Job::Replug(2),
    ]
}

fn flapping_jobs() -> Vec<Job> {
    vec![Job::Remove(&[2]), Job::Remove(&[5]), Job::Rescan(1), Job::Remove(&[1]), Job::Replug(3), Job::BringBack(3)]
}

fn on_switch(jobs: Vec<Job>, mutant: Mutant) -> System {
    let board = switch();
    let starts = vec![without(&board, 0)];
    System::new(board, jobs, starts, false, mutant)
}

/// Without virtual functions at first, and with them.
fn on_sriov(jobs: Vec<Job>, mutant: Mutant) -> System {
    let board = sriov();
    let starts = vec![without(&board, board.virtual_functions()), without(&board, 0)];
    System::new(board, jobs, starts, false, mutant)
}

/// Without virtual functions at first, with those of one physical function, and with those of both.
fn on_shared_bus(jobs: Vec<Job>, mutant: Mutant) -> System {
    let starts = [0b11000, 0b10000, 0];
    let starts = starts.map(|absent| without(&shared_virtual_bus(), absent)).to_vec();
    System::new(shared_virtual_bus(), jobs, starts, false, mutant).side_by_side()
}

/// Links that go down and up by themselves, which no lock keeps from happening.
fn on_flapping_links(jobs: Vec<Job>, mutant: Mutant) -> System {
    let board = switch();
    let starts = vec![without(&board, 0)];
    System::new(board, jobs, starts, true, mutant)
}

#[test]
fn a_switch_is_safe() {
    holds("switch", on_switch(switch_jobs(), Mutant::None));
}

#[test]
fn virtual_functions_are_safe() {
    holds("virtual functions", on_sriov(sriov_jobs(), Mutant::None));
}

#[test]
fn a_shared_virtual_bus_is_safe() {
    holds("shared virtual bus", on_shared_bus(shared_jobs(), Mutant::None));
}

#[test]
fn links_may_flap() {
    holds("flapping links", on_flapping_links(flapping_jobs(), Mutant::None));
}

/// The kernel's own deadlock: a removal waits for a rescan to leave a file below, which waits for the mutex.
#[test]
fn without_locks_the_kernel_deadlocks() {
    let system = |mutant| on_switch(vec![Job::Remove(&[1]), Job::Rescan(2)], mutant);
    let state = finds("no locks", system, Mutant::NoLocks, NO_DEADLOCK);
    let writes = system(Mutant::NoLocks).writes(&state);
    let drains = |write: &Write| matches!(write.kind, Kind::Remove(_)) && write.stage == 3;
    let waits = |write: &Write| matches!(write.kind, Kind::Rescan(_)) && write.stage == 1;
    assert!(writes.iter().flatten().any(drains) && writes.iter().flatten().any(waits), "{writes:?}");
    assert_eq!(system(Mutant::NoLocks).hazard(&state), Some(D1));
}

/// The device's lock and the mutex, taken in both orders.
#[test]
fn without_locks_a_change_of_virtual_functions_deadlocks() {
    let system = |mutant| on_sriov(vec![Job::RawRemove(2), Job::SetVfs(3, 1)], mutant);
    let state = finds("no locks, VFs", system, Mutant::NoLocks, NO_DEADLOCK);
    let writes = system(Mutant::NoLocks).writes(&state);
    let stops = |write: &Write| matches!(write.kind, Kind::Remove(_)) && write.stage == 2;
    let changes = |write: &Write| matches!(write.kind, Kind::SetVfs(..)) && write.stage == 1;
    assert!(writes.iter().flatten().any(stops) && writes.iter().flatten().any(changes), "{writes:?}");
    assert_eq!(system(Mutant::NoLocks).hazard(&state), Some(D4));
}

/// Nothing but DL is held while a physical function loses its driver.
#[test]
fn without_locks_a_driver_goes_from_under_virtual_functions() {
    for other in [Job::Rescan(2), Job::RescanAll] {
        meets(|mutant| on_sriov(vec![Job::Unbind(3), other.clone()], mutant), Mutant::NoLocks, D5);
    }
}

#[test]
fn unsorted_claims_deadlock() {
    let system = |mutant| on_switch(vec![Job::Remove(&[3, 5]), Job::Remove(&[5, 3])], mutant);
    let state = finds("unsorted", system, Mutant::Unsorted, NO_DEADLOCK);
    let waits = |operator: &&Operator| matches!(operator.phase, Phase::Locks { in_gate: true, .. });
    assert_eq!(state.operators.iter().filter(waits).count(), 2, "{state:?}");
}

#[test]
fn without_a_second_read_plans_are_stale() {
    // The bus has become empty meanwhile, so the scan reaches further than what is locked.
    let emptied = |mutant| on_switch(vec![Job::Remove(&[3]), Job::Rescan(2), Job::Unbind(5)], mutant);
    finds("no second read", emptied, Mutant::NoSecondRead, EXCLUSION);
    // Virtual functions have come meanwhile, and nobody takes them away first.
    let came = |mutant| on_sriov(vec![Job::Remove(&[3]), Job::SetVfs(3, 1)], mutant);
    let state = finds("no second read, VFs", came, Mutant::NoSecondRead, NO_HAZARD);
    assert_eq!(came(Mutant::NoSecondRead).hazard(&state), Some(S));
}

#[test]
fn names_by_address_let_two_into_one_place() {
    // A virtual function is no longer below its physical one, which takes the driver from under it.
    let beside = |mutant| on_sriov(vec![Job::Unbind(3), Job::Unbind(4)], mutant);
    finds("names by address, VFs", beside, Mutant::NamesByAddress, EXCLUSION);
    // And what comes back by itself with other numbers has another name than the one that is held.
    let renumbered = |mutant| on_flapping_links(vec![Job::Remove(&[2]), Job::Replug(3)], mutant);
    finds("names by address, flapping links", renumbered, Mutant::NamesByAddress, EXCLUSION);
}

#[test]
fn locks_that_end_with_pcictl_are_not_enough() {
    let system = |mutant| on_switch(vec![Job::Remove(&[1]), Job::Rescan(2)], mutant);
    finds("writer does not inherit", system, Mutant::WriterDoesNotInherit, NO_HAZARD);
    // The same for a script under `pcictl lock --close`.
    let script = |mutant| on_switch(vec![Job::RawRemove(1), Job::Rescan(2)], mutant);
    finds("script does not inherit", script, Mutant::WriterDoesNotInherit, NO_HAZARD);
}

/// What two changes of virtual functions do to their virtual bus, each adding to it or taking away.
#[test]
fn locks_of_the_physical_function_do_not_cover_a_virtual_bus() {
    for (what, jobs) in [
        ("add, add", vec![Job::SetVfs(1, 1), Job::SetVfs(2, 1)]),
        ("remove, add", vec![Job::SetVfs(1, 0), Job::SetVfs(2, 1)]),
        ("remove, remove", vec![Job::SetVfs(1, 0), Job::SetVfs(2, 0)]),
        ("removal of one, remove", vec![Job::Remove(&[1]), Job::SetVfs(2, 0)]),
    ] {
        finds_d8(what, &jobs, Mutant::VfsLockTheirFunction);
    }
}

/// One removal races itself.
#[test]
fn unordered_changes_of_virtual_functions_meet_on_their_bus() {
    finds_d8("unordered", &[Job::Remove(&[1, 2])], Mutant::VfsUnordered);
    finds_d8("unordered, from above", &[Job::Remove(&[0])], Mutant::VfsUnordered);
}

fn finds_d8(name: &str, jobs: &[Job], mutant: Mutant) {
    println!("{name}:");
    meets(|mutant| on_shared_bus(jobs.to_vec(), mutant), mutant, D8);
}
