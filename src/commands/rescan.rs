//! `pcictl rescan`: lock the bridge, scan the smallest bus that can bring the device back, report what came and went.

use std::collections::BTreeMap;
use std::time::Instant;

use super::hold::{Reading, hold};
use super::{Context, parse_exact_selectors};
use crate::address::PciAddress;
use crate::claims::Claims;
use crate::cli::RescanArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::{RunningKernel, execute};
use crate::inspect::Inspector;
use crate::locate::{bus_for, dead_bridge};
use crate::lock::Held;
use crate::output;
use crate::plan::{Plan, RescanTarget, plan_rescan};
use crate::report::{Change, PlannedChange, RescanReport, Scanned};
use crate::resolve::{Named, Resolver};
use crate::selector::Selector;
use crate::topology::{Fields, Ids, Topology};

pub fn run(context: &Context, args: &RescanArgs) -> Result<ExitStatus> {
    context.refuse_in_dump(&args.changing)?;
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || Subject::read(context, &selectors, args);

    let subject = read()?;
    context.tell_notes(&subject.notes);
    if args.changing.dry_run {
        refuse_dead_bridges(context, &subject)?;
        context.output.report(&planned(&subject), output::planned);
        return Ok(ExitStatus::Done);
    }
    let (held, subject) = hold(context, &args.changing, read)?;
    let report = bring_back(context, &held, &subject)?;
    context.output.outcome(&report, output::rescanned);
    Ok(status(&report))
}

/// The steps of a rescan, from the last look before the write to the report; the same for whoever rescans, and never
/// without the locks.
pub(super) fn bring_back(context: &Context, _held: &Held, subject: &Subject) -> Result<RescanReport> {
    refuse_dead_bridges(context, subject)?;
    let before = Snapshot::take(context, subject)?;
    let scan_seconds = scan(context, subject)?;
    let after = Snapshot::take(context, subject)?;
    Ok(compared(context, subject, &before, &after, scan_seconds))
}

/// What the report of a rescan ends with.
pub(super) fn status(report: &RescanReport) -> ExitStatus {
    if report.missing.is_empty() { ExitStatus::Done } else { ExitStatus::Unexpected }
}

/// What is to be scanned, as it was read at one moment.
pub(super) struct Subject {
    plan: Plan,
    targets: Vec<RescanTarget>,
    wanted: Vec<PciAddress>,
    notes: Vec<String>,
}

impl Subject {
    /// To scan these buses, and to have these addresses back.
    pub(super) fn new(targets: Vec<RescanTarget>, wanted: Vec<PciAddress>, notes: Vec<String>) -> Self {
        let (plan, targets) = plan_rescan(targets);
        Self { plan, targets, wanted, notes }
    }

    fn read(context: &Context, selectors: &[Selector], args: &RescanArgs) -> Result<Self> {
        let mut resolver = Resolver::new(&context.sysfs);
        let (mut targets, mut wanted) = (Vec::new(), Vec::new());
        if args.all {
            targets.push(RescanTarget::all());
        }
        for selector in selectors {
            for named in resolver.targets(selector, args.changing.each)? {
                if let Named::Absent(address) = named {
                    wanted.push(address);
                }
                targets.extend(bus_for(&context.sysfs, &named)?);
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

fn refuse_dead_bridges(context: &Context, subject: &Subject) -> Result<()> {
    for target in &subject.targets {
        if let Some(address) = dead_bridge(&context.sysfs, target)? {
            let message = format!(
                "{address}: does not answer (its configuration space reads all ones); scanning below it could deal out bus numbers that are in use. Bring the bridge itself back first: remove it, then rescan the bus it sits on"
            );
            return Err(Error::new(ErrorKind::Refused, message).about(address));
        }
    }
    Ok(())
}

/// Makes the writes, one after the other: they all take the one mutex of the kernel.
fn scan(context: &Context, subject: &Subject) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let outcomes = execute(steps, &RunningKernel::new(&context.sysfs), 1);
    let Some((index, errno)) = outcomes.failure() else { return Ok(begun.elapsed().as_secs_f64()) };
    let file = context.sysfs.display(&steps[index].file);
    let error = Error::io(format!("{}: {file}", output::in_words(&steps[index].action)), &errno.into());
    if index == 0 {
        Err(error)
    } else {
        Err(Error::new(ErrorKind::Partly, format!("{error}; {index} of {} buses were scanned", steps.len())))
    }
}

/// Every function below the scanned buses, what it is and who has it.
struct Snapshot(BTreeMap<PciAddress, (Option<Ids>, Option<String>)>);

impl Snapshot {
    fn take(context: &Context, subject: &Subject) -> Result<Self> {
        let mut functions = BTreeMap::new();
        for target in &subject.targets {
            let topology = match target.bus {
                Some(_) => Topology::load_below(&context.sysfs, &target.bridge)?,
                None => Topology::load_all(&context.sysfs, Fields::ALL)?,
            };
            for id in topology.by_address() {
                let function = topology.function(id);
                functions.insert(function.address, (function.ids, function.driver.as_deref().map(str::to_owned)));
            }
        }
        Ok(Self(functions))
    }
}

fn compared(
    context: &Context,
    subject: &Subject,
    before: &Snapshot,
    after: &Snapshot,
    scan_seconds: f64,
) -> RescanReport {
    let mut inspector = Inspector::new(&context.sysfs);
    let mut report = RescanReport { scan_seconds, ..RescanReport::default() };
    report.scanned = subject.targets.iter().map(scanned).collect();
    for (address, (ids, driver)) in &after.0 {
        match before.0.get(address) {
            None => report.appeared.push(inspector.seen(*address, *ids, driver.as_deref())),
            Some((old_ids, old_driver)) => {
                if old_ids != ids {
                    let (old, new) = (inspector.seen(*address, *old_ids, None), inspector.seen(*address, *ids, None));
                    report.changed.push(Change { address: *address, what: "ids", old: old.ids, new: new.ids });
                }
                if old_driver != driver {
                    report.changed.push(Change {
                        address: *address,
                        what: "driver",
                        old: old_driver.clone(),
                        new: driver.clone(),
                    });
                }
            }
        }
    }
    for (address, (ids, driver)) in before.0.iter().filter(|(address, _)| !after.0.contains_key(address)) {
        report.vanished.push(inspector.seen(*address, *ids, driver.as_deref()));
    }
    report.missing = subject.wanted.iter().copied().filter(|address| !after.0.contains_key(address)).collect();
    for scanned in &report.scanned {
        context.output.detail(&format!("{}: scanned, because {}", bus_name(scanned), scanned.why));
    }
    report
}

fn bus_name(scanned: &Scanned) -> String {
    scanned.bus.map_or_else(|| "every bus".to_owned(), |bus| format!("bus {bus}"))
}

fn scanned(target: &RescanTarget) -> Scanned {
    let bridge = target.bridge.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    Scanned { bus: target.bus, bridge, why: target.why.clone() }
}

pub(super) fn planned(subject: &Subject) -> PlannedChange {
    let line = |target: &RescanTarget| {
        let scanned = scanned(target);
        format!("would scan {}: {}", bus_name(&scanned), scanned.why)
    };
    PlannedChange {
        summary: subject.targets.iter().map(line).collect(),
        locks: subject.claims().in_order().to_vec(),
        steps: subject.plan.steps.clone(),
    }
}
