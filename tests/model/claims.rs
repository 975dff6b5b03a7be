//! The claims of a job in the order of the product, or as a mutant has them.

use pcictl::lock::claims::{Claim, Claims};
use pcictl::pci::place::Place;

use crate::board::{DOMAIN, Kind, Slot};
use crate::jobs::{Job, Mutant};
use crate::subject::{Reading, Subject};

pub fn in_order(reading: &Reading, subject: &Subject, job: &Job, mutant: Mutant) -> Vec<Claim> {
    let product = || subject.claims.in_order().to_vec();
    let renamed = |name: &dyn Fn(&Place) -> Place| {
        Claims::changing(subject.claims.tops().iter().map(name).collect()).in_order().to_vec()
    };
    match mutant {
        Mutant::Unsorted => as_typed(reading, subject, job),
        Mutant::NamesByAddress => renamed(&|top| by_address(reading, top)),
        Mutant::DomainBesideItsEndpoint => renamed(&beside_its_endpoint),
        _ if is_by_hand(job, mutant) => Vec::new(),
        _ => named(job, mutant).map_or_else(product, |slots| {
            let places = slots.iter().filter_map(|slot| reading.place(*slot));
            Claims::changing(places.collect()).in_order().to_vec()
        }),
    }
}

/// Whether a job takes no lock at all.
fn is_by_hand(job: &Job, mutant: Mutant) -> bool {
    match mutant {
        Mutant::NoLocks => true,
        Mutant::SlotsUnlocked => matches!(job, Job::SlotOff(_) | Job::SlotOn(_)),
        Mutant::BindsUnlocked => matches!(job, Job::Bind(_)),
        Mutant::ResetsUnlocked => matches!(job, Job::Reset(_) | Job::ResetBelow(_)),
        Mutant::ScanOfAllUnlocked => matches!(job, Job::RescanAll),
        _ => false,
    }
}

/// The slots that a job is asked for, where a mutant takes these and nothing else that the kernel touches with them.
fn named(job: &Job, mutant: Mutant) -> Option<&[Slot]> {
    match (mutant, job) {
        (Mutant::VfsLockTheirFunction, Job::Remove(slots)) => Some(slots),
        (Mutant::VfsLockTheirFunction, Job::SetVfs(slot, _))
        | (Mutant::ResetLocksItsFunction, Job::Reset(slot))
        | (Mutant::BusAboveForgotten, Job::Rescan(slot) | Job::SlotOn(slot) | Job::Bind(slot)) => {
            Some(std::slice::from_ref(slot))
        }
        _ => None,
    }
}

/// Target after target, each with what is above it.
fn as_typed(reading: &Reading, subject: &Subject, job: &Job) -> Vec<Claim> {
    let Job::Remove(slots) = job else { return subject.claims.in_order().to_vec() };
    let mut claims: Vec<Claim> = Vec::new();
    for place in slots.iter().filter_map(|slot| reading.place(*slot)) {
        let one = Claims::changing(vec![place]);
        claims.extend(one.in_order().iter().filter(|claim| !claims.contains(claim)).cloned().collect::<Vec<_>>());
    }
    claims
}

/// The chain of addresses in the place of the chain of plugs, as the directories of sysfs nest.
fn by_address(reading: &Reading, place: &Place) -> Place {
    let (board, config) = (reading.board, reading.config);
    let is_there = |slot: &Slot| reading.place(*slot).is_some_and(|there| there == *place);
    let Some(slot) = board.ids().find(is_there) else { return place.clone() };
    let above = match (board.slots[usize::from(slot)].kind, board.above(slot)) {
        (Kind::Virtual(_), Some(physical)) => board.above(physical),
        (_, above) => above,
    };
    let path = board.path(config, above);
    let chain = path.trim_start_matches("devices/");
    Place::from_chain(&format!("{chain}/{}", board.address(config, slot))).expect("a chain")
}

/// Places in a domain without what is above it.
fn beside_its_endpoint(place: &Place) -> Place {
    let at = place.chain().find(DOMAIN).unwrap_or_default();
    Place::from_chain(&place.chain()[at..]).unwrap_or_else(Place::root)
}
