//! Every interleaving of three operators on small machines, with kills anywhere: the product's own planning and ordering
//! against a model of the kernel: `cargo test -p model --profile model -- --nocapture`, which takes a minute or two (a
//! build without optimization takes twenty times as long). A check that cannot fail is none, so the same model with one thing
//! broken must fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod board;
mod jobs;
mod kernel;
mod system;
mod work;

use std::time::Instant;

use board::{Board, Config, shared_virtual_bus, sriov, switch};
use jobs::{Job, Mutant};
use kernel::{Kind, Write, hazard};
use stateright::{Checker, HasDiscoveries, Model};
use system::{EXCLUSION, NO_DEADLOCK, NO_HAZARD, Operator, Phase, State, System};

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

/// Everything is there and at work except these slots.
fn without(board: &Board, absent: u8) -> Config {
    let present = board.all() & !absent;
    Config { present, bound: present, renumbered: false }
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

/// Every state there is, and in none of them anything wrong.
fn holds(name: &str, system: System) {
    let begun = Instant::now();
    let checker = system.checker().threads(2).spawn_bfs().join();
    let (states, deep) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, {deep} steps deep, in {:.1} s", begun.elapsed().as_secs_f64());
    checker.assert_properties();
}

/// With this broken, the checker finds what must then be found; gives the state it ends in. None of it is found while
/// nothing is broken.
fn finds(name: &str, system: impl Fn(Mutant) -> System, mutant: Mutant, property: &'static str) -> State {
    let finish = HasDiscoveries::AllOf([property].into());
    let checker = system(mutant).checker().threads(2).finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("{name}: not found: {property}"));
    let (state, steps) = (*path.last_state(), path.into_actions().len());
    println!("{name}: found after {} states, {steps} steps: {property}", checker.unique_state_count());
    let whole = system(Mutant::None).checker().threads(2).spawn_bfs().join();
    assert!(whole.discovery(property).is_none(), "{name}: {property}");
    state
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
    assert_eq!(hazard(&switch(), state.config, &writes), Some("D1: a removal above a rescan"));
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
    finds("no second read, VFs", came, Mutant::NoSecondRead, NO_HAZARD);
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
    let system = |mutant| on_shared_bus(jobs.to_vec(), mutant);
    let state = finds(name, system, mutant, NO_HAZARD);
    let found = hazard(&shared_virtual_bus(), state.config, &system(mutant).writes(&state));
    assert_eq!(found, Some("D8: two changes of virtual functions on one virtual bus"), "{name}");
}
