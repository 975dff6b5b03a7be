//! Which functions a reset hits, and how; what came of it.

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::host::sysfs::Sysfs;
use crate::operation::change::{Changed, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::options::{ForceOptions, ResetOptions};
use crate::operation::user_check;
use crate::pci::address::{PciAddress, listed};
use crate::pci::selector::Selector;
use crate::plan::action::{Action, Plan};
use crate::plan::reset_in_place::{ChosenReset, RESET_METHOD, plan_reset_in_place};
use crate::report::reset::{FunctionReset, ResetListing, ResetReport, ResetWay, ResetWays};
use crate::report::text::reset::in_turn;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Parent, Topology};
use crate::topology::reset_methods::{Reach, ResetMethods, needs_bus_alone, others_on_bus, resetting_bridge};
use crate::usage::scope::Scope;
use crate::verify::function_state::FunctionState;

/// Reads what is to be reset, with all that is on its bus where that may be hit.
///
/// # Errors
/// A function cannot be reset like that, or what it would hit besides is in use.
pub(crate) fn read(context: &Context, selectors: &[Selector], options: &ResetOptions) -> Result<InPlaceTarget> {
    let also = |addresses: &[PciAddress]| bridges_above(&context.machine.sysfs, addresses);
    InPlaceTarget::read_with(context, selectors, &options.in_place, "resetting", &also, |topology, ids| {
        plan(context, topology, ids, options)
    })
}

fn plan(context: &Context, topology: &Topology, ids: &[FunctionId], options: &ResetOptions) -> Result<Plan> {
    let forcing = &options.in_place.forcing;
    let resets = ids.iter().map(|id| choose(context, topology, *id, options)).collect::<Result<Vec<_>>>()?;
    user_check::refuse_busy_hive(context, &Scope::of(topology, ids.iter().copied()), forcing)?;
    plan_reset_in_place(topology, &resets, options.keep_driver)
}

/// The bridges whose buses these functions are on; all of them, as what may be hit is known only when it is read.
fn bridges_above(sysfs: &Sysfs, addresses: &[PciAddress]) -> Result<Vec<PciAddress>> {
    let topology = Topology::load_only(sysfs, addresses, Fields::default())?;
    let bridge = |address: &PciAddress| match topology.function(topology.find(*address)?).parent {
        Parent::Function(bridge) => Some(topology.function(bridge).address),
        Parent::HostBridge(_) => None,
    };
    Ok(addresses.iter().filter_map(bridge).collect())
}

/// How a function is to be reset.
fn choose(context: &Context, topology: &Topology, id: FunctionId, options: &ResetOptions) -> Result<ChosenReset> {
    let (sysfs, address) = (&context.machine.sysfs, topology.function(id).address);
    let methods = ResetMethods::read(sysfs, &topology.path(id));
    if methods != ResetMethods::Missing {
        refuse_with_functions_below(topology, id)?;
    }
    let listed = match &methods {
        ResetMethods::Missing => return Err(no_reset(sysfs, topology, id)),
        ResetMethods::Unknown if options.method.is_none() => {
            return Ok(ChosenReset { id, hits_bus: true, set: None });
        }
        ResetMethods::Unknown => {
            let message = format!("{address}: this kernel lets nobody choose a method; Linux 5.15 and newer do");
            return Err(unsupported(address, message).hint(format!("pcictl reset {address} takes the one it has")));
        }
        ResetMethods::Listed(listed) => listed,
    };
    let first = listed.first().ok_or_else(|| {
        let message = format!("{address}: its resets are disabled ({RESET_METHOD} is empty)");
        unsupported(address, message).hint(format!("writing 'default' to its {RESET_METHOD} enables them"))
    })?;
    let method = options.method.as_ref().unwrap_or(first);
    if !listed.contains(method) {
        let message = format!("{address}: cannot be reset by '{method}', only by {}", listed.join(", "));
        return Err(unsupported(address, message).fact("methods", listed.clone()));
    }
    let set = (method != first).then(|| (method.clone(), listed.join(" ")));
    let others = others_on_bus(topology, id, options.keep_driver);
    if !others.is_empty() {
        let what = Shared { context, topology, id, listed, others };
        what.refuse(method, set.is_some(), &options.in_place.forcing)?;
    }
    let hits_bus = if set.is_some() { Reach::of(method) == Reach::Bus } else { methods.may_hit_bus() };
    Ok(ChosenReset { id, hits_bus, set })
}

/// Refuses a bridge that leads to something: its reset is one of all below it (PCI Express Base Specification 6.0, section
/// 6.6.1), and the kernel puts back the configuration of the function that was asked for alone (pci_reset_function in
/// drivers/pci/pci.c). What is below would have neither addresses nor bus mastering, and its drivers would fail.
fn refuse_with_functions_below(topology: &Topology, id: FunctionId) -> Result<()> {
    let below = functions_below(topology, id);
    if below.is_empty() {
        return Ok(());
    }
    let address = topology.function(id).address;
    let message = format!(
        "{address}: is a bridge; its reset would also reset {}, which the kernel would not set up again",
        listed(&below)
    );
    let error = unsupported(address, message).fact("below", below.iter().map(ToString::to_string).collect::<Vec<_>>());
    Err(error.hint(format!("pcictl replug --reset {address} removes all of it, and sets it up anew after the reset")))
}

/// A function that is not alone on its bus.
struct Shared<'a> {
    context: &'a Context<'a>,
    topology: &'a Topology,
    id: FunctionId,
    listed: &'a [String],
    others: Vec<FunctionId>,
}

impl Shared<'_> {
    /// Refuses what the kernel will not do beside others.
    fn refuse(&self, method: &str, is_set: bool, forcing: &ForceOptions) -> Result<()> {
        let (address, others) = (self.topology.function(self.id).address, self.names());
        if needs_bus_alone(method) {
            // Who is in use there is the more urgent thing to say.
            let neighbors = Scope::of(self.topology, self.topology.neighbors(self.id));
            let what = format!("{address}: a reset by {method} would hit {}", others.join(", "));
            user_check::refuse_busy_others(self.context, &neighbors, forcing, &what)?;
            let message = format!(
                "{address}: the kernel resets a bus only where nothing else is on it; there is {}",
                others.join(", ")
            );
            return Err(self.hinted(unsupported(address, message)).fact("others_on_bus", others));
        }
        // reset_method_store (drivers/pci/pci.c) tries each method that it is given, and takes none that would not do now.
        let lost = self.listed.iter().find(|listed| needs_bus_alone(listed)).filter(|_| is_set);
        let Some(lost) = lost else { return Ok(()) };
        let message = format!(
            "{address}: the kernel would not take {lost} back into its {RESET_METHOD} beside {}",
            others.join(", ")
        );
        Err(unsupported(address, message).fact("others_on_bus", others))
    }

    fn names(&self) -> Vec<String> {
        self.others.iter().map(|id| self.topology.function(*id).address.to_string()).collect()
    }

    fn hinted(&self, error: Error) -> Error {
        let address = self.topology.function(self.id).address;
        match self.listed.iter().find(|method| Reach::of(method) == Reach::Function) {
            Some(alone) => error.hint(format!("--method {alone} resets it alone")),
            None => error.hint(format!(
                "pcictl replug --power-cycle {address} with all of these, where their slot can be switched"
            )),
        }
    }
}

fn no_reset(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Error {
    let address = topology.function(id).address;
    let error = unsupported(address, format!("{address}: the kernel has no way to reset it"));
    match resetting_bridge(sysfs, topology, id) {
        Some(_) => error.hint(format!("pcictl replug --reset {address} removes it and resets its bus")),
        None => error.hint(format!("pcictl replug --power-cycle {address} helps where its slot can be switched")),
    }
}

/// What a bridge leads to.
fn functions_below(topology: &Topology, id: FunctionId) -> Vec<PciAddress> {
    let below = topology.below(id).into_iter().flat_map(|child| topology.subtree(child));
    below.map(|child| topology.function(child).address).collect()
}

fn unsupported(address: PciAddress, message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message).about(address)
}

/// What would be done, a line a function.
pub(crate) fn summary(context: &Context, subject: &InPlaceTarget, options: &ResetOptions) -> Vec<String> {
    let keeps = options.keep_driver;
    let line = |address: &PciAddress| {
        let tried = methods_tried(context, *address, options);
        let how = tried.map_or_else(String::new, |tried| format!(" by {}", in_turn(&tried)));
        match subject.driver(*address) {
            Some(driver) if keeps => format!("would reset {address}{how}, its driver {driver} at work"),
            Some(driver) => format!("would reset {address}{how}, and give it back to {driver}"),
            None => format!("would reset {address}{how}"),
        }
    };
    let mut lines: Vec<String> = subject.addresses.iter().map(line).collect();
    if subject.plan.steps.iter().any(|step| step.action.can_be_undone()) {
        lines.push("what these steps stop or set is put back afterwards".to_owned());
    }
    lines
}

/// The methods that a reset tries in turn; none if the kernel does not tell.
fn methods_tried(context: &Context, address: PciAddress, options: &ResetOptions) -> Option<Vec<String>> {
    let methods = ResetMethods::read(&context.machine.sysfs, &address.sysfs_link());
    let listed = methods.listed()?;
    match &options.method {
        Some(only) if listed.first() != Some(only) => Some(vec![only.clone()]),
        _ => Some(listed.to_vec()),
    }
}

/// What came of it, compared with what was before.
pub(crate) fn report(
    context: &Context,
    subject: &InPlaceTarget,
    changed: Changed,
    options: &ResetOptions,
) -> ResetReport {
    let function = |was: &FunctionState| {
        let address = was.address();
        let (differences, errors) = was.compare_with_now(&context.machine.sysfs);
        FunctionReset {
            address,
            methods: methods_tried(context, address, options),
            driver: context.machine.sysfs.driver(&address.sysfs_link()),
            driver_kept: options.keep_driver && was.driver().is_some(),
            vfs: was.vfs(),
            differences,
            errors,
        }
    };
    ResetReport {
        functions: subject.before.iter().map(function).collect(),
        changed: subject.plan.steps.iter().any(|step| matches!(step.action, Action::Reset { .. })),
        overridden: changed.overridden,
        seconds: changed.seconds,
    }
}

/// 6 if something is not as before.
pub(crate) fn status(report: &ResetReport) -> ExitStatus {
    let differs = report.functions.iter().any(|function| function.differences.iter().any(|found| found.matters));
    if differs { ExitStatus::Unexpected } else { ExitStatus::Done }
}

/// How these functions can be reset.
///
/// # Errors
/// They cannot be read.
pub(crate) fn list(sysfs: &Sysfs, addresses: &[PciAddress]) -> Result<ResetListing> {
    let read = [addresses, &bridges_above(sysfs, addresses)?].concat();
    let topology = Topology::load_around(sysfs, &read, Fields::PLAN)?;
    let found = addresses.iter().filter_map(|address| topology.find(*address));
    Ok(ResetListing { functions: found.map(|id| ways(sysfs, &topology, id)).collect() })
}

fn ways(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> ResetWays {
    let address_of = |id: FunctionId| topology.function(id).address;
    let methods = ResetMethods::read(sysfs, &topology.path(id));
    let way = |method: &String| ResetWay {
        method: method.clone(),
        hits: Reach::of(method),
        needs_bus_alone: needs_bus_alone(method),
    };
    ResetWays {
        address: address_of(id),
        can_reset: methods != ResetMethods::Missing,
        methods: match &methods {
            ResetMethods::Unknown => None,
            ResetMethods::Missing => Some(Vec::new()),
            ResetMethods::Listed(listed) => Some(listed.iter().map(way).collect()),
        },
        below: functions_below(topology, id),
        others_on_bus: others_on_bus(topology, id, false).into_iter().map(address_of).collect(),
        resetting_bridge: resetting_bridge(sysfs, topology, id).map(address_of),
    }
}
