//! Remove, reset or power-cycle, rescan: one operation under one set of locks.

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::Claims;
use crate::operation::acquire::LockTarget;
use crate::operation::bring_back::bring_back;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ReplugOptions;
use crate::operation::run::Operation;
use crate::operation::scannable::refuse_unfit_bridges;
use crate::operation::user_check::UserApproval;
use crate::operation::{remove, scan, user_check};
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::plan::action::{Action, Plan, Step, in_sequence};
use crate::plan::claims_for::Touched;
use crate::plan::remove::Removal;
use crate::plan::reset::{plan_power_cycle, plan_reset, plan_reset_below};
use crate::plan::step_state::is_slot_on;
use crate::report::change::{PlannedChange, ReplugReport, RescanReport};
use crate::resolve::scan_target::{ScanTarget, containing_bus, parent_bus};
use crate::verify::capture::Observer;
use crate::verify::compare::is_same_device;
use crate::verify::overrides::Overrides;
use crate::verify::record::DeviceRecord;
use crate::verify::snapshot::Snapshot;

/// The steps of a replug, from the last look before the first write to the report, and never without the locks.
pub(crate) fn replug(
    context: &Context,
    operation: &mut Operation,
    subject: &ReplugTarget,
    options: &ReplugOptions,
    approval: UserApproval,
) -> Result<ReplugReport> {
    // The bus must be fit to be scanned before what sits on it is taken away.
    refuse_unfit_bridges(&context.machine.sysfs, &subject.back.targets, &subject.removal.plan.gone)?;
    let timing =
        remove::stop_and_remove(context, operation, &subject.removal, &options.remove, approval, &subject.reset.steps)?;
    let removed = remove::report(context, &subject.removal, timing);
    match bring_back_again(context, operation, subject, options) {
        Ok((escalations, rescanned)) => Ok(ReplugReport { removed, escalations, rescanned }),
        // Another process goes on with it, and nothing is known yet of how it will end.
        Err(error) if operation.continues_in_background() => Err(error),
        Err(error) => {
            let missing = missing(context, subject);
            if !missing.is_empty() {
                operation.keep_half_done();
            }
            Err(error.partly(&next_step(&missing)))
        }
    }
}

/// The half after the removal: power, rescan, and whatever else may be tried.
fn bring_back_again(
    context: &Context,
    operation: &mut Operation,
    subject: &ReplugTarget,
    options: &ReplugOptions,
) -> Result<(Vec<String>, RescanReport)> {
    write(operation, &subject.power.steps)?;
    let mut rescanned = bring_back(context, operation, &subject.back, &options.settle)?;
    let escalations =
        if options.escalate { escalate(context, operation, subject, options, &mut rescanned)? } else { Vec::new() };
    Ok((escalations, rescanned))
}

/// What somebody has to know and to do whose devices were removed and did not come back.
fn next_step(missing: &[Missing]) -> String {
    let missing: Vec<String> = missing.iter().map(|missing| missing.address.to_string()).collect();
    match missing.as_slice() {
        [] => "what was removed is back".to_owned(),
        missing => format!("{} removed and not back, pcictl recover tries again", missing.join(", ")),
    }
}

/// What is to be removed and where it must come back, as it was read at one moment.
pub(crate) struct ReplugTarget {
    pub(crate) removal: remove::RemovalTarget,
    pub(crate) reset: Plan,
    pub(crate) power: Plan,
    /// The same, to be used only if nothing else helps.
    pub(crate) slots: Plan,
    pub(crate) back: scan::ScanRequest,
    /// One step further up, if it may come to that.
    pub(crate) above: Option<scan::ScanRequest>,
    pub(crate) claims: Claims,
}

impl ReplugTarget {
    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &ReplugOptions) -> Result<Self> {
        let sysfs = &context.machine.sysfs;
        let removal = remove::RemovalTarget::read(context, selectors, &options.remove)?;
        if options.reset {
            user_check::refuse_busy_hive(context, &removal.scope(), &options.remove.forcing)?;
        }
        let (tops, gone) = (&removal.plan.tops, &removal.plan.gone);
        let reset = if options.reset { plan_reset(sysfs, tops, gone)? } else { Plan::default() };
        let power = if options.power_cycle { plan_power_cycle(sysfs, tops, gone)? } else { Plan::default() };
        // That there may be no slot, or one that is shared, is no reason to refuse what may never be needed.
        let slots =
            if options.escalate { plan_power_cycle(sysfs, tops, gone).unwrap_or_default() } else { Plan::default() };
        let targets: Vec<ScanTarget> =
            tops.iter().map(|top| containing_bus(sysfs, *top, gone)).collect::<Result<_>>()?;
        let above = targets.iter().filter(|_| options.escalate).map(|target| parent_bus(sysfs, target));
        let above: Vec<ScanTarget> = above.filter_map(Result::transpose).collect::<Result<_>>()?;
        let above = (!above.is_empty()).then(|| scan::ScanRequest::new(above, tops.clone(), Vec::new()));
        let back = scan::ScanRequest::new(targets, tops.clone(), Vec::new());
        // Everything that any part needs, taken at once: a lock is never added to those that are held.
        let parts = [Some(removal.claims()), Some(back.claims()), above.as_ref().map(LockTarget::claims)];
        let mut places: Vec<Place> = parts.into_iter().flatten().flat_map(|claims| claims.tops()).cloned().collect();
        if !power.steps.is_empty() || !slots.steps.is_empty() {
            let ports = back.targets.iter().filter(|target| !target.is_root_bus());
            places.extend(ports.map(|target| Touched::Slot { port: target.place.clone(), on: true }.exclusive()));
        }
        Ok(Self { claims: Claims::changing(places), removal, reset, power, slots, back, above })
    }
}

impl LockTarget for ReplugTarget {
    fn claims(&self) -> &Claims {
        &self.claims
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.removal.same_devices(&other.removal)
            && self.reset == other.reset
            && self.power == other.power
            && self.back.same_devices(&other.back)
            && self.claims == other.claims
    }
}

/// Tries more and more until all that was removed is there again: the bus above, a reset, the power of the slot. What
/// was tried is told.
fn escalate(
    context: &Context,
    operation: &mut Operation,
    subject: &ReplugTarget,
    options: &ReplugOptions,
    report: &mut RescanReport,
) -> Result<Vec<String>> {
    let mut escalations = Vec::new();
    // After an interrupt nothing new is tried.
    let goes_on = |operation: &mut Operation, report: &RescanReport| {
        !report.interrupted && !operation.is_interrupted() && !missing(context, subject).is_empty()
    };
    let mut retry = |operation: &mut Operation,
                     report: &mut RescanReport,
                     what: String,
                     steps: &[Step],
                     scan: &scan::ScanRequest| {
        context.output.say(&format!("not back yet: {what}"));
        escalations.push(what);
        // The scan is noted with what it follows: whoever recovers must not end between them.
        operation.extend(&in_sequence([steps, scan.steps()]))?;
        // One means that fails is no reason not to try the next.
        if let Err(error) = write(operation, steps) {
            if operation.continues_in_background() || error.kind() == ErrorKind::Interrupted {
                return Err(error);
            }
            context.output.say(&error.to_string());
            if steps.iter().any(|step| is_off(context, step)) {
                operation.keep_half_done();
            }
        }
        let again = bring_back(context, operation, scan, &options.settle)?;
        report.take_over(again);
        Ok::<(), Error>(())
    };
    if let (true, Some(above)) = (goes_on(operation, report), &subject.above) {
        retry(operation, report, "scanning one bus further up".to_owned(), &[], above)?;
    }
    for (bridge, plan) in resets_below(context, subject) {
        if goes_on(operation, report) {
            retry(operation, report, format!("resetting the bus below {bridge}"), &plan.steps, &subject.back)?;
        }
    }
    // What came instead of it may be at work by now, and is not what was asked to lose its power.
    let is_vacant = || missing(context, subject).iter().all(|missing| !missing.is_occupied);
    if goes_on(operation, report) && !subject.slots.steps.is_empty() && is_vacant() {
        let what = "switching the power of its slot off and on".to_owned();
        retry(operation, report, what, &subject.slots.steps, &subject.back)?;
    }
    report.interrupted |= operation.is_interrupted() && !missing(context, subject).is_empty();
    Ok(escalations)
}

/// Whether this step switches a slot that has no power now.
fn is_off(context: &Context, step: &Step) -> bool {
    match &step.action {
        Action::SlotPower { slot, .. } => is_slot_on(&context.machine.sysfs, slot) == Some(false),
        _ => false,
    }
}

/// What was removed and is not back.
struct Missing {
    /// Where it answered.
    address: PciAddress,
    /// Something else is at its place now.
    is_occupied: bool,
}

/// Which of the tops are not back: known by their place and by what they are, for another device may answer at the address.
fn missing(context: &Context, subject: &ReplugTarget) -> Vec<Missing> {
    let sysfs = &context.machine.sysfs;
    let there = Snapshot::take(sysfs, &subject.back.targets).unwrap_or_default();
    let mut observer = Observer::new(sysfs);
    let missing = |was: &DeviceRecord| {
        let found = there.at(&was.place);
        let is_back =
            found.is_some_and(|(topology, id)| is_same_device(was, &observer.record(topology, id, &Overrides::new())));
        (!is_back).then_some(Missing { address: was.address, is_occupied: found.is_some() })
    };
    subject.removal.tops().filter_map(missing).collect()
}

fn resets_below(context: &Context, subject: &ReplugTarget) -> Vec<(PciAddress, Plan)> {
    let plan = |target: &ScanTarget| {
        let bridge = target.bridge.rsplit('/').next().and_then(PciAddress::from_sysfs_name)?;
        Some((bridge, plan_reset_below(&context.machine.sysfs, bridge, &target.bridge)?))
    };
    subject.back.targets.iter().filter_map(plan).collect()
}

/// Makes writes that nothing can undo.
fn write(operation: &mut Operation, steps: &[Step]) -> Result<()> {
    let outcomes = operation.run(steps, 1)?;
    let why = StepFailure::first(steps, &outcomes);
    why.map_or(Ok(()), |why| Err(Error::new(why.kind, why.message)))
}

pub(crate) fn planned(context: &Context, subject: &ReplugTarget, options: &ReplugOptions) -> Result<PlannedChange> {
    let (mut plan, back) = (remove::planned(context, &subject.removal, &options.remove)?, scan::planned(&subject.back));
    plan.locks = subject.claims.in_order().to_vec();
    if plan.steps.is_empty() {
        return Ok(plan);
    }
    plan.steps = all_steps(subject);
    plan.summary.extend(back.summary);
    Ok(plan)
}

/// Every step, in the order in which they are done.
pub(crate) fn all_steps(subject: &ReplugTarget) -> Vec<Step> {
    let Removal { stop, remove, .. } = &subject.removal.plan;
    let power = &subject.power.steps;
    in_sequence([stop.steps.as_slice(), &subject.reset.steps, &remove.steps, power, subject.back.steps()])
}
