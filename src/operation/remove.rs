//! The two phases of a removal: stop the whole subtree bottom-up, then remove it in one short step.

use std::time::Instant;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::{Outcome, Outcomes};
use crate::lock::claims::Claims;
use crate::operation::acquire::LockTarget;
use crate::operation::change::remember_drivers;
use crate::operation::consumers::touched_consumers;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::RemoveOptions;
use crate::operation::removal_record;
use crate::operation::run::{Operation, refuse_if_being_removed};
use crate::operation::targets::{TargetOptions, Targets, went_away};
use crate::operation::user_check::{self, UserApproval};
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::pci::selector::Selector;
use crate::plan::action::Step;
use crate::plan::awake::sleepers;
use crate::plan::remove::{Removal, plan_removal};
use crate::report::change::{FunctionSummary, PlannedChange, RemoveReport};
use crate::report::inspector::Inspector;
use crate::report::text::words;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::find;
use crate::usage::model::User;
use crate::usage::scope::Scope;
use crate::verify::record::{DeviceRecord, RemovedDevice};

/// The steps of a removal, from the last look before the first write to the proof that all is gone; the same for
/// whoever removes, and never without the locks.
///
/// All that may wait for a disk comes before the first driver is stopped: it may be the driver of that disk.
/// `reset_steps` is done when all is stopped and still there.
pub(crate) fn stop_and_remove(
    context: &Context,
    operation: &mut Operation,
    subject: &RemovalTarget,
    options: &RemoveOptions,
    approval: UserApproval,
    reset_steps: &[Step],
) -> Result<RemovalTiming> {
    // The time by which a recovery knows an operation's own entries: the look, and the wait for the disk, came before.
    let entries: Vec<RemovedDevice> =
        subject.entries.iter().map(|entry| entry.clone().removed_at(operation.began())).collect();
    removal_record::save(context, &entries);
    let timing = Removing { context, subject, options }.perform(operation, approval, reset_steps);
    // Who goes on in the background finds what was written, and takes it back if it must.
    let timing = timing.inspect_err(|_| {
        if !operation.continues_in_background() {
            removal_record::discard_present(context, &entries);
        }
    })?;
    verify_gone(context, subject)?;
    Ok(timing)
}

/// How long the two phases took, and from whom it was taken.
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
    /// The directory of the port whose slot is switched off to remove them.
    port: Option<String>,
    /// What the ledger is to remember, once it was [prepared](RemovalTarget::prepare).
    entries: Vec<RemovedDevice>,
}

impl RemovalTarget {
    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &RemoveOptions) -> Result<Self> {
        let targets = TargetOptions {
            selection: options.change.selection,
            if_present: options.if_present,
            whole_device: options.whole_device,
            doing: "removing",
        };
        let Targets { addresses, mut absent, notes } = Targets::read(context, selectors, &targets)?;
        // What is really to be removed must be known, each function of it; for a plan its place and driver will do.
        let fields = if options.change.dry_run { Fields::PLAN } else { Fields::ALL };
        let topology = Topology::load_around(&context.machine.sysfs, &addresses, fields)?;
        let found: Vec<FunctionId> = addresses.iter().filter_map(|address| topology.find(*address)).collect();
        absent.extend(went_away(&topology, &addresses, options.if_present)?);
        let plan = plan_removal(&topology, &found)?;
        Ok(Self { absent, notes, ..Self::new(context, topology, plan)? })
    }

    /// What was planned on what was read.
    ///
    /// # Errors
    /// A driver elsewhere would end with one of these.
    pub(crate) fn new(context: &Context, topology: Topology, mut plan: Removal) -> Result<Self> {
        let sysfs = &context.machine.sysfs;
        plan.also_touching(&touched_consumers(sysfs, &topology, &plan.gone)?);
        plan.stop.keep_awake(false, &sleepers(sysfs, &topology));
        let facts = |address: &PciAddress| {
            let function = topology.function(topology.find(*address)?);
            Some((*address, function.ids, function.driver.as_deref().map(str::to_owned)))
        };
        let functions = plan.gone.iter().filter_map(facts).collect();
        let (absent, notes, entries) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { plan, topology, functions, absent, notes, port: None, entries })
    }

    /// The same by the power of a slot, which this port leads to.
    pub(crate) fn with_port(self, directory: String) -> Self {
        Self { port: Some(directory), ..self }
    }

    /// Takes down, under the locks and while all is still whole, what the ledger is to remember, and what it takes to put
    /// drivers and VFs back.
    pub(crate) fn prepare(&mut self, context: &Context) {
        let overrides = removal_record::overrides(context, &self.plan.gone);
        self.entries = removal_record::capture(context, &self.topology, &self.plan, &overrides);
        remember_drivers(context, &self.topology, &mut self.plan.stop, &overrides);
    }

    /// What the tops were, once it was [prepared](Self::prepare).
    pub(crate) fn tops(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.entries.iter().filter(|entry| entry.record.place == entry.top).map(|entry| &entry.record)
    }

    /// The directories of what is worked on.
    fn directories(&self) -> Vec<String> {
        let tops = self.plan.tops.iter().filter_map(|top| self.topology.find(*top));
        tops.map(|id| self.topology.path(id)).chain(self.port.clone()).collect()
    }

    /// Looks for users, before the locks are taken: a question to the operator may wait for hours.
    pub(crate) fn check_users(&self, context: &Context, options: &RemoveOptions) -> Result<UserApproval> {
        user_check::check(context, &self.scope(), &options.forcing, "removing", &self.what())
    }

    /// The functions whose users count.
    pub(crate) fn scope(&self) -> Scope {
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

/// A removal on its way.
struct Removing<'a> {
    context: &'a Context<'a>,
    subject: &'a RemovalTarget,
    options: &'a RemoveOptions,
}

impl Removing<'_> {
    /// From the last look at who uses it to the last write.
    fn perform(
        &self,
        operation: &mut Operation,
        approval: UserApproval,
        reset_steps: &[Step],
    ) -> Result<RemovalTiming> {
        let Self { context, subject, options } = self;
        let overridden = approval.recheck(context, &subject.scope(), &options.forcing, &subject.what())?;
        refuse_if_being_removed(context, &subject.directories())?;
        let (stop_seconds, stopped) = self.stop(operation)?;
        self.run_while_stopped(operation, &stopped, reset_steps)?;
        self.look_again(operation, &stopped)?;
        let remove_seconds = self.remove(operation, &stopped)?;
        Ok(RemovalTiming { overridden, stop_seconds, remove_seconds })
    }

    /// The stop phase: no kernel PCI lock is held while drivers let go. If one will not, the others are given back.
    fn stop(&self, operation: &mut Operation) -> Result<(f64, Outcomes)> {
        let begun = Instant::now();
        let steps = &self.subject.plan.stop.steps;
        let outcomes = operation.run(steps, self.options.jobs)?;
        match StepFailure::first(steps, &outcomes) {
            None => Ok((begun.elapsed().as_secs_f64(), outcomes)),
            Some(why) if self.options.no_rollback => Err(without_rollback(operation, why, &outcomes)),
            Some(why) => Err(operation.roll_back(steps, 0, &outcomes, why, "")),
        }
    }

    /// What is done between the two phases, a reset for one.
    fn run_while_stopped(&self, operation: &mut Operation, stopped: &Outcomes, steps: &[Step]) -> Result<()> {
        let outcomes = operation.run(steps, 1)?;
        match StepFailure::first(steps, &outcomes) {
            None => Ok(()),
            Some(why) => Err(self.give_up(operation, stopped, why, "")),
        }
    }

    /// The last look before the removal: a driver that was bound meanwhile would be stopped by the kernel under its one
    /// mutex, and a removal above would never let go of it.
    fn look_again(&self, operation: &mut Operation, stopped: &Outcomes) -> Result<()> {
        let Err(error) = self.refuse_if_changed() else { return Ok(()) };
        let hint = error.next().map(str::to_owned);
        Err(self.give_up(operation, stopped, StepFailure { message: error.to_string(), kind: error.kind(), hint }, ""))
    }

    fn refuse_if_changed(&self) -> Result<()> {
        let sysfs = &self.context.machine.sysfs;
        let topology = Topology::load_around(sysfs, &self.subject.plan.tops, Fields::PLAN)?;
        let tops = self.subject.plan.tops.iter().filter_map(|top| topology.find(*top));
        for function in tops.flat_map(|top| topology.subtree(top)).map(|id| topology.function(id)) {
            if let Some(driver) = &function.driver {
                let message =
                    format!("{}: driver {driver} was bound to it while it was being removed", function.address);
                let error = Error::new(ErrorKind::Failed, message).about(function.address);
                return Err(error.hint("see what binds it (udev, driverctl), then try again"));
            }
        }
        refuse_if_being_removed(self.context, &self.subject.directories())
    }

    /// The remove phase: short, for nothing is left to be stopped.
    fn remove(&self, operation: &mut Operation, stopped: &Outcomes) -> Result<f64> {
        let begun = Instant::now();
        let steps = &self.subject.plan.remove.steps;
        let outcomes = operation.run(steps, 1)?;
        let why = StepFailure::first(steps, &outcomes).filter(|_| !outcomes.is_complete() && !self.was_off(&outcomes));
        let Some(mut why) = why else { return Ok(begun.elapsed().as_secs_f64()) };
        if self.subject.port.is_some() && outcomes.failure().is_some_and(|(_, errno)| errno == Errno::ENODEV) {
            // What came by a rescan of the bus pciehp does not know of.
            why.hint.get_or_insert_with(|| {
                format!("if the port takes the slot for off already: pcictl remove {}", self.tops())
            });
        }
        let removed: Vec<String> = steps
            .iter()
            .zip(outcomes.each())
            .filter(|(_, outcome)| matches!(outcome, Outcome::Done(..)))
            .map(|(step, _)| words::describe_action(&step.action))
            .collect();
        let lasting = if removed.is_empty() { String::new() } else { format!("done before: {}", removed.join(", ")) };
        Err(self.give_up(operation, stopped, why, &lasting))
    }

    fn tops(&self) -> String {
        let tops: Vec<String> = self.subject.plan.tops.iter().map(ToString::to_string).collect();
        tops.join(" ")
    }

    /// Whether a slot in which nothing was had been switched off before: pciehp then refuses to do it again, though a port
    /// without a power controller says that the power is on (pciehp_sysfs_disable_slot in drivers/pci/hotplug/pciehp_ctrl.c).
    fn was_off(&self, outcomes: &Outcomes) -> bool {
        let is_slot = self.subject.port.is_some() && self.subject.plan.gone.is_empty();
        is_slot && outcomes.failure().is_some_and(|(_, errno)| errno == Errno::ENODEV)
    }

    /// Gives drivers and VFs back to what is still there, unless that was not wanted. `stopped` says how the steps of the
    /// stop phase ended: what was so before is not put back.
    fn give_up(&self, operation: &mut Operation, stopped: &Outcomes, why: StepFailure, lasting: &str) -> Error {
        if self.options.no_rollback {
            return without_rollback(operation, why, stopped);
        }
        let steps = &self.subject.plan.stop.steps;
        let kept = stopped.to_put_back(&self.context.machine.sysfs, steps);
        operation.roll_back(steps, 0, &kept, why, lasting)
    }
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

/// What would be gone: the targets by name, and the disks, interfaces and the like that go with each function.
fn losses(context: &Context, subject: &RemovalTarget) -> Vec<String> {
    /// So many functions are looked at; a card may have hundreds of virtual ones.
    const MOST: usize = 32;
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let mut lines = Vec::new();
    for top in &subject.plan.tops {
        let ids = subject.functions.iter().find(|(address, ..)| address == top).and_then(|(_, ids, _)| *ids);
        let what = ids.map(|ids| format!(": {}", inspector.description(ids))).unwrap_or_default();
        lines.push(format!("would remove {top}{what}"));
    }
    match subject.functions.len() {
        0 | 1 => {}
        count => lines.push(format!("{count} functions would be removed")),
    }
    let has_things = |ids: &Option<Ids>| ids.as_ref().is_none_or(|ids| !ids.is_bridge());
    let endpoints: Vec<PciAddress> =
        subject.functions.iter().filter(|(_, ids, _)| has_things(ids)).map(|(address, ..)| *address).collect();
    for address in endpoints.iter().take(MOST) {
        let things = inspector.things_on(*address);
        if !things.is_empty() {
            lines.push(format!("goes away   {address}: {}", things.join(", ")));
        }
    }
    if endpoints.len() > MOST {
        lines.push(format!("goes away   and what {} more functions have", endpoints.len() - MOST));
    }
    lines
}

pub(crate) fn planned(context: &Context, subject: &RemovalTarget, options: &RemoveOptions) -> Result<PlannedChange> {
    let mut summary: Vec<String> =
        subject.absent.iter().map(|absent| format!("{absent}: not there, nothing to remove")).collect();
    summary.append(&mut losses(context, subject));
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
