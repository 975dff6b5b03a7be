//! The two phases of a removal: stop the whole subtree bottom-up, then remove it in one short step.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::{Outcome, Outcomes};
use crate::lock::claims::Claims;
use crate::operation::absent::not_there;
use crate::operation::acquire::LockTarget;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::RemoveOptions;
use crate::operation::removal_record;
use crate::operation::run::Operation;
use crate::operation::user_check::{self, UserApproval};
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::pci::selector::Selector;
use crate::plan::action::Step;
use crate::plan::remove::{Removal, plan_removal};
use crate::report::change::{FunctionSummary, PlannedChange, RemoveReport};
use crate::report::inspector::Inspector;
use crate::report::text::words;
use crate::resolve::functions::{Resolved, Resolver};
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::find;
use crate::usage::model::User;
use crate::usage::scope::Scope;
use crate::verify::record::RemovedDevice;

/// The steps of a removal, from the last look before the first write to the proof that all is gone; the same for
/// whoever removes, and never without the locks.
///
/// `reset_steps` is done when all is stopped and still there.
pub(crate) fn stop_and_remove(
    context: &Context,
    operation: &mut Operation,
    subject: &RemovalTarget,
    options: &RemoveOptions,
    approval: UserApproval,
    reset_steps: &[Step],
) -> Result<RemovalTiming> {
    let entries = removal_record::capture(context, &subject.topology, &subject.plan);
    let overridden = approval.recheck(context, &subject.scope(), &options.forcing, &subject.what())?;
    let stop_seconds = stop(operation, subject, options)?;
    run_while_stopped(operation, subject, options, reset_steps)?;
    removal_record::save(context, &entries);
    let removed = remove(context, operation, subject, options);
    // Who goes on in the background finds what was written, and takes it back if it must.
    let remove_seconds = removed.inspect_err(|_| {
        if !operation.continues_in_background() {
            discard_present(context, &entries);
        }
    })?;
    verify_gone(context, subject)?;
    Ok(RemovalTiming { overridden, stop_seconds, remove_seconds })
}

/// Takes from the ledger again what was not removed after all.
fn discard_present(context: &Context, entries: &[RemovedDevice]) {
    let is_there = |entry: &&RemovedDevice| context.machine.sysfs.has_function(entry.record.address);
    removal_record::discard(context, &entries.iter().filter(is_there).cloned().collect::<Vec<_>>());
}

/// How long the two phases timing, and from whom it was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemovalTiming {
    pub(crate) overridden: Vec<User>,
    pub(crate) stop_seconds: f64,
    pub(crate) remove_seconds: f64,
}

/// What is to be removed, as it was read at one moment.
pub(crate) struct RemovalTarget {
    pub(crate) plan: Removal,
    pub(crate) topology: Topology,
    pub(crate) functions: Vec<(PciAddress, Option<Ids>, Option<String>)>,
    pub(crate) absent: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl RemovalTarget {
    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &RemoveOptions) -> Result<Self> {
        let mut resolver = Resolver::new(&context.machine.sysfs);
        let (mut addresses, mut absent) = (Vec::new(), Vec::new());
        for selector in selectors {
            let named = match resolver.targets(selector, options.change.each) {
                Err(error) if error.kind() == ErrorKind::NoSuchDevice && options.if_present => {
                    absent.push(selector.text.clone());
                    continue;
                }
                other => other?,
            };
            for named in named {
                match named {
                    Resolved::Functions(found) => addresses.extend(found),
                    Resolved::Absent(address) if options.if_present => absent.push(address.to_string()),
                    Resolved::Absent(address) => return Err(not_there(context, selector, address)),
                    Resolved::HostBridge(_) => return Err(host_bridge(selector)),
                }
            }
        }
        // What is really to be removed must be known, each function of it; for a plan its place and driver will do.
        let fields = if options.change.dry_run { Fields::PLAN } else { Fields::ALL };
        let topology = Topology::load_around(&context.machine.sysfs, &addresses, fields)?;
        let found: Vec<FunctionId> = addresses.iter().filter_map(|address| topology.find(*address)).collect();
        // One that went away reset_steps the two looks is absent like any other.
        for address in addresses.iter().filter(|address| topology.find(**address).is_none()) {
            if !options.if_present {
                return Err(Error::new(
                    ErrorKind::NoSuchDevice,
                    format!("{address}: went away while it was looked at"),
                )
                .about(*address));
            }
            absent.push(address.to_string());
        }
        let plan = plan_removal(&topology, &found)?;
        let facts = |address: &PciAddress| {
            let function = topology.function(topology.find(*address)?);
            Some((*address, function.ids, function.driver.as_deref().map(str::to_owned)))
        };
        let functions = plan.gone.iter().filter_map(facts).collect();
        Ok(Self { plan, topology, functions, absent, notes: resolver.notes })
    }

    /// Looks for users, under the locks and before anything is begun.
    pub(crate) fn check_users(&self, context: &Context, options: &RemoveOptions) -> Result<UserApproval> {
        user_check::check(context, &self.scope(), &options.forcing, &self.what())
    }

    /// The functions whose users count.
    fn scope(&self) -> Scope {
        Scope::of(&self.topology, self.plan.gone.iter().filter_map(|address| self.topology.find(*address)))
    }

    /// The targets, for messages.
    fn what(&self) -> String {
        self.plan.tops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl LockTarget for RemovalTarget {
    fn claims(&self) -> &Claims {
        self.plan.claims()
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.plan == other.plan && self.functions == other.functions
    }
}

fn host_bridge(selector: &Selector) -> Error {
    let message = format!(
        "{selector}: is a host bridge; only functions below it can be removed, pcictl tree {selector} lists them"
    );
    Error::usage(message)
}

/// The stop phase: no kernel PCI lock is held while drivers let go. If one will not, the others are given back.
fn stop(operation: &mut Operation, subject: &RemovalTarget, options: &RemoveOptions) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.plan.stop.steps;
    let outcomes = operation.run(steps, options.jobs)?;
    match StepFailure::first(steps, &outcomes) {
        None => Ok(begun.elapsed().as_secs_f64()),
        Some(why) if options.no_rollback => Err(without_rollback(operation, why, &outcomes)),
        Some(why) => Err(operation.roll_back(steps, 0, &outcomes, why, "")),
    }
}

/// What is done reset_steps the two phases, a reset for one.
fn run_while_stopped(
    operation: &mut Operation,
    subject: &RemovalTarget,
    options: &RemoveOptions,
    steps: &[Step],
) -> Result<()> {
    let outcomes = operation.run(steps, 1)?;
    let Some(why) = StepFailure::first(steps, &outcomes) else { return Ok(()) };
    let stopped = &subject.plan.stop.steps;
    let all = Outcomes::done_where(stopped.iter().map(|_| true));
    if options.no_rollback {
        Err(without_rollback(operation, why, &all))
    } else {
        Err(operation.roll_back(stopped, 0, &all, why, ""))
    }
}

/// The remove phase: short, for nothing is left to be stopped.
fn remove(
    context: &Context,
    operation: &mut Operation,
    subject: &RemovalTarget,
    options: &RemoveOptions,
) -> Result<f64> {
    let begun = Instant::now();
    let (stopped, steps) = (&subject.plan.stop.steps, &subject.plan.remove.steps);
    let outcomes = operation.run(steps, 1)?;
    let why = StepFailure::first(steps, &outcomes).filter(|_| !outcomes.is_complete());
    let Some(why) = why else { return Ok(begun.elapsed().as_secs_f64()) };
    if options.no_rollback {
        return Err(without_rollback(operation, why, &Outcomes::done_where(stopped.iter().map(|_| true))));
    }
    // What belongs to a device that is still there can be given back its driver.
    let is_there =
        |step: &Step| step.action.address().is_some_and(|address| context.machine.sysfs.has_function(address));
    let left = Outcomes::done_where(stopped.iter().map(is_there));
    let removed: Vec<String> = steps
        .iter()
        .zip(outcomes.each())
        .filter(|(_, outcome)| matches!(outcome, Outcome::Done(..)))
        .map(|(step, _)| words::describe_action(&step.action))
        .collect();
    let lasting = if removed.is_empty() { String::new() } else { format!("done before: {}", removed.join(", ")) };
    Err(operation.roll_back(stopped, 0, &left, why, &lasting))
}

fn without_rollback(operation: &mut Operation, why: StepFailure, outcomes: &Outcomes) -> Error {
    let changed = outcomes.changed();
    if changed > 0 {
        operation.keep_half_done();
    }
    let kind = if changed == 0 || why.kind == ErrorKind::Interrupted { why.kind } else { ErrorKind::Partly };
    Error::new(kind, format!("{}; {changed} steps that were done are left as they are (--no-rollback)", why.message))
}

fn verify_gone(context: &Context, subject: &RemovalTarget) -> Result<()> {
    let there = |address: &&PciAddress| context.machine.sysfs.has_function(**address);
    let left: Vec<String> = subject.plan.gone.iter().filter(there).map(ToString::to_string).collect();
    if left.is_empty() {
        return Ok(());
    }
    let message =
        format!("removed, but {} is there again or still; a slot that is on may have brought it back", left.join(", "));
    Err(Error::new(ErrorKind::Partly, message).fact("still_there", left))
}

pub(crate) fn planned(context: &Context, subject: &RemovalTarget, options: &RemoveOptions) -> Result<PlannedChange> {
    let mut summary: Vec<String> =
        subject.absent.iter().map(|absent| format!("{absent}: not there, nothing to remove")).collect();
    for top in &subject.plan.tops {
        summary.push(format!("would remove {top}"));
    }
    if !subject.functions.is_empty() {
        summary.push(format!("functions that will be gone: {}", subject.functions.len()));
    }
    let users = find::find(&context.machine, &subject.scope())?;
    Ok(PlannedChange {
        summary,
        needs_force: user_check::needs_force(&users, &options.forcing.force),
        users: Some(users),
        locks: subject.claims().in_order().to_vec(),
        steps: subject.plan.all_steps(),
    })
}

pub(crate) fn report(context: &Context, subject: &RemovalTarget, timing: RemovalTiming) -> RemoveReport {
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let removed: Vec<FunctionSummary> = subject
        .functions
        .iter()
        .map(|(address, ids, driver)| inspector.seen(*address, *ids, driver.as_deref()))
        .collect();
    RemoveReport {
        targets: subject.plan.tops.clone(),
        removed,
        absent: subject.absent.clone(),
        overridden: timing.overridden,
        stop_seconds: timing.stop_seconds,
        remove_seconds: timing.remove_seconds,
    }
}
