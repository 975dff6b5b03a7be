//! `pcictl show`

use crate::cli::args::ShowArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::lock::files::LockDirectory;
use crate::lock::holders::Holder;
use crate::operation::acquire::other_world;
use crate::operation::context::Context;
use crate::operation::{removal_record, user_check};
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::plan::remove::plan_removal;
use crate::report::change::{PlannedChange, PlannedRemoval};
use crate::report::inspector::Inspector;
use crate::report::rows::{Column, FullFunction};
use crate::report::text::show;
use crate::resolve::functions::{Resolved, Resolver, not_there};
use crate::resolve::scan_target::scan_targets;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::paths::bus_below;
use crate::usage::find;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;

const EVERYTHING: &[Column] = &[
    Column::Class,
    Column::ClassCode,
    Column::Name,
    Column::Ids,
    Column::Subsystem,
    Column::Driver,
    Column::Link,
    Column::Numa,
    Column::Slot,
    Column::Iommu,
    Column::Place,
];

const BELOW: &[Column] = &[Column::Class, Column::Name, Column::Ids, Column::Driver];

/// Of so many functions below it, VFs not counted, the names are shown; of more, `tree` shows them.
const NAMED_BELOW: usize = 12;

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<ExitStatus> {
    let selector: Selector = args.selector.parse()?;
    let mut resolver = Resolver::new(&context.machine.sysfs);
    let named = resolver.targets(&selector, false)?;
    context.tell_notes(&resolver.notes);
    let address = match named.as_slice() {
        [Resolved::Functions(found)] if found.len() == 1 => found[0],
        [Resolved::Absent(address)] => return Err(absent(context, &selector, *address)),
        _ => {
            return Err(Error::usage(format!(
                "{selector}: show takes a function; pcictl tree {selector} shows a host bridge"
            )));
        }
    };
    let mut topology = Topology::load_around(&context.machine.sysfs, &[address], Fields::PLAN)?;
    let id = topology.find(address).ok_or_else(|| not_there(&selector, address))?;
    let mut below = topology.subtree(id).split_off(1);
    let is_virtual = |id: &FunctionId| topology.function(*id).virtual_of.is_some();
    if below.iter().filter(|id| !is_virtual(id)).count() > NAMED_BELOW {
        below.retain(is_virtual);
    }
    topology.load_ids(&context.machine.sysfs, &below);
    context.tell_notes(&other_world(context).into_iter().collect::<Vec<_>>());
    context.output.report(&full(context, &topology, id), show::function);
    Ok(ExitStatus::Done)
}

/// Says what may bring it back, if anything does.
fn absent(context: &Context, selector: &Selector, address: PciAddress) -> Error {
    let known = removal_record::last_seen(&removal_record::entries(context));
    let named = if selector.text == address.to_string() { String::new() } else { format!(" ({address})") };
    let error = Error::new(ErrorKind::NoSuchDevice, format!("{selector}{named}: no such device")).about(address);
    match scan_targets(&context.machine.sysfs, &Resolved::Absent(address), &known).as_deref() {
        Ok([target, ..]) => error.hint(format!("pcictl rescan {address} may bring it back: {}", target.why)),
        _ => error.hint("pcictl list shows what is there"),
    }
}

fn full(context: &Context, topology: &Topology, id: FunctionId) -> FullFunction {
    let users = find::find(&context.machine, &Scope::of(topology, topology.subtree(id)));
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let (function, path) = (topology.function(id), topology.path(id));
    let mut above: Vec<_> = std::iter::successors(topology.function_above(id), |id| topology.function_above(*id))
        .map(|id| topology.function(id).address)
        .collect();
    above.reverse();
    let below = topology.subtree(id).into_iter().skip(1).map(|id| inspector.row(topology, id, BELOW)).collect();
    FullFunction {
        row: inspector.row(topology, id, EVERYTHING),
        bus: bus_below(&context.machine.sysfs, &path).ok().flatten(),
        above,
        below,
        physical_function: function.virtual_of.map(|of| topology.function(of.physical).address),
        virtual_functions: topology.virtual_functions(id).into_iter().map(|id| topology.function(id).address).collect(),
        total_vfs: inspector.attributes.total_vfs(&path),
        names: inspector.attributes.class_devices(&path),
        holders: holders(context, &topology.place(id)),
        remove: planned(topology, id, users.as_ref()),
        users: users.unwrap_or_default(),
        path: context.machine.sysfs.display(&path),
    }
}

/// Who keeps others from changing the function; none where the locks cannot be seen, which is no reason not to show the rest.
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
