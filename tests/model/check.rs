//! Has the checker look at every state of a system, or look for one in which something broken shows.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::board::{Board, Config};
use crate::jobs::Mutant;
use crate::system::{NO_HAZARD, State, System};

/// Everything is there and at work except these slots.
pub fn without(board: &Board, absent: u8) -> Config {
    let present = board.all() & !absent;
    Config { present, bound: present, renumbered: false }
}

/// Every state there is, and in none of them anything wrong.
pub fn holds(name: &str, system: System) {
    let begun = Instant::now();
    let checker = system.checker().threads(2).spawn_bfs().join();
    let (states, deep) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, {deep} steps deep, in {:.1} s", begun.elapsed().as_secs_f64());
    checker.assert_properties();
}

/// With this broken, the checker finds what must then be found; gives the state it ends in. None of it is found while
/// nothing is broken. One thread looks, so that it is the same state each time: two find what they happen to come to first.
pub fn finds(name: &str, system: impl Fn(Mutant) -> System, mutant: Mutant, property: &'static str) -> State {
    let finish = HasDiscoveries::AllOf([property].into());
    let checker = system(mutant).checker().threads(1).finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("{name}: not found: {property}"));
    let (state, steps) = (*path.last_state(), path.into_actions().len());
    println!("{name}: found after {} states, {steps} steps: {property}", checker.unique_state_count());
    let whole = system(Mutant::None).checker().threads(2).spawn_bfs().join();
    assert!(whole.discovery(property).is_none(), "{name}: {property}");
    state
}

/// This broken leads to this hazard, and to no hazard if it is not.
pub fn meets(system: impl Fn(Mutant) -> System, mutant: Mutant, hazard: &str) {
    let state = finds(hazard, &system, mutant, NO_HAZARD);
    assert_eq!(system(mutant).hazard(&state), Some(hazard));
}
