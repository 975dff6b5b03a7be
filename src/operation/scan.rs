//! The scan of a rescan: which buses, under which locks, and the writes themselves.

use std::time::Instant;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::Outcomes;
use crate::lock::claims::Claims;
use crate::operation::acquire::LockTarget;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ScanOptions;
use crate::operation::removal_record;
use crate::operation::run::Operation;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::{Selector, SelectorKind};
use crate::plan::action::{Plan, Step};
use crate::plan::rescan::plan_rescan;
use crate::report::change::{PlannedChange, Scanned};
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::scan_target::{ScanTarget, scan_targets, scan_targets_for_slot};

/// What is to be scanned, as it was read at one moment.
pub(crate) struct ScanRequest {
    pub(crate) plan: Plan,
    pub(crate) targets: Vec<ScanTarget>,
    pub(crate) wanted: Vec<PciAddress>,
    pub(crate) notes: Vec<String>,
    /// The slot that is switched on, where that has the kernel look for devices.
    pub(crate) slot: Option<ScannedSlot>,
}

/// A slot whose power is switched on.
pub(crate) struct ScannedSlot {
    /// Its name and address, for messages.
    pub(crate) title: String,
    /// The device number of all that is in it; none if it is all that is on the bus.
    pub(crate) device: Option<u8>,
}

impl ScanRequest {
    /// To scan these buses, and to have these addresses back.
    pub(crate) fn new(targets: Vec<ScanTarget>, wanted: Vec<PciAddress>, notes: Vec<String>) -> Self {
        let (plan, targets) = plan_rescan(targets);
        Self { plan, targets, wanted, notes, slot: None }
    }

    /// The steps, each of which scans a bus.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.plan.steps
    }

    /// Whether what was at this place may come: of a bus with several slots only what is in the one.
    pub(crate) fn may_bring(&self, place: &Place) -> bool {
        let Some(device) = self.slot.as_ref().and_then(|slot| slot.device) else { return true };
        let prefix = |target: &ScanTarget| format!("{}/{device:02x}.", target.place.chain());
        self.targets.iter().any(|target| place.chain().starts_with(&prefix(target)))
    }

    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &ScanOptions) -> Result<Self> {
        let mut resolver = Resolver::new(&context.machine.sysfs);
        let (mut targets, mut wanted) = (Vec::new(), Vec::new());
        if options.all {
            targets.push(ScanTarget::all());
        }
        let sysfs = &context.machine.sysfs;
        let known = removal_record::last_seen(&removal_record::entries(context));
        let mut of_slot = |slot: &str| {
            let was_in_it = known.iter().filter(|seen| seen.slot.as_deref() == Some(slot));
            wanted.extend(was_in_it.filter_map(|seen| seen.addresses.first()));
            scan_targets_for_slot(sysfs, slot, &known)
        };
        for slot in &options.slots {
            targets.extend(of_slot(slot)?);
        }
        for selector in selectors {
            if let SelectorKind::Slot(slot) = &selector.kind {
                targets.extend(of_slot(slot)?);
            }
        }
        for selector in selectors.iter().filter(|selector| !matches!(selector.kind, SelectorKind::Slot(_))) {
            for named in resolver.targets(selector, options.change.selection)? {
                if let Resolved::Absent(address) = named {
                    wanted.push(address);
                }
                targets.extend(scan_targets(sysfs, &named, &known)?);
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

/// Makes the writes, one after the other: they all take the one mutex of the kernel.
pub(crate) fn scan(operation: &mut Operation, subject: &ScanRequest) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let outcomes = operation.run(steps, 1)?;
    let why = StepFailure::first(steps, &outcomes).filter(|_| !outcomes.is_complete());
    let Some(why) = why else { return Ok(begun.elapsed().as_secs_f64()) };
    if let Some(slot) = &subject.slot {
        return Err(not_switched_on(slot, why, &outcomes));
    }
    let (scanned, of) = (outcomes.changed(), steps.len());
    if outcomes.failure().is_some_and(|(_, errno)| errno == Errno::ECANCELED) {
        // Nothing tells whether the kernel had it by then.
        let message = format!("{}; {scanned} of {of} buses were scanned, and one more may have been", why.message);
        return Err(Error::new(ErrorKind::Partly, message));
    }
    let kind = if scanned == 0 || why.kind == ErrorKind::Interrupted { why.kind } else { ErrorKind::Partly };
    Err(Error::new(kind, format!("{}; {scanned} of {of} buses were scanned", why.message)))
}

/// The kernel switches a slot off again whose card does not answer, and does not even try where it sees none
/// (__pciehp_enable_slot in drivers/pci/hotplug/pciehp_ctrl.c).
fn not_switched_on(slot: &ScannedSlot, why: StepFailure, outcomes: &Outcomes) -> Error {
    let message = format!("{}: {}", slot.title, why.message);
    match outcomes.failure() {
        Some((_, Errno::ECANCELED)) => {
            Error::new(ErrorKind::Partly, format!("{message}; it may have been done")).hint("pcictl slot show tells")
        }
        Some((_, Errno::ENODEV)) => {
            let error = Error::new(why.kind, format!("{message}; nothing answers in it, and it stays as it was"));
            error.hint("pcictl slot show tells whether something is plugged in")
        }
        _ => Error::new(why.kind, format!("{message}; it stays as it was")),
    }
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
