//! A change after which the functions are still there: their drivers, their settings.
//!
//! The steps are those of the contract: look for users, take the locks, look again, write, verify. Each write is a step of a
//! plan, so all of it can be taken back, shown by a dry run, and brought to an end by `pcictl recover`.

use std::time::Instant;

use crate::error::{ErrorKind, ExitStatus, Result};
use crate::execute::outcome::{Outcome, Outcomes};
use crate::host::text::escaped;
use crate::lock::claims::Claims;
use crate::operation::acquire::{LockTarget, acquire_and_reread};
use crate::operation::consumers::touched_consumers;
use crate::operation::context::Context;
use crate::operation::failure::{StepFailure, lacks_driver};
use crate::operation::obstacles::obstacle;
use crate::operation::options::InPlaceOptions;
use crate::operation::removal_record;
use crate::operation::run::{Operation, refuse_if_being_removed, refuse_if_stuck};
use crate::operation::targets::{TargetOptions, Targets, went_away};
use crate::operation::user_check::{self, UserApproval};
use crate::operation::vf_settings;
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::pci::selector::Selector;
use crate::plan::action::{Action, Plan, Step, ends_as_it_began};
use crate::plan::awake::sleepers;
use crate::plan::step_state::has_led_to_driver;
use crate::plan::stop::remember;
use crate::report::change::PlannedChange;
use crate::report::text::words;
use crate::terminal::document::Document;
use crate::topology::attributes::Attributes;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::find;
use crate::usage::model::User;
use crate::usage::scope::Scope;
use crate::verify::function_state::FunctionState;
use crate::verify::overrides::Overrides;

/// What is to be changed, as it was read at one moment.
pub(crate) struct InPlaceTarget {
    /// The functions that were named, in that order, each once.
    pub(crate) addresses: Vec<PciAddress>,
    pub(crate) topology: Topology,
    pub(crate) plan: Plan,
    /// What the functions that are worked on are.
    functions: Vec<(PciAddress, Option<Ids>, Option<String>)>,
    pub(crate) notes: Vec<String>,
    /// What is done to them: `unbinding`.
    doing: &'static str,
    /// What the functions that are reset were, once it was [prepared](Self::prepare).
    pub(crate) before: Vec<FunctionState>,
}

/// A change that was made.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// The users that were overridden.
    pub(crate) overridden: Vec<User>,
    /// How long the writes took.
    pub(crate) seconds: f64,
}

impl InPlaceTarget {
    /// Resolves the selectors, reads the functions with all that is around them, and plans.
    ///
    /// # Errors
    /// A selector does not name one function, or the change is refused.
    pub(crate) fn read(
        context: &Context,
        selectors: &[Selector],
        options: &InPlaceOptions,
        doing: &'static str,
        plan: impl FnOnce(&Topology, &[FunctionId]) -> Result<Plan>,
    ) -> Result<Self> {
        Self::read_with(context, selectors, options, doing, &|_| Ok(Vec::new()), plan)
    }

    /// The same, with functions read that `also` names besides, and all below them.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) fn read_with(
        context: &Context,
        selectors: &[Selector],
        options: &InPlaceOptions,
        doing: &'static str,
        also: &dyn Fn(&[PciAddress]) -> Result<Vec<PciAddress>>,
        plan: impl FnOnce(&Topology, &[FunctionId]) -> Result<Plan>,
    ) -> Result<Self> {
        let sysfs = &context.machine.sysfs;
        let InPlaceOptions { change, whole_device, .. } = options;
        let targets =
            TargetOptions { selection: change.selection, if_present: false, whole_device: *whole_device, doing };
        let Targets { mut addresses, notes, .. } = Targets::read(context, selectors, &targets)?;
        let mut seen = Vec::new();
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        let read = [addresses.as_slice(), &also(&addresses)?].concat();
        let topology = Topology::load_around(sysfs, &read, Fields::ALL)?;
        went_away(&topology, &addresses, false)?;
        let ids: Vec<FunctionId> = addresses.iter().filter_map(|address| topology.find(*address)).collect();
        let mut plan = plan(&topology, &ids)?;
        plan.keep_awake(true, &sleepers(sysfs, &topology));
        let unbound = |step: &Step| matches!(step.action, Action::Unbind { .. }).then(|| step.action.address())?;
        let unbound: Vec<PciAddress> = plan.steps.iter().filter_map(unbound).collect();
        plan.also_touching(&touched_consumers(sysfs, &topology, &unbound)?);
        let worked_on = addresses.iter().copied().chain(plan.steps.iter().filter_map(|step| step.action.address()));
        let facts = |address: PciAddress| {
            let function = topology.function(topology.find(address)?);
            Some((address, function.ids, function.driver.as_deref().map(str::to_owned)))
        };
        let functions = worked_on.filter_map(facts).collect();
        Ok(Self { addresses, plan, functions, notes, topology, doing, before: Vec::new() })
    }

    /// The driver that a function had.
    pub(crate) fn driver(&self, address: PciAddress) -> Option<String> {
        self.topology.function(self.topology.find(address)?).driver.as_deref().map(str::to_owned)
    }

    /// The functions whose users count: those that lose their driver or their state, and all below them.
    fn scope(&self) -> Scope {
        let steps = self.plan.steps.iter().filter(|step| step.action.disturbs_users());
        Scope::of(&self.topology, steps.flat_map(|step| self.hit_by(&step.action)))
    }

    fn hit_by(&self, action: &Action) -> Vec<FunctionId> {
        let Some(id) = action.address().and_then(|address| self.topology.find(address)) else { return Vec::new() };
        let mut hit = match action {
            // The physical function itself stays at work.
            Action::SetVfs { .. } => self.topology.virtual_functions(id),
            Action::SetVf { setting, .. } => {
                let is_it = |vf: &FunctionId| {
                    self.topology.function(*vf).virtual_of.is_some_and(|of| of.index == Some(setting.vf))
                };
                self.topology.virtual_functions(id).into_iter().filter(is_it).collect()
            }
            _ => self.topology.subtree(id),
        };
        if matches!(action, Action::Reset { hits_bus: true, .. }) {
            hit.extend(self.topology.neighbors(id));
        }
        hit
    }

    /// The targets, for messages.
    fn what(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn disturbs_users(&self) -> bool {
        // What is done to VFs that are yet to come disturbs nobody.
        let has_users = |action: &Action| action.disturbs_users() && !self.hit_by(action).is_empty();
        self.plan.steps.iter().any(|step| has_users(&step.action))
    }

    fn directories(&self) -> Vec<String> {
        self.functions
            .iter()
            .filter_map(|(address, ..)| self.topology.find(*address))
            .map(|id| self.topology.path(id))
            .collect()
    }

    /// Takes down, under the locks, what it takes to put drivers and VFs back.
    fn prepare(&mut self, context: &Context) {
        let stopped: Vec<PciAddress> = stopped(&self.plan.steps)
            .filter_map(|address| self.topology.find(address))
            .flat_map(|id| self.topology.subtree(id))
            .map(|id| self.topology.function(id).address)
            .collect();
        if !stopped.is_empty() {
            let overrides = removal_record::overrides(context, &stopped);
            remember_drivers(context, &self.topology, &mut self.plan, &overrides);
        }
        if ends_as_it_began(&self.plan.steps) {
            self.before = FunctionState::of_all(&context.machine.sysfs, &self.topology, &self.addresses);
        }
    }
}

impl LockTarget for InPlaceTarget {
    fn claims(&self) -> &Claims {
        &self.plan.claims
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.plan == other.plan && self.functions == other.functions
    }
}

/// The functions that these steps stop, with physical ones whose VFs go.
fn stopped(steps: &[Step]) -> impl Iterator<Item = PciAddress> {
    steps.iter().filter(|step| step.action.stops_drivers()).filter_map(|step| step.action.address())
}

/// Notes in the steps that stop drivers what it takes to put these back.
pub(crate) fn remember_drivers(context: &Context, topology: &Topology, plan: &mut Plan, overrides: &Overrides) {
    let attributes = Attributes::new(&context.machine.sysfs);
    let autoprobe = |physical: PciAddress| attributes.autoprobe(&physical.sysfs_link()) == Some(true);
    let settings = |physical: PciAddress| {
        topology.find(physical).map(|id| vf_settings::to_keep(context, topology, id)).unwrap_or_default()
    };
    remember(plan, topology, overrides, autoprobe, settings);
}

/// What a dry run prints; `summary` says what it is about.
fn planned(
    context: &Context,
    subject: &InPlaceTarget,
    options: &InPlaceOptions,
    summary: Vec<String>,
) -> Result<PlannedChange> {
    let users = if subject.disturbs_users() { Some(find::find(&context.machine, &subject.scope())?) } else { None };
    let needs_force = users.as_ref().map(|users| user_check::needs_force(users, &options.forcing.force));
    Ok(PlannedChange {
        summary,
        needs_force: needs_force.unwrap_or_default(),
        users,
        locks: subject.claims().in_order().to_vec(),
        steps: subject.plan.steps.clone(),
    })
}

/// What is left when the planned steps are done, up to the report.
type Finish<'a, R> = dyn Fn(Option<&mut Operation>, &InPlaceTarget, Changed) -> Result<R> + 'a;

/// A command that changes functions in place: `read` plans, `summary` says what for, `report` looks at what came of it, under
/// the locks.
///
/// # Errors
/// It is refused, somebody else has a lock, or a write fails; then all that can be is put back.
pub(crate) fn run<R: Document>(
    context: &Context,
    options: &InPlaceOptions,
    read: &dyn Fn() -> Result<InPlaceTarget>,
    summary: &dyn Fn(&InPlaceTarget) -> Vec<String>,
    report: &dyn Fn(&InPlaceTarget, Changed) -> Result<R>,
    text: fn(&R) -> String,
) -> Result<ExitStatus> {
    run_with(context, options, read, summary, &|_, subject, changed| report(subject, changed), text, |_| {
        ExitStatus::Done
    })
}

/// The same where more is to be done when the planned steps are, and the report decides the status: `finish` gets the
/// operation, none if there was nothing to do.
///
/// # Errors
/// As for [`run`], and those of `finish`, which puts back itself what it changed.
pub(crate) fn run_with<R: Document>(
    context: &Context,
    options: &InPlaceOptions,
    read: &dyn Fn() -> Result<InPlaceTarget>,
    summary: &dyn Fn(&InPlaceTarget) -> Vec<String>,
    finish: &Finish<R>,
    text: fn(&R) -> String,
    status: fn(&R) -> ExitStatus,
) -> Result<ExitStatus> {
    context.refuse_in_dump(&options.change)?;
    let subject = read()?;
    context.tell_notes(&subject.notes);
    if options.change.dry_run {
        let plan = planned(context, &subject, options, summary(&subject))?;
        context.print_plan(&plan);
        return Ok(plan.status());
    }
    let report = if subject.plan.steps.is_empty() {
        finish(None, &subject, Changed::default())?
    } else {
        change(context, options, subject, read, finish)?
    };
    context.output.outcome(&report, text);
    Ok(status(&report))
}

/// From the check for users to the report.
fn change<R>(
    context: &Context,
    options: &InPlaceOptions,
    subject: InPlaceTarget,
    read: &dyn Fn() -> Result<InPlaceTarget>,
    finish: &Finish<R>,
) -> Result<R> {
    refuse_if_stuck(context)?;
    let approval = approve(context, options, &subject)?;
    let (held, mut subject) = acquire_and_reread(context, &options.change, subject, read)?;
    subject.prepare(context);
    let mut operation = Operation::begin(context, held, &subject.plan.steps, options.change.timeout)?;
    let changed = perform(context, &mut operation, &subject, options, approval);
    let report = changed.and_then(|changed| finish(Some(&mut operation), &subject, changed));
    operation.end(&report);
    report
}

/// Users are looked for only where a driver or a device is stopped.
fn approve(context: &Context, options: &InPlaceOptions, subject: &InPlaceTarget) -> Result<Option<UserApproval>> {
    if !subject.disturbs_users() {
        return Ok(None);
    }
    user_check::check(context, &subject.scope(), &options.forcing, subject.doing, &subject.what()).map(Some)
}

fn perform(
    context: &Context,
    operation: &mut Operation,
    subject: &InPlaceTarget,
    options: &InPlaceOptions,
    approval: Option<UserApproval>,
) -> Result<Changed> {
    let overridden = match approval {
        Some(approval) => approval.recheck(context, &subject.scope(), &options.forcing, &subject.what())?,
        None => Vec::new(),
    };
    refuse_if_being_removed(context, &subject.directories())?;
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let outcomes = operation.run(steps, options.jobs)?;
    let is_temporary = ends_as_it_began(steps);
    // Interrupted when nothing was left to do: then it is only put back.
    match StepFailure::first(steps, &outcomes).filter(|_| !(is_temporary && outcomes.is_complete())) {
        None => {
            if is_temporary {
                operation.put_back(steps, 0, &outcomes.to_put_back(&context.machine.sysfs, steps))?;
            }
            Ok(Changed { overridden, seconds: begun.elapsed().as_secs_f64() })
        }
        Some(why) => {
            let mut why = no_sriov(context, steps, &outcomes).unwrap_or(why);
            if let Some(hint) = kept_away(context, steps, &outcomes) {
                why.hint.get_or_insert(hint);
            }
            let is_done = |index: usize| matches!(outcomes.each()[index], Outcome::Done(..));
            let kept = outcomes.to_put_back(&context.machine.sysfs, steps);
            let kept = kept.only(|index| !has_led_to_driver(steps, index, is_done));
            Err(operation.roll_back(steps, 0, &kept, why, &lasting(steps, &outcomes)))
        }
    }
}

/// What keeps the driver away that a failed step was to bring; not where the step before it chose that driver.
fn kept_away(context: &Context, steps: &[Step], outcomes: &Outcomes) -> Option<String> {
    match steps[outcomes.failure()?.0].action {
        Action::Bind { address, .. } | Action::Probe { address, driver: None } => obstacle(context, address),
        _ => None,
    }
}

/// That the physical function has a driver which cannot do it.
fn no_sriov(context: &Context, steps: &[Step], outcomes: &Outcomes) -> Option<StepFailure> {
    let (index, errno) = outcomes.failure().filter(|_| !outcomes.interrupted)?;
    let action = &steps[index].action;
    let Action::CreateVfs { address, .. } = action else { return None };
    // None is there either where the function has gone meanwhile.
    let driver = context.machine.sysfs.driver(&address.sysfs_link()).filter(|_| lacks_driver(action, errno))?;
    let message = format!("{}: its driver {} does not support that", words::describe_action(action), escaped(&driver));
    let hint = format!("pcictl override {address} DRIVER gives it to one that does");
    Some(StepFailure { hint: Some(hint), ..StepFailure::new(ErrorKind::Unsupported, message) })
}

/// What was done for good.
fn lasting(steps: &[Step], outcomes: &Outcomes) -> String {
    let done = steps.iter().zip(outcomes.each()).filter(|(_, outcome)| outcome.has_changed());
    let given = done.map(|(step, _)| &step.action).filter(|action| action.gives_driver());
    let given: Vec<String> = given.map(words::describe_action).collect();
    if given.is_empty() { String::new() } else { format!("done before: {}", given.join(", ")) }
}
