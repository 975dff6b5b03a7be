//! `pcictl list`

use crate::cli::args::ListArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::absent::not_there;
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::report::inspector::{Inspector, fields_for};
use crate::report::rows::{Column, FunctionRow};
use crate::report::text::list;
use crate::resolve::functions::{Resolved, Resolver, parse_selectors};
use crate::terminal::Output;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::find;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;

/// The columns of a listing unless others are named.
const DEFAULT: &[Column] = &[
    Column::Address,
    Column::Class,
    Column::Name,
    Column::Driver,
    Column::Link,
    Column::Numa,
    Column::Slot,
    Column::InUse,
];

#[derive(serde::Serialize)]
struct Listing {
    functions: Vec<FunctionRow>,
}

pub(crate) fn columns(output: &Output) -> ExitStatus {
    output.report(&serde_json::json!({ "columns": list::columns().lines().collect::<Vec<_>>() }), |_| list::columns());
    ExitStatus::Done
}

pub(crate) fn run(context: &Context, args: &ListArgs) -> Result<ExitStatus> {
    let selectors = parse_selectors(&args.selectors)?;
    let wanted = if args.output.is_empty() { DEFAULT } else { &args.output };
    let (topology, ids) =
        if selectors.is_empty() { everything(context, wanted)? } else { only(context, &selectors, wanted)? };
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let mut functions: Vec<FunctionRow> = ids.iter().map(|id| inspector.row(&topology, *id, wanted)).collect();
    if wanted.contains(&Column::InUse) {
        fill_users(context, &topology, &ids, &mut functions);
    }
    context
        .output
        .stream(&Listing { functions }, |listing, out| list::table(out, &listing.functions, wanted, !args.no_header));
    Ok(ExitStatus::Done)
}

fn everything(context: &Context, wanted: &[Column]) -> Result<(Topology, Vec<FunctionId>)> {
    let topology = Topology::load_all(&context.machine.sysfs, fields_for(wanted))?;
    context.tell_notes(&topology.notes);
    let ids = topology.by_address();
    Ok((topology, ids))
}

/// The functions that these selectors match, each once; nothing else is read.
fn only(context: &Context, selectors: &[Selector], wanted: &[Column]) -> Result<(Topology, Vec<FunctionId>)> {
    let mut resolver = Resolver::new(&context.machine.sysfs);
    let mut addresses: Vec<PciAddress> = Vec::new();
    for selector in selectors {
        match resolver.named(selector)? {
            Resolved::Functions(found) => addresses.extend(found),
            Resolved::Absent(address) => return Err(not_there(context, selector, address)),
            Resolved::HostBridge(path) => {
                let below = Topology::load_below(&context.machine.sysfs, &path)?;
                let top = below.find_host_bridge(path.rsplit('/').next().unwrap_or_default());
                let place = top.map(|id| below.host_bridge_place(id)).unwrap_or_default();
                let inside = below.by_address().into_iter().filter(|id| below.place(*id).is_at_or_below(&place));
                addresses.extend(inside.map(|id| below.function(id).address));
            }
        }
    }
    context.tell_notes(&resolver.notes);
    addresses.sort_unstable();
    addresses.dedup();
    let topology = Topology::load_only(&context.machine.sysfs, &addresses, fields_for(wanted))?;
    let ids = addresses.iter().filter_map(|address| topology.find(*address)).collect();
    Ok((topology, ids))
}

/// Who uses each function, from one look at the whole machine.
fn fill_users(context: &Context, topology: &Topology, ids: &[FunctionId], functions: &mut [FunctionRow]) {
    let scope = Scope::of(topology, ids.iter().copied());
    let users = match find::find(&context.machine, &scope) {
        Ok(users) => users,
        Err(error) => UsageReport { unchecked: vec![error.to_string()], ..UsageReport::default() },
    };
    for line in users.unchecked.iter().chain(&users.notes) {
        context.output.detail(line);
    }
    let is_known = users.unchecked.is_empty() && users.is_complete;
    for row in functions {
        let found = users.of(|address| address == row.address);
        row.in_use_by = (is_known || !found.is_empty()).then_some(found);
    }
}
