//! The scan of a rescan: which buses, under which locks, and the writes themselves.

use std::time::Instant;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::Claims;
use crate::operation::acquire::LockTarget;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ScanOptions;
use crate::operation::removal_record;
use crate::operation::run::Operation;
use crate::pci::address::PciAddress;
use crate::pci::selector::{Selector, SelectorKind};
use crate::plan::action::{Plan, Step};
use crate::plan::rescan::plan_rescan;
use crate::report::change::{PlannedChange, Scanned};
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::scan_target::{ScanTarget, scan_target_for, target_for_place, target_for_slot};
use crate::verify::record::{DeviceRecord, RemovedDevice};

/// What is to be scanned, as it was read at one moment.
pub(crate) struct ScanRequest {
    pub(crate) plan: Plan,
    pub(crate) targets: Vec<ScanTarget>,
    pub(crate) wanted: Vec<PciAddress>,
    pub(crate) notes: Vec<String>,
}

impl ScanRequest {
    /// To scan these buses, and to have these addresses back.
    pub(crate) fn new(targets: Vec<ScanTarget>, wanted: Vec<PciAddress>, notes: Vec<String>) -> Self {
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
            targets.push(ScanTarget::all());
        }
        let entries = removal_record::entries(context);
        for slot in &options.slots {
            targets.extend(targets_for_slot(context, &entries, slot, &mut wanted)?);
        }
        for selector in selectors {
            if let SelectorKind::Slot(slot) = &selector.kind {
                targets.extend(targets_for_slot(context, &entries, slot, &mut wanted)?);
                continue;
            }
            for named in resolver.targets(selector, options.change.each)? {
                if let Resolved::Absent(address) = named {
                    wanted.push(address);
                    targets.extend(targets_for_gone(context, &entries, address, &mut resolver.notes)?);
                } else {
                    targets.extend(scan_target_for(&context.machine.sysfs, &named)?);
                }
            }
        }
        Ok(Self::new(targets, wanted, resolver.notes))
    }
}

impl LockTarget for ScanRequest {
    fn claims(&self) -> &Claims {
        &self.plan.claims
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.plan == other.plan && self.wanted == other.wanted
    }
}

/// Where to look for an address that is gone: where the ledger says it was, else by its number.
fn targets_for_gone(
    context: &Context,
    entries: &[RemovedDevice],
    address: PciAddress,
    notes: &mut Vec<String>,
) -> Result<Vec<ScanTarget>> {
    let known: Vec<&DeviceRecord> =
        entries.iter().map(|entry| &entry.record).filter(|was| was.is_about(address)).collect();
    match known[..] {
        [] => {
            notes.push(format!("{address}: the ledger does not know it; going by its number"));
            scan_target_for(&context.machine.sysfs, &Resolved::Absent(address))
        }
        [was] => Ok(vec![target_for_place(&context.machine.sysfs, address, &was.place)?]),
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
fn targets_for_slot(
    context: &Context,
    entries: &[RemovedDevice],
    slot: &str,
    wanted: &mut Vec<PciAddress>,
) -> Result<Vec<ScanTarget>> {
    let known: Vec<&DeviceRecord> =
        entries.iter().map(|entry| &entry.record).filter(|was| was.slot.as_deref() == Some(slot)).collect();
    wanted.extend(known.iter().map(|was| was.address));
    if let Some(target) = target_for_slot(&context.machine.sysfs, slot)? {
        return Ok(vec![target]);
    }
    if known.is_empty() {
        let message =
            format!("slot {slot}: no slot has that name now, and the ledger knows none; ls /sys/bus/pci/slots");
        return Err(Error::new(ErrorKind::NoSuchDevice, message).fact("slot", slot));
    }
    known.iter().map(|was| target_for_place(&context.machine.sysfs, was.address, &was.place)).collect()
}

/// Makes the writes, one after the other: they all take the one mutex of the kernel.
pub(crate) fn scan(operation: &mut Operation, subject: &ScanRequest) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let outcomes = operation.run(steps, 1)?;
    let why = StepFailure::first(steps, &outcomes).filter(|_| !outcomes.is_complete());
    let Some(why) = why else { return Ok(begun.elapsed().as_secs_f64()) };
    let (scanned, of) = (outcomes.changed(), steps.len());
    if outcomes.failure().is_some_and(|(_, errno)| errno == Errno::ECANCELED) {
        // Nothing tells whether the kernel had it by then.
        let message = format!("{}; {scanned} of {of} buses were scanned, and one more may have been", why.message);
        return Err(Error::new(ErrorKind::Partly, message));
    }
    let kind = if scanned == 0 || why.kind == ErrorKind::Interrupted { why.kind } else { ErrorKind::Partly };
    Err(Error::new(kind, format!("{}; {scanned} of {of} buses were scanned", why.message)))
}

pub(crate) fn bus_name(scanned: &Scanned) -> String {
    scanned.bus.map_or_else(|| "every bus".to_owned(), |bus| format!("bus {bus}"))
}

pub(crate) fn scanned(target: &ScanTarget) -> Scanned {
    let bridge = target.bridge.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    Scanned { bus: target.bus, bridge, why: target.why.clone() }
}

pub(crate) fn planned(subject: &ScanRequest) -> PlannedChange {
    let line = |target: &ScanTarget| {
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
