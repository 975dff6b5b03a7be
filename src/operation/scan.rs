//! The scan of a rescan: which buses, under which locks, and the writes themselves.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::Claims;
use crate::operation::acquire::Reading;
use crate::operation::context::Context;
use crate::operation::failure::Why;
use crate::operation::options::ScanOptions;
use crate::operation::removal_record;
use crate::operation::run::Operation;
use crate::pci::address::PciAddress;
use crate::pci::selector::{Selector, SelectorKind};
use crate::plan::action::{Plan, Step};
use crate::plan::rescan::plan_rescan;
use crate::report::change::{PlannedChange, Scanned};
use crate::resolve::functions::{Named, Resolver};
use crate::resolve::scan_target::{RescanTarget, bus_for, bus_of_place, bus_of_slot};
use crate::verify::record::{Entry, Record};

/// What is to be scanned, as it was read at one moment.
pub(crate) struct Subject {
    pub(crate) plan: Plan,
    pub(crate) targets: Vec<RescanTarget>,
    pub(crate) wanted: Vec<PciAddress>,
    pub(crate) notes: Vec<String>,
}

impl Subject {
    /// To scan these buses, and to have these addresses back.
    pub(crate) fn new(targets: Vec<RescanTarget>, wanted: Vec<PciAddress>, notes: Vec<String>) -> Self {
        let (plan, targets) = plan_rescan(targets);
        Self { plan, targets, wanted, notes }
    }

    /// The steps, each of which scans a bus.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &ScanOptions) -> Result<Self> {
        let mut resolver = Resolver::new(&context.machine.sysfs);
        let (mut targets, mut wanted) = (Vec::new(), Vec::new());
        if options.all {
            targets.push(RescanTarget::all());
        }
        let entries = removal_record::entries(context);
        for slot in &options.slots {
            targets.extend(slot_targets(context, &entries, slot, &mut wanted)?);
        }
        for selector in selectors {
            if let SelectorKind::Slot(slot) = &selector.kind {
                targets.extend(slot_targets(context, &entries, slot, &mut wanted)?);
                continue;
            }
            for named in resolver.targets(selector, options.change.each)? {
                if let Named::Absent(address) = named {
                    wanted.push(address);
                    targets.extend(gone_targets(context, &entries, address, &mut resolver.notes)?);
                } else {
                    targets.extend(bus_for(&context.machine.sysfs, &named)?);
                }
            }
        }
        Ok(Self::new(targets, wanted, resolver.notes))
    }
}

impl Reading for Subject {
    fn claims(&self) -> &Claims {
        &self.plan.claims
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.plan == other.plan && self.wanted == other.wanted
    }
}

/// Where to look for an address that is gone: where the ledger says it was, else by its number.
fn gone_targets(
    context: &Context,
    entries: &[Entry],
    address: PciAddress,
    notes: &mut Vec<String>,
) -> Result<Vec<RescanTarget>> {
    let known: Vec<&Record> = entries.iter().map(|entry| &entry.record).filter(|was| was.is_about(address)).collect();
    match known[..] {
        [] => {
            notes.push(format!("{address}: the ledger does not know it; going by its number"));
            bus_for(&context.machine.sysfs, &Named::Absent(address))
        }
        [was] => Ok(vec![bus_of_place(&context.machine.sysfs, address, &was.place)?]),
        _ => {
            let places: Vec<String> = known.iter().map(|was| was.place.to_string()).collect();
            let message = format!(
                "{address}: the ledger knows {} devices that answered there, at {}; rescan the bridge that you mean",
                known.len(),
                places.join(" and ")
            );
            Err(Error::new(ErrorKind::Ambiguous, message).about(address).fact("places", places))
        }
    }
}

/// Where to look for what was or is in a slot.
fn slot_targets(
    context: &Context,
    entries: &[Entry],
    slot: &str,
    wanted: &mut Vec<PciAddress>,
) -> Result<Vec<RescanTarget>> {
    let known: Vec<&Record> =
        entries.iter().map(|entry| &entry.record).filter(|was| was.slot.as_deref() == Some(slot)).collect();
    wanted.extend(known.iter().map(|was| was.address));
    if let Some(target) = bus_of_slot(&context.machine.sysfs, slot)? {
        return Ok(vec![target]);
    }
    if known.is_empty() {
        let message =
            format!("slot {slot}: no slot has that name now, and the ledger knows none; ls /sys/bus/pci/slots");
        return Err(Error::new(ErrorKind::NoSuchDevice, message).fact("slot", slot));
    }
    known.iter().map(|was| bus_of_place(&context.machine.sysfs, was.address, &was.place)).collect()
}

/// Makes the writes, one after the other: they all take the one mutex of the kernel.
pub(crate) fn scan(operation: &mut Operation, subject: &Subject) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let outcomes = operation.run(steps, 1)?;
    let why = Why::of(steps, &outcomes).filter(|_| !outcomes.is_complete());
    let Some(why) = why else { return Ok(begun.elapsed().as_secs_f64()) };
    let (scanned, of) = (outcomes.changed(), steps.len());
    let kind = if scanned == 0 || why.kind == ErrorKind::Interrupted { why.kind } else { ErrorKind::Partly };
    Err(Error::new(kind, format!("{}; {scanned} of {of} buses were scanned", why.message)))
}

pub(crate) fn bus_name(scanned: &Scanned) -> String {
    scanned.bus.map_or_else(|| "every bus".to_owned(), |bus| format!("bus {bus}"))
}

pub(crate) fn scanned(target: &RescanTarget) -> Scanned {
    let bridge = target.bridge.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    Scanned { bus: target.bus, bridge, why: target.why.clone() }
}

pub(crate) fn planned(subject: &Subject) -> PlannedChange {
    let line = |target: &RescanTarget| {
        let scanned = scanned(target);
        format!("would scan {}: {}", bus_name(&scanned), scanned.why)
    };
    PlannedChange {
        summary: subject.targets.iter().map(line).collect(),
        locks: subject.claims().in_order().to_vec(),
        steps: subject.plan.steps.clone(),
        ..PlannedChange::default()
    }
}
