//! The ledger from the commands' side: what is about to go is written down, what came back is crossed off.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Result, plain};
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::remove::Removal;
use crate::resolve::place_names::device_at;
use crate::resolve::scan_target::{LastSeen, ScanTarget};
use crate::state::file::Invalid;
use crate::state::journal::record::{Header, OperationRecord};
use crate::state::ledger::{BadEntry, Ledger, Listing};
use crate::topology::model::Topology;
use crate::topology::paths::bus_below;
use crate::verify::capture::Observer;
use crate::verify::compare::is_same_device;
use crate::verify::overrides::{Overrides, read_overrides};
use crate::verify::record::RemovedDevice;
use crate::verify::snapshot::Snapshot;
use crate::verify::verdict::CloseReason;

/// Seconds since 1970; a clock before that counts as then.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is going to be removed, taken down while it is still whole; to be written before the first driver is stopped.
///
/// VFs are part of their physical function: no rescan brings them back.
pub(crate) fn capture(
    context: &Context,
    topology: &Topology,
    removal: &Removal,
    overrides: &Overrides,
) -> Vec<RemovedDevice> {
    let mut observer = Observer::new(&context.machine.sysfs);
    let tops: Vec<Place> =
        removal.tops.iter().filter_map(|top| topology.find(*top)).map(|id| topology.place(id)).collect();
    let removed_at = now();
    let found = removal.gone.iter().filter_map(|address| topology.find(*address));
    found
        .filter(|id| topology.function(*id).virtual_of.is_none())
        .map(|id| {
            let record = observer.record(topology, id, overrides);
            let top = tops.iter().find(|top| record.place.is_at_or_below(top)).unwrap_or(&record.place).clone();
            RemovedDevice::new(record, top, removed_at)
        })
        .collect()
}

/// The driver overrides of these functions; none where reading them could hang.
pub(crate) fn overrides(context: &Context, addresses: &[PciAddress]) -> Overrides {
    read_overrides(&context.machine.sysfs, addresses).unwrap_or_else(|| {
        context.output.say("the driver overrides cannot be read without hanging; the ledger will not have them");
        Overrides::new()
    })
}

/// Writes down what is about to be removed. A full disk keeps nobody from removing a device, but is reported.
pub(crate) fn save(context: &Context, entries: &[RemovedDevice]) {
    let ledger = ledger(context);
    match ledger.set_aside_damaged() {
        Ok(moved) => {
            for (bad, to) in moved {
                let (from, what) = (bad.path.display(), bad.what());
                context.output.say(&format!("{from}: {what}, moved to {}", to.display()));
            }
        }
        Err(error) => report_failure(context, Err(error), "so damaged entries stay where they are"),
    }
    let tops = entries.iter().filter(|entry| entry.top == entry.record.place);
    let names: Vec<String> = tops.map(|entry| entry.record.address.to_string()).collect();
    let so = format!("so a rescan will not know what {} was", names.join(", "));
    report_failure(context, ledger.save(entries), &so);
}

/// Takes back what was written down for functions that are there after all.
pub(crate) fn discard_present(context: &Context, entries: &[RemovedDevice]) {
    let is_there = |entry: &&RemovedDevice| context.machine.sysfs.has_function(entry.record.address);
    let present: Vec<RemovedDevice> = entries.iter().filter(is_there).cloned().collect();
    report_failure(context, ledger(context).discard(&present), "and still says that the devices are gone");
}

/// Takes back what an operation wrote down for functions that are there, now that it was undone. What it removed and is
/// back stays: that it is as it was, nobody has seen yet.
pub(crate) fn discard_returned(context: &Context, record: &OperationRecord) {
    let header = &record.header;
    let removes = record.steps.iter().any(|step| !step.action.removes().is_empty());
    let has_removed = |address: PciAddress| {
        let mut steps = record.steps.iter().enumerate();
        steps.any(|(index, step)| step.action.removes().contains(&address) && record.succeeded(index))
    };
    let listing = listing(context);
    let tops = listing.entries.iter().filter(|entry| entry.top == entry.record.place);
    let left: Vec<&Place> =
        tops.filter(|entry| has_removed(entry.record.address)).map(|entry| &entry.record.place).collect();
    let is_its_own = |entry: &RemovedDevice| removes && !left.contains(&&entry.top) && is_written_by(entry, header);
    let entries: Vec<RemovedDevice> = listing.entries.iter().filter(|entry| is_its_own(entry)).cloned().collect();
    discard_present(context, &entries);
}

/// What an operation wrote down of the tops that it was to remove, and is waited for yet.
pub(crate) fn waited_for(context: &Context, header: &Header) -> Vec<RemovedDevice> {
    let is_top = |entry: &RemovedDevice| entry.top == entry.record.place && is_written_by(entry, header);
    listing(context).entries.into_iter().filter(is_top).collect()
}

/// What `rescan` must be given to compare a device that is there with what it was: as a bridge it would stand for what is
/// below it, so that it is found by what it sits on.
pub(crate) fn compared_by(context: &Context, entry: &RemovedDevice) -> String {
    let (sysfs, address) = (&context.machine.sysfs, entry.record.address);
    let is_bridge = bus_below(sysfs, &address.sysfs_link()).is_ok_and(|bus| bus.is_some());
    let above = entry.record.place.parent().filter(|_| is_bridge);
    above.map_or_else(|| address.to_string(), |above| device_at(sysfs, &above))
}

/// Whether an operation wrote this, or one after it at the same places.
fn is_written_by(entry: &RemovedDevice, header: &Header) -> bool {
    entry.removed_at >= header.began && header.places.iter().any(|top| entry.record.place.is_at_or_below(top))
}

/// Which of these devices are back and which are missing: known by their place and by what they are, for another device may
/// answer at the address.
///
/// # Errors
/// The devices that are there cannot be read.
pub(crate) fn back_and_missing(
    context: &Context,
    entries: Vec<RemovedDevice>,
) -> Result<(Vec<RemovedDevice>, Vec<RemovedDevice>)> {
    if entries.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let sysfs = &context.machine.sysfs;
    let (there, observer) = (Snapshot::take(sysfs, &[ScanTarget::all()])?, Observer::new(sysfs));
    let is_back = |entry: &RemovedDevice| {
        let found = there.at(&entry.record.place);
        found.is_some_and(|(topology, id)| is_same_device(&entry.record, &observer.brief(topology, id)))
    };
    Ok(entries.into_iter().partition(is_back))
}

/// Closes the entries of devices that are back, or whose differences were accepted.
pub(crate) fn close(context: &Context, closed: &[(Place, CloseReason)]) {
    if !closed.is_empty() {
        let result = ledger(context).close(closed, now());
        report_failure(context, result, "and still says that the devices are gone");
    }
}

/// The whole ledger; what cannot be read of it is in `bad`, and an unreadable ledger is one such line.
pub(crate) fn listing(context: &Context) -> Listing {
    let ledger = ledger(context);
    ledger.list().unwrap_or_else(|error| {
        let bad = BadEntry { path: ledger.path().to_path_buf(), why: Invalid::Unreadable(plain(&error)) };
        Listing { entries: Vec::new(), bad: vec![bad] }
    })
}

/// All entries of the ledger; files that give none are reported.
pub(crate) fn entries(context: &Context) -> Vec<RemovedDevice> {
    let listing = listing(context);
    for bad in &listing.bad {
        context.tell_once(format!("{bad}; continuing without it"));
    }
    listing.entries
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
pub(crate) fn entries_under(entries: &[RemovedDevice], targets: &[ScanTarget]) -> Vec<RemovedDevice> {
    let is_there = |entry: &&RemovedDevice| {
        targets
            .iter()
            .any(|target| entry.record.place != target.place && entry.record.place.is_at_or_below(&target.place))
    };
    entries.iter().filter(is_there).cloned().collect()
}

fn ledger(context: &Context) -> Ledger {
    Ledger::at(context.state_location())
}

fn report_failure(context: &Context, result: std::io::Result<()>, so: &str) {
    if let Err(error) = result {
        let path = ledger(context).path().display().to_string();
        context.output.say(&format!("{path}: cannot write: {}, {so}", plain(&error)));
    }
}
