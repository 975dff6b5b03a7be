//! The other writes of an operator, beside removal and rescan: slots, drivers, resets, domains, and drivers that end with
//! others. Each hazard has a mutant that meets it, and is met by nobody else.

use crate::board::Board;
use crate::boards::{domain, hotplug, links};
use crate::check::{finds, holds, meets, without};
use crate::hazards::{BETWEEN, D2, D3, D7, D9, D10, D11, D12};
use crate::jobs::{Job, Mutant};
use crate::kernel::{Kind, Write};
use crate::system::{EXCLUSION, NO_DEADLOCK, System};

/// Everything at work; the slot empty; the slot empty and its port without a driver.
fn on_hotplug(jobs: Vec<Job>, mutant: Mutant) -> System {
    let board = hotplug();
    let (full, empty) = (without(&board, 0), without(&board, 1 << 3));
    let mut no_driver = empty;
    no_driver.bound &= !(1 << 2);
    System::new(board, jobs, vec![full, empty, no_driver], false, mutant)
}

/// Everything at work; the endpoint beside the port without a driver.
fn on_drivers(jobs: Vec<Job>, mutant: Mutant) -> System {
    unbound(hotplug(), 1 << 4, jobs, mutant)
}

/// Everything at work; the domain's driver not there, nor what is in the domain.
fn on_domain(jobs: Vec<Job>, mutant: Mutant) -> System {
    let board = domain();
    let mut no_driver = without(&board, 0b110);
    no_driver.bound &= !1;
    let starts = vec![without(&board, 0), no_driver];
    System::new(board, jobs, starts, false, mutant)
}

/// Everything at work; the consumers and what is below them without drivers.
fn on_links(jobs: Vec<Job>, mutant: Mutant) -> System {
    unbound(links(), 0b11100, jobs, mutant)
}

fn unbound(board: Board, slots: u8, jobs: Vec<Job>, mutant: Mutant) -> System {
    let full = without(&board, 0);
    let mut no_driver = full;
    no_driver.bound &= !slots;
    System::new(board, jobs, vec![full, no_driver], false, mutant)
}

#[test]
fn slots_are_safe() {
    let jobs = vec![
        Job::Remove(&[1]),
        Job::Remove(&[3]),
        Job::SlotOff(2),
        Job::SlotOn(2),
        Job::PowerCycle(3),
        Job::Bind(2),
        Job::Unbind(2),
        Job::Rescan(2),
        Job::Unbind(4),
        Job::RawRemove(1),
        Job::RemoveAndRollBack(2),
    ];
    holds("slots", on_hotplug(jobs, Mutant::None));
}

#[test]
fn drivers_and_resets_are_safe() {
    let jobs = vec![
        Job::Remove(&[4]),
        Job::Remove(&[2]),
        Job::Bind(4),
        Job::OverrideAndProbe(4),
        Job::Unbind(4),
        Job::Reset(4),
        Job::Reset(3),
        Job::ResetBelow(1),
        Job::ResetBelow(2),
        Job::Rescan(1),
        Job::SlotOff(2),
    ];
    holds("drivers and resets", on_drivers(jobs, Mutant::None));
}

#[test]
fn a_domain_of_its_own_is_safe() {
    let jobs = vec![
        Job::Unbind(0),
        Job::Bind(0),
        Job::Remove(&[0]),
        Job::Remove(&[1]),
        Job::Rescan(0),
        Job::Rescan(1),
        Job::RescanAll,
        Job::Replug(2),
        Job::Unbind(2),
        Job::Remove(&[3]),
    ];
    holds("domain", on_domain(jobs, Mutant::None));
}

#[test]
fn device_links_are_safe() {
    let jobs = vec![
        Job::Unbind(1),
        Job::Bind(1),
        Job::Remove(&[1]),
        Job::Remove(&[0]),
        Job::Unbind(2),
        Job::Bind(2),
        Job::Remove(&[2]),
        Job::Unbind(3),
        Job::Bind(4),
        Job::Replug(4),
        Job::Rescan(0),
    ];
    holds("device links", on_links(jobs, Mutant::None));
}

/// A removal waits for the port's thread, which waits for the mutex.
#[test]
fn a_slot_switched_by_hand_deadlocks() {
    let system = |mutant| on_hotplug(vec![Job::RawRemove(1), Job::SlotOff(2), Job::SlotOn(2)], mutant);
    meets(system, Mutant::SlotsUnlocked, D3);
    let state = finds("D3, deadlock", system, Mutant::SlotsUnlocked, NO_DEADLOCK);
    let writes = system(Mutant::SlotsUnlocked).writes(&state);
    let stops = |write: &Write| matches!(write.kind, Kind::Remove(_)) && write.stage == 2;
    let waits = |write: &Write| matches!(write.kind, Kind::SlotPower(..)) && write.stage == 1;
    assert!(writes.iter().flatten().any(stops) && writes.iter().flatten().any(waits), "{writes:?}");
    // What is in the slot may go once only.
    meets(|mutant| on_hotplug(vec![Job::RawRemove(3), Job::SlotOff(2)], mutant), Mutant::SlotsUnlocked, D2);
}

/// The port's thread may have something to do as soon as the port has its driver.
#[test]
fn a_port_bound_by_hand_deadlocks() {
    let system = |mutant| on_hotplug(vec![Job::RawRemove(1), Job::Bind(2)], mutant);
    meets(system, Mutant::BindsUnlocked, D3);
    finds("D3, bound port", system, Mutant::BindsUnlocked, NO_DEADLOCK);
}

#[test]
fn a_driver_bound_by_hand_meets_a_removal() {
    meets(|mutant| on_drivers(vec![Job::Remove(&[4]), Job::Bind(4)], mutant), Mutant::BindsUnlocked, D7);
    meets(|mutant| on_drivers(vec![Job::Remove(&[1]), Job::Bind(3)], mutant), Mutant::BindsUnlocked, D7);
    meets(|mutant| on_drivers(vec![Job::SlotOff(2), Job::Bind(3)], mutant), Mutant::BindsUnlocked, D7);
}

/// One hold for each: another driver may be there before the one that was named.
#[test]
fn an_override_needs_its_probe_in_one_hold() {
    let bound = |mutant| on_drivers(vec![Job::OverrideAndProbe(4), Job::Bind(4)], mutant);
    meets(bound, Mutant::HoldForEachStep, BETWEEN);
    meets(bound, Mutant::BindsUnlocked, BETWEEN);
}

#[test]
fn a_reset_of_a_bus_takes_the_bridge() {
    let beside = |mutant| on_drivers(vec![Job::Reset(4), Job::Remove(&[2])], mutant);
    meets(beside, Mutant::ResetLocksItsFunction, D9);
    let below = |mutant| on_drivers(vec![Job::Reset(4), Job::Remove(&[3])], mutant);
    meets(below, Mutant::ResetLocksItsFunction, D9);
    let slot = |mutant| on_drivers(vec![Job::Reset(4), Job::SlotOff(2)], mutant);
    meets(slot, Mutant::ResetLocksItsFunction, D9);
    let comes = |mutant| on_drivers(vec![Job::ResetBelow(1), Job::Rescan(2)], mutant);
    meets(comes, Mutant::ResetsUnlocked, D9);
    let goes = |mutant| on_drivers(vec![Job::ResetBelow(1), Job::Remove(&[3])], mutant);
    meets(goes, Mutant::ResetsUnlocked, D9);
}

#[test]
fn a_domain_goes_with_its_driver() {
    let all = |mutant| on_domain(vec![Job::Unbind(0), Job::RescanAll], mutant);
    meets(all, Mutant::ScanOfAllUnlocked, D10);
    let comes = |mutant| on_domain(vec![Job::Bind(0), Job::RescanAll], mutant);
    meets(comes, Mutant::ScanOfAllUnlocked, D10);
    let bus = |mutant| on_domain(vec![Job::Unbind(0), Job::Rescan(0)], mutant);
    meets(bus, Mutant::DomainBesideItsEndpoint, D10);
    let inside = |mutant| on_domain(vec![Job::Unbind(0), Job::Remove(&[1])], mutant);
    meets(inside, Mutant::DomainBesideItsEndpoint, D10);
}

#[test]
fn a_supplier_keeps_its_driver_while_it_has_consumers() {
    let below = |mutant| on_links(vec![Job::Unbind(1), Job::Unbind(3)], mutant);
    meets(below, Mutant::ConsumersIgnored, D11);
    let removed = |mutant| on_links(vec![Job::Remove(&[0]), Job::Remove(&[3])], mutant);
    meets(removed, Mutant::ConsumersIgnored, D11);
    finds("D11, locked", below, Mutant::ConsumersIgnored, EXCLUSION);
    for stops in [Job::Unbind(1), Job::Remove(&[0])] {
        let comes = |mutant| on_links(vec![stops.clone(), Job::Bind(4)], mutant);
        meets(comes, Mutant::IdleConsumersUnlocked, D11);
    }
}

#[test]
fn what_comes_on_an_empty_bus_takes_the_bus_above() {
    for brings in [Job::Rescan(2), Job::SlotOn(2), Job::Bind(2)] {
        let beside = |mutant| on_hotplug(vec![brings.clone(), Job::Unbind(4)], mutant);
        meets(beside, Mutant::BusAboveForgotten, D12);
    }
}
