//! The number of a physical function's VFs, and what is known of these.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::host::child::{Limits, PATIENCE};
use crate::host::text::escaped;
use crate::operation::absent::not_there;
use crate::operation::change::{Changed, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::obstacles::{obstacle, refuse_absent_driver};
use crate::operation::options::InPlaceOptions;
use crate::operation::removal_record;
use crate::operation::run::Operation;
use crate::operation::vf_drivers::{self, GivenDrivers, ProbeLimits, give_drivers};
use crate::operation::vf_settings;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::plan::action::{Action, VfDrivers};
use crate::plan::awake::MAY_SLEEP;
use crate::plan::drivers::NO_DRIVER;
use crate::plan::power::CONTROL;
use crate::plan::sriov::{KnownVfs, VfRequest, plan_vfs};
use crate::report::sriov::{SriovChange, SriovReport, VirtualFunction};
use crate::report::text::words::count;
use crate::resolve::functions::{Resolved, Resolver};
use crate::topology::attributes::{AUTOPROBE, Attributes};
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_link::{self, has_interface};
use crate::topology::vf_setting::{VfSetting, VfValue};
use crate::usage::find;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;
use crate::verify::capture::Observer;
use crate::verify::compare::is_same_device;
use crate::verify::overrides::{Overrides, read_overrides};
use crate::verify::record::{RemovedDevice, VirtualRecord};

/// The one physical function that a selector names.
///
/// # Errors
/// It names none, several, a VF, or a function that cannot have VFs.
pub(crate) fn physical_function(context: &Context, selector: &Selector) -> Result<PciAddress> {
    let sysfs = &context.machine.sysfs;
    let mut resolver = Resolver::new(sysfs);
    let found = match resolver.named(selector)? {
        Resolved::Functions(found) => found,
        Resolved::Absent(address) => return Err(not_there(context, selector, address)),
        Resolved::HostBridge(_) => {
            let message = format!("{selector}: is a host bridge; this takes one physical function");
            return Err(Error::usage(message).hint(format!("pcictl tree {selector} lists those below it")));
        }
    };
    context.tell_notes(&resolver.notes);
    let [address] = found[..] else { return Err(several(context, selector, &found)) };
    if let Some(physical) = physical_of(context, address) {
        let message = format!("{selector}: is a virtual function of {physical}; this takes the physical one");
        return Err(Error::usage(message).hint(format!("pcictl sriov {physical}")).about(address));
    }
    if total_vfs(context, address).is_none() {
        let message = format!("{selector}: cannot have virtual functions: no SR-IOV, or this kernel does not use it");
        return Err(Error::new(ErrorKind::Unsupported, message).about(address));
    }
    Ok(address)
}

fn several(context: &Context, selector: &Selector, found: &[PciAddress]) -> Error {
    let can = |address: &&PciAddress| total_vfs(context, **address).is_some();
    let physical: Vec<String> = found.iter().filter(can).map(ToString::to_string).collect();
    let error = Error::usage(format!("{selector}: names {} functions; this takes one", found.len()));
    match physical.is_empty() {
        true => error.hint("none of them can have virtual functions"),
        false => error.hint(format!("name the physical function: {}", physical.join(", "))),
    }
}

fn physical_of(context: &Context, address: PciAddress) -> Option<PciAddress> {
    let name = context.machine.sysfs.link_name(&format!("{}/physfn", address.sysfs_link())).ok().flatten()?;
    PciAddress::from_sysfs_name(&name)
}

/// How many VFs a function can have, none if it can have none at all.
fn total_vfs(context: &Context, address: PciAddress) -> Option<usize> {
    let total = Attributes::new(&context.machine.sysfs).total_vfs(&address.sysfs_link())?;
    usize::try_from(total).ok()
}

/// Whether drivers take VFs that appear.
fn autoprobe(context: &Context, physical: PciAddress) -> Option<bool> {
    Attributes::new(&context.machine.sysfs).autoprobe(&physical.sysfs_link())
}

/// What is asked for, against what the machine can do; then the plan.
///
/// # Errors
/// It cannot be done there, or is refused.
pub(crate) fn read(
    context: &Context,
    selector: &Selector,
    options: &InPlaceOptions,
    request: &VfRequest,
) -> Result<InPlaceTarget> {
    let physical = physical_function(context, selector)?;
    let (total, switch) = (total_vfs(context, physical).unwrap_or_default(), autoprobe(context, physical));
    if let Some(count) = request.count.filter(|count| *count > total) {
        let message = format!("{selector}: can have {} at most, not {count}", self::count(total, "VF"));
        let error = Error::usage(message).about(physical).fact("total_vfs", total);
        return Err(error.hint(format!("pcictl sriov {physical} {total} creates all that it can have")));
    }
    refuse_macs(context, selector, physical, request)?;
    if switch.is_none() && request.needs_switch() {
        let message = format!("{selector}: this kernel cannot keep drivers from VFs ({AUTOPROBE} is not there)");
        return Err(Error::new(ErrorKind::Unsupported, message).about(physical));
    }
    if let Some(driver) = request.driver.as_deref() {
        if driver == NO_DRIVER {
            return Err(Error::usage("'none' is not a driver").hint("--autoprobe off keeps drivers from VFs"));
        }
        refuse_absent_driver(context, driver)?;
    }
    let exact = [physical.to_string().parse::<Selector>()?];
    InPlaceTarget::read(context, &exact, options, "changing the VFs of", |topology, ids| {
        let [id] = *ids else { return Err(several(context, selector, &[])) };
        let known = known(context, topology, id, switch, request)?;
        plan_vfs(topology, id, &known, request)
    })
}

/// Whether these MACs can be set at all.
fn refuse_macs(context: &Context, selector: &Selector, physical: PciAddress, request: &VfRequest) -> Result<()> {
    let Some(highest) = request.macs.iter().map(|(vf, _)| *vf).max() else { return Ok(()) };
    let mut numbers: Vec<u32> = request.macs.iter().map(|(vf, _)| *vf).collect();
    order::sort(&mut numbers);
    if let Some([twice, _]) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage(format!("--mac: VF {twice} is named twice")));
    }
    let topology = Topology::load_around(&context.machine.sysfs, &[physical], Fields::PLAN)?;
    let there = topology.find(physical).map_or(0, |id| topology.virtual_functions(id).len());
    let vfs = request.count.unwrap_or(there);
    if usize::try_from(highest).map_or(true, |highest| highest >= vfs) {
        let verb = if request.count.is_some() { "is to have" } else { "has" };
        let message =
            format!("{selector}: {verb} {}, which are counted from 0; there is no VF {highest}", count(vfs, "VF"));
        return Err(Error::usage(message).about(physical).fact("vfs", vfs));
    }
    if !has_interface(&context.machine.sysfs, &physical.sysfs_link()) {
        let message = format!("{selector}: has no network interface here, by which alone MACs of VFs are set");
        let error = Error::new(ErrorKind::Unsupported, message).about(physical);
        return Err(error.hint("one in another network namespace is set from there (ip netns exec)"));
    }
    Ok(())
}

/// What is to be known of VFs for the plan.
fn known(
    context: &Context,
    topology: &Topology,
    physical: FunctionId,
    autoprobe: Option<bool>,
    request: &VfRequest,
) -> Result<KnownVfs> {
    let vfs: Vec<PciAddress> =
        topology.virtual_functions(physical).into_iter().map(|id| topology.function(id).address).collect();
    let is_restored = request.restore && request.count != Some(vfs.len());
    let needs_overrides = is_restored || request.driver.is_some();
    let overrides = if needs_overrides { read_overrides(&context.machine.sysfs, &vfs) } else { None };
    if is_restored && overrides.is_none() && !context.machine.sysfs.is_dump() {
        let message = "its VFs' driver overrides cannot be read without hanging, and will not be put back";
        context.tell_once(format!("{}: {message}", topology.function(physical).address));
    }
    let overrides = overrides.unwrap_or_default();
    let settings = match is_restored || !request.macs.is_empty() {
        true => vf_settings::to_keep(context, topology, physical),
        false => Vec::new(),
    };
    let was = if is_restored { to_restore(context, topology, physical, &overrides)? } else { Vec::new() };
    Ok(KnownVfs { autoprobe, overrides, settings, was })
}

/// What the VFs were: those that are there; else those that went with the physical function when it was removed.
fn to_restore(
    context: &Context,
    topology: &Topology,
    physical: FunctionId,
    overrides: &Overrides,
) -> Result<Vec<VirtualRecord>> {
    let now = Observer::new(&context.machine.sysfs).record(topology, physical, overrides);
    if !now.vfs.is_empty() {
        return Ok(now.vfs);
    }
    let is_it = |entry: &RemovedDevice| entry.record.place == now.place && is_same_device(&entry.record, &now);
    let entry = removal_record::entries(context).into_iter().find(is_it);
    let was = entry.map(|entry| entry.record.vfs).unwrap_or_default();
    if was.is_empty() {
        let address = now.address;
        let message =
            format!("{address}: has no VFs, and the ledger knows none that it had; there is nothing to restore");
        return Err(Error::new(ErrorKind::Failed, message).about(address).hint("without --restore they are made anew"));
    }
    Ok(was)
}

/// What the plan leads to, in words.
pub(crate) fn summary(subject: &InPlaceTarget, request: &VfRequest) -> Vec<String> {
    let Some(physical) = subject.addresses.first() else { return Vec::new() };
    let was = vfs_before(subject);
    let now = request.count.unwrap_or(was);
    if subject.plan.steps.is_empty() {
        return vec![format!("{physical}: has {} already, nothing to do", count(now, "VF"))];
    }
    let mut lines = Vec::new();
    if now != was {
        lines.push(format!("would change the number of VFs of {physical} from {was} to {now}"));
    }
    if request.restore && now != was {
        lines.push(
            "would have them be what those before them were: MACs, other settings, driver overrides, drivers"
                .to_owned(),
        );
    }
    if !request.macs.is_empty() {
        lines.push(format!("would set the MAC of {}", count(request.macs.len(), "VF")));
    }
    if let Some(driver) = &request.driver {
        lines.push(format!("would give each of them to {driver}"));
    }
    let drivers = drivers_to_come(subject);
    if drivers.is_some_and(|drivers| drivers.driver.is_none() && drivers.was.is_empty()) {
        lines.push("would have drivers asked for each of them".to_owned());
    }
    // What the steps do not show: they are noted as soon as it is known where the VFs are.
    match (drivers.filter(|drivers| drivers.autoprobe), request.autoprobe) {
        (Some(_), _) | (None, Some(true)) => lines.push(format!("would leave {AUTOPROBE} on")),
        (None, Some(false)) => lines.push(format!("would leave {AUTOPROBE} off")),
        (None, None) => {}
    }
    if drivers.is_some_and(|drivers| drivers.sleeps) {
        lines.push(format!("would set {CONTROL} of {physical} back to {MAY_SLEEP}"));
    }
    lines
}

fn vfs_before(subject: &InPlaceTarget) -> usize {
    let physical = subject.addresses.first().and_then(|address| subject.topology.find(*address));
    physical.map_or(0, |id| subject.topology.virtual_functions(id).len())
}

/// The step that creates VFs which drivers are to have.
fn drivers_to_come(subject: &InPlaceTarget) -> Option<&VfDrivers> {
    subject.plan.steps.iter().find_map(|step| match &step.action {
        Action::CreateVfs { drivers, .. } => drivers.as_ref(),
        _ => None,
    })
}

/// The second half, once the first is done.
///
/// # Errors
/// Somebody interrupted, there are fewer VFs than were asked for, or one of them has no driver.
pub(crate) fn finish(
    context: &Context,
    operation: &mut Operation,
    subject: &InPlaceTarget,
    request: &VfRequest,
    limits: ProbeLimits,
    changed: Changed,
) -> Result<SriovReport> {
    let Some(physical) = subject.addresses.first().copied() else {
        return Err(Error::new(ErrorKind::Failed, "there is no physical function"));
    };
    let begun = Instant::now();
    let given = match drivers_to_come(subject) {
        Some(drivers) => give_drivers(context, operation, physical, drivers, limits)
            .map_err(|error| error.partly("the number of VFs is changed"))?,
        None => GivenDrivers::default(),
    };
    let seconds = changed.seconds + begun.elapsed().as_secs_f64();
    let report = report(context, subject, Changed { seconds, ..changed })?;
    verify(context, &report, request, &given)?;
    Ok(report)
}

/// A driver may create fewer than it was told to (sriov_numvfs_store, drivers/pci/iov.c, only warns of that).
fn verify(context: &Context, report: &SriovReport, request: &VfRequest, given: &GivenDrivers) -> Result<()> {
    let (physical, there) = (report.address, report.vfs);
    if let Some(count) = request.count.filter(|count| *count != there) {
        let message = format!("{physical}: its driver made {there} of {count} VFs; dmesg may tell why");
        return Err(Error::new(ErrorKind::Partly, message).about(physical).fact("vfs", there));
    }
    refuse_other_macs(report, request)?;
    if let Some(first) = given.unset.first() {
        let why: Vec<&str> = given.unset.iter().map(|unset| unset.why.as_str()).collect();
        let message = format!("{physical}: has {}, and not as they were: {}", count(there, "VF"), why.join("; "));
        let error = Error::new(ErrorKind::Partly, message).about(physical);
        let error = error.fact("unset", serde_json::json!(given.unset));
        return Err(error.hint(again(context, physical, first.setting)));
    }
    let undriven = &given.undriven;
    let Some(first) = undriven.first() else { return Ok(()) };
    let names: Vec<String> = undriven.iter().map(|undriven| undriven.address.to_string()).collect();
    let message = format!(
        "{physical}: has {}, and {} of them no driver: {}; {}",
        count(there, "VF"),
        names.len(),
        names.join(", "),
        first.why
    );
    let error = Error::new(ErrorKind::Partly, message).about(first.address);
    let error = error.fact("undriven", serde_json::json!(undriven));
    Err(match (&request.driver, obstacle(context, first.address)) {
        // It sets overrides, too, where it did not come so far.
        (Some(driver), _) => error.hint(format!("pcictl sriov --driver {} {physical} tries again", escaped(driver))),
        (None, Some(hint)) => error.hint(hint),
        (None, None) => error.hint(match &first.driver_override {
            Some(wanted) => format!("pcictl override {} {} tries again", first.address, escaped(wanted)),
            None => format!("pcictl bind {} tries again", names.join(" ")),
        }),
    })
}

/// What tries once more to set this.
fn again(context: &Context, physical: PciAddress, setting: VfSetting) -> String {
    if let VfValue::Mac(mac) = setting.value {
        return format!("pcictl sriov {physical} --mac {}={mac} tries again", setting.vf);
    }
    let names = context.machine.sysfs.listed(&format!("{}/net", physical.sysfs_link()));
    format!("ip link set {} {setting} tries again", names.first().map_or("INTERFACE", String::as_str))
}

/// What was set is read back: a driver may take it for good and keep another one.
fn refuse_other_macs(report: &SriovReport, request: &VfRequest) -> Result<()> {
    for (index, wanted) in &request.macs {
        let vf = report.virtual_functions.iter().find(|vf| vf.index == Some(*index));
        let Some(Some(mac)) = vf.and_then(|vf| vf.mac.as_ref()) else { continue };
        if *mac != wanted.to_string() {
            let message = format!("{}: VF {index} has the MAC {mac} now, and not {wanted}", report.address);
            return Err(Error::new(ErrorKind::Partly, message).about(report.address));
        }
    }
    Ok(())
}

/// What became of the physical function.
///
/// # Errors
/// It went away.
pub(crate) fn report(context: &Context, subject: &InPlaceTarget, changed: Changed) -> Result<SriovReport> {
    let Some(physical) = subject.addresses.first().copied() else {
        return Err(Error::new(ErrorKind::Failed, "there is no physical function"));
    };
    let (topology, _) = vf_drivers::read(context, physical)?;
    let switched = subject.plan.steps.iter().find_map(|step| match &step.action {
        Action::Set { file, was, .. } if file == AUTOPROBE => Some(was == "1"),
        _ => None,
    });
    let report = describe(context, &topology, physical);
    let change = SriovChange {
        changed: !subject.plan.steps.is_empty(),
        was_vfs: vfs_before(subject),
        was_autoprobe: switched.or(report.autoprobe),
        overridden: changed.overridden,
        seconds: changed.seconds,
    };
    Ok(SriovReport { change: Some(change), ..report })
}

/// A physical function with its VFs and their users.
///
/// # Errors
/// It went away, or the list of protected devices is broken.
pub(crate) fn look(context: &Context, physical: PciAddress) -> Result<SriovReport> {
    let topology = Topology::load_around(&context.machine.sysfs, &[physical], Fields::PLAN)?;
    let mut report = describe(context, &topology, physical);
    let vfs = report.virtual_functions.iter().filter_map(|vf| topology.find(vf.address));
    let UsageReport { unchecked, notes, .. } = if report.vfs == 0 {
        UsageReport::default()
    } else {
        let users = find::find(&context.machine, &Scope::of(&topology, vfs))?;
        for vf in &mut report.virtual_functions {
            let address = vf.address;
            vf.users = Some(users.of(|user| user == address)).filter(|found| users.is_complete || !found.is_empty());
        }
        users
    };
    (report.unchecked, report.notes) = (unchecked, notes);
    Ok(report)
}

fn describe(context: &Context, topology: &Topology, physical: PciAddress) -> SriovReport {
    let id = topology.find(physical);
    let vfs = id.map(|id| topology.virtual_functions(id)).unwrap_or_default();
    let addresses: Vec<PciAddress> = vfs.iter().map(|id| topology.function(*id).address).collect();
    let sysfs = &context.machine.sysfs;
    let overrides = read_overrides(sysfs, &addresses);
    let macs = macs(context, topology, physical);
    let is_network = id.is_none_or(|id| vf_settings::is_network(topology, id));
    let mac = |index: Option<u32>| {
        let (_, mac) = macs.iter().find(|(known, _)| Some(*known) == index)?;
        Some(Some(mac.clone()))
    };
    let virtual_function = |id| {
        let function = topology.function(id);
        let index = function.virtual_of.and_then(|of| of.index);
        VirtualFunction {
            index,
            address: function.address,
            driver: function.driver.as_deref().map(str::to_owned),
            driver_override: overrides.as_ref().map(|overrides| overrides.get(&function.address).cloned()),
            mac: if is_network { mac(index) } else { Some(None) },
            users: None,
        }
    };
    SriovReport {
        address: physical,
        driver: id.and_then(|id| topology.function(id).driver.as_deref().map(str::to_owned)),
        total_vfs: total_vfs(context, physical),
        vfs: vfs.len(),
        autoprobe: autoprobe(context, physical),
        virtual_functions: vfs.into_iter().map(virtual_function).collect(),
        unchecked: Vec::new(),
        notes: Vec::new(),
        change: None,
    }
}

/// The MACs of the VFs by their index, as far as the kernel tells.
fn macs(context: &Context, topology: &Topology, physical: PciAddress) -> Vec<(u32, String)> {
    if topology.find(physical).is_none_or(|id| topology.virtual_functions(id).is_empty()) {
        return Vec::new();
    }
    let settings = vf_link::read(&context.machine.sysfs, physical, Limits::of_answer(PATIENCE)).unwrap_or_else(|why| {
        context.output.detail(&format!("{physical}: the MACs of its VFs cannot be told: {why}"));
        Vec::new()
    });
    let mac = |setting: VfSetting| match setting.value {
        VfValue::Mac(mac) => Some((setting.vf, mac.to_string())),
        _ => None,
    };
    settings.into_iter().filter_map(mac).collect()
}
