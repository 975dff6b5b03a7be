//! The ledger from the commands' side: what is about to go is written down, what came back is crossed off.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::execute::probe::read_overrides;
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::remove::Removal;
use crate::resolve::scan_target::{LastSeen, ScanTarget};
use crate::state::ledger::Ledger;
use crate::topology::model::Topology;
use crate::verify::capture::Observer;
use crate::verify::overrides::Overrides;
use crate::verify::record::RemovedDevice;
use crate::verify::verdict::CloseReason;

/// Seconds since 1970; a clock before that counts as then.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is going to be removed, taken down while it is still whole; to be written just before the removal.
///
/// VFs are part of their physical function: no rescan brings them back.
pub(crate) fn capture(context: &Context, topology: &Topology, removal: &Removal) -> Vec<RemovedDevice> {
    let overrides = overrides(context, &removal.gone);
    let mut observer = Observer::new(&context.machine.sysfs);
    let tops: Vec<Place> =
        removal.tops.iter().filter_map(|top| topology.find(*top)).map(|id| topology.place(id)).collect();
    let removed_at = now();
    let found = removal.gone.iter().filter_map(|address| topology.find(*address));
    found
        .filter(|id| topology.function(*id).virtual_of.is_none())
        .map(|id| {
            let record = observer.record(topology, id, &overrides);
            let top = tops.iter().find(|top| record.place.is_at_or_below(top)).unwrap_or(&record.place).clone();
            RemovedDevice::new(record, top, removed_at)
        })
        .collect()
}

fn overrides(context: &Context, addresses: &[PciAddress]) -> Overrides {
    read_overrides(&context.machine.sysfs, addresses).unwrap_or_else(|| {
        context.output.say("the driver overrides cannot be read without hanging; the ledger will not have them");
        Overrides::new()
    })
}

/// Writes down what goes. A full disk keeps nobody from removing a device, but is told.
pub(crate) fn save(context: &Context, entries: &[RemovedDevice]) {
    let result = ledger(context).save(entries, now());
    report_failure(context, result, "so a rescan will have nothing to compare with");
}

/// Takes back what was written down, for what is there after all.
pub(crate) fn discard(context: &Context, entries: &[RemovedDevice]) {
    let result = ledger(context).discard(entries);
    report_failure(context, result, "and still says that the devices are gone");
}

/// Crosses off what has ended.
pub(crate) fn close(context: &Context, ended: &[(Place, CloseReason)]) {
    for how in [CloseReason::Back, CloseReason::Accepted] {
        let places: Vec<Place> =
            ended.iter().filter(|(_, ended)| *ended == how).map(|(place, _)| place.clone()).collect();
        if !places.is_empty() {
            report_failure(
                context,
                ledger(context).close(&places, how, now()),
                "and still says that the devices are gone",
            );
        }
    }
}

/// All that the ledger knows; what it cannot make sense of is told, once.
pub(crate) fn entries(context: &Context) -> Vec<RemovedDevice> {
    let path = context.machine.state.join("ledger");
    match ledger(context).list() {
        Ok(listing) => {
            context.tell_notes(&listing.notes);
            listing.entries
        }
        Err(error) => {
            let why = crate::error::plain(&error);
            context.output.say(&format!("{}: {why}; going on without the ledger", path.display()));
            Vec::new()
        }
    }
}

/// Where all that the ledger knows was last seen.
pub(crate) fn last_seen(entries: &[RemovedDevice]) -> Vec<LastSeen> {
    let seen = |entry: &RemovedDevice| {
        let was = &entry.record;
        let addresses = std::iter::once(was.address).chain(was.vfs.iter().map(|vf| vf.address)).collect();
        LastSeen { addresses, place: was.place.clone(), slot: was.slot.clone() }
    };
    entries.iter().map(seen).collect()
}

/// What the ledger knows of the part of the machine that these targets lead to.
pub(crate) fn entries_under(context: &Context, targets: &[ScanTarget]) -> Vec<RemovedDevice> {
    let is_there = |entry: &RemovedDevice| {
        targets
            .iter()
            .any(|target| entry.record.place != target.place && entry.record.place.is_at_or_below(&target.place))
    };
    let mut entries = entries(context);
    entries.retain(is_there);
    entries
}

fn ledger(context: &Context) -> Ledger {
    Ledger::below(&context.machine.state)
}

fn report_failure(context: &Context, result: std::io::Result<()>, so: &str) {
    if let Err(error) = result {
        let path = context.machine.state.join("ledger");
        context.output.say(&format!("{}: cannot be written: {}, {so}", path.display(), crate::error::plain(&error)));
    }
}
