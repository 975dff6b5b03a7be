//! `pcictl show`

use std::collections::BTreeSet;

use crate::cli::args::ShowArgs;
use crate::error::{Error, ExitStatus, Result};
use crate::host::modalias::Modules;
use crate::lock::files::LockDirectory;
use crate::lock::holders::Holder;
use crate::operation::absent::not_there;
use crate::operation::acquire::other_world;
use crate::operation::context::Context;
use crate::operation::{power, user_check};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::plan::remove::plan_removal;
use crate::report::change::{PlannedChange, PlannedRemoval};
use crate::report::columns::Column;
use crate::report::inspector::Inspector;
use crate::report::rows::{FullFunction, PlannedScan, ProtectedReport};
use crate::report::text::show;
use crate::resolve::below::iommu_members;
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::scan_target::bus_of_present;
use crate::resolve::siblings::siblings;
use crate::state::driverctl::Driverctl;
use crate::terminal::document::Document;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::paths::bus_below;
use crate::topology::regions::Region;
use crate::topology::slots::Slot;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;
use crate::usage::{find, protected};
use crate::verify::overrides::{Overrides, read_overrides};

const EVERYTHING: &[Column] = &[
    Column::Class,
    Column::ClassCode,
    Column::Name,
    Column::Ids,
    Column::Subsystem,
    Column::Revision,
    Column::Driver,
    Column::Link,
    Column::Serial,
    Column::Mac,
    Column::Reset,
    Column::Aer,
    Column::Numa,
    Column::Slot,
    Column::Iommu,
    Column::Place,
];

const BELOW: &[Column] = &[Column::Class, Column::Name, Column::Ids, Column::Driver];

/// The names of up to so many functions below it are shown, VFs not counted; `tree` shows more.
const NAMED_BELOW: usize = 12;

/// The document for a group. Of a group of one its facts stand at the top level, too, as they do for a single function.
#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Group<'a> {
    functions: &'a [FullFunction],
}

impl Document for Group<'_> {
    const KIND: &'static str = "function_group";
}

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<ExitStatus> {
    let Some(selector) = &args.selector else { return protected(context) };
    let selector: Selector = selector.parse()?;
    let mut resolver = Resolver::new(&context.machine.sysfs);
    let named = resolver.named(&selector)?;
    context.tell_notes(&resolver.notes);
    let addresses = match named {
        Resolved::Functions(found) => found,
        Resolved::Absent(address) => return Err(not_there(context, &selector, address)),
        Resolved::HostBridge(_) => {
            let error = Error::usage(format!("{selector}: is a host bridge; show takes functions"));
            return Err(error.hint(format!("pcictl tree {selector} shows what is below it")));
        }
    };
    let mut topology = Topology::load_around(&context.machine.sysfs, &addresses, Fields::PLAN)?;
    let mut ids = Vec::with_capacity(addresses.len());
    for address in &addresses {
        let id = topology.find(*address).ok_or_else(|| not_there(context, &selector, *address))?;
        ids.push(id);
        let mut below = topology.subtree(id).split_off(1);
        let is_virtual = |id: &FunctionId| topology.function(*id).virtual_of.is_some();
        if below.iter().filter(|id| !is_virtual(id)).count() > NAMED_BELOW {
            below.retain(is_virtual);
        }
        topology.load_ids(&context.machine.sysfs, &below);
    }
    // One look at the whole machine, however many functions are shown.
    let scope = Scope::of(&topology, ids.iter().flat_map(|id| topology.subtree(*id)));
    let users = find::find(&context.machine, &scope);
    context.tell_notes(&other_world(context).into_iter().collect::<Vec<_>>());
    let overrides = read_overrides(&context.machine.sysfs, &addresses);
    let mut modules = Modules::new(context.machine.sysfs.files());
    let mut look = |id| full(context, &topology, id, users.as_ref(), overrides.as_ref(), &mut modules);
    let functions: Vec<FullFunction> = ids.into_iter().map(&mut look).collect();
    let text = |_: &_| functions.iter().map(show::function).collect::<Vec<_>>().join("\n");
    match functions.as_slice() {
        [only] if !selector.is_group() => context.output.report(only, show::function),
        functions => context.output.report(&Group { functions }, text),
    }
    Ok(ExitStatus::Done)
}

fn full(
    context: &Context,
    topology: &Topology,
    id: FunctionId,
    users: Result<&UsageReport, &Error>,
    overrides: Option<&Overrides>,
    modules: &mut Modules<'_>,
) -> FullFunction {
    let users = users.map(|users| users_of(topology, id, users));
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let (function, path) = (topology.function(id), topology.path(id));
    let mut above: Vec<_> = topology.functions_above(id).map(|id| topology.function(id).address).collect();
    above.reverse();
    let below = topology.subtree(id).into_iter().skip(1).map(|id| inspector.row(topology, id, BELOW)).collect();
    let sysfs = &context.machine.sysfs;
    let names = inspector.attributes.class_devices(&path);
    inspector.know_devices(function.address, &names);
    let row = inspector.row(topology, id, EVERYTHING);
    let group = row.iommu_group;
    let slot = row.slot.as_ref().and_then(|slot| Slot::read(sysfs, slot).ok().flatten());
    let scan = bus_of_present(sysfs, topology, id).ok();
    let value = |file: &str| sysfs.value(&format!("{path}/{file}")).filter(|text| !text.is_empty());
    FullFunction {
        driver_override: overrides.map(|overrides| overrides.get(&function.address).cloned()),
        persistent_override: Driverctl::of(context.machine.sysfs.files()).read(function.address),
        row,
        siblings: siblings(sysfs, function.address),
        iommu_group_members: group.and_then(|group| iommu_members(sysfs, &group.to_string()).ok()),
        bus: bus_below(&context.machine.sysfs, &path).ok().flatten(),
        above,
        below,
        physical_function: function.virtual_of.map(|of| topology.function(of.physical).address),
        virtual_functions: topology.virtual_functions(id).into_iter().map(|id| topology.function(id).address).collect(),
        total_vfs: inspector.attributes.total_vfs(&path),
        names,
        subsystem_name: function.ids.and_then(|ids| inspector.subsystem_name(ids)),
        modules: sysfs.modalias(function.address).and_then(|alias| modules.known_for_alias(&alias)),
        regions: Region::all(sysfs, &path),
        power: power::of_function(sysfs, function.address),
        local_cpus: value("local_cpulist"),
        slot_driver: slot.as_ref().and_then(|slot| slot.driver.clone()),
        slot_controls: slot.map(|slot| slot.files),
        rescan: scan.and_then(|(_, bus, why)| Some(PlannedScan { bus: bus?, why })),
        holders: holders(context, &topology.place(id)),
        remove: planned(topology, id, users.as_ref().map_err(|error| *error)),
        users: users.unwrap_or_default(),
        path: context.machine.sysfs.display(&path),
    }
}

/// The users of a function and of what is below it.
fn users_of(topology: &Topology, id: FunctionId, users: &UsageReport) -> UsageReport {
    let subtree: BTreeSet<PciAddress> =
        order::set(topology.subtree(id).into_iter().map(|id| topology.function(id).address));
    let found = users.of(|address| subtree.contains(&address));
    UsageReport { found, ..users.clone() }
}

/// Who keeps others from changing the function; `None` where the locks cannot be read, which hides nothing else.
fn holders(context: &Context, place: &Place) -> Option<Vec<Holder>> {
    match LockDirectory::open_existing(&context.machine.run) {
        Ok(None) => Some(Vec::new()),
        Ok(Some(directory)) => directory.holders_covering(place).ok(),
        Err(_) => None,
    }
}

fn planned(topology: &Topology, id: FunctionId, users: Result<&UsageReport, &Error>) -> PlannedRemoval {
    let users = match users {
        Ok(users) => users,
        Err(error) => return PlannedRemoval::Refused { refused: error.to_string() },
    };
    match plan_removal(topology, &[id]) {
        Ok(removal) => PlannedRemoval::Plan(PlannedChange {
            needs_force: user_check::needs_force(users, &[]),
            locks: removal.claims().in_order().to_vec(),
            steps: removal.all_steps(),
            ..PlannedChange::default()
        }),
        Err(error) => PlannedRemoval::Refused { refused: error.to_string() },
    }
}

fn protected(context: &Context) -> Result<ExitStatus> {
    let report = ProtectedReport { protected: protected::listed(&context.machine.sysfs)? };
    context.output.report(&report, show::protected);
    Ok(ExitStatus::Done)
}
