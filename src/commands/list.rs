//! `pcictl list`
//!
//! Nothing is looked at that no column shows. Who uses what is asked of every process of the machine, which takes longer than
//! all else: that is done for the column and the option that are about it, and for no other.

use std::collections::{BTreeSet, HashMap};

use crate::cli::args::ListArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::host::text::compare_naturally;
use crate::lock::claims::Mode;
use crate::lock::files::LockDirectory;
use crate::operation::absent::not_there;
use crate::operation::context::Context;
use crate::operation::watch::{Sources, watch};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::report::columns::{Column, chosen};
use crate::report::inspector::{Inspector, fields_for};
use crate::report::rows::FunctionRow;
use crate::report::text::cells::{Cells, cell};
use crate::report::text::list::{self, Layout};
use crate::resolve::functions::{Resolved, Resolver, parse_selectors};
use crate::terminal::document::Document;
use crate::terminal::output::Output;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::find;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;
use crate::verify::overrides::read_overrides;

/// The columns of a listing unless others are named.
const DEFAULT: &[Column] = &[Column::Address, Column::Class, Column::Name, Column::Driver, Column::Link, Column::Names];

/// What is told in JSON unless columns are named: all that takes no more than a look at a function's directory.
const CHEAP: &[Column] = &[
    Column::Class,
    Column::ClassCode,
    Column::Name,
    Column::Ids,
    Column::Subsystem,
    Column::Driver,
    Column::Link,
    Column::Names,
    Column::Numa,
    Column::Slot,
    Column::Iommu,
    Column::Place,
];

/// The columns that there are.
#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ColumnsReport {
    columns: Vec<ListedColumn>,
}

impl Document for ColumnsReport {
    const KIND: &'static str = "columns";
}

#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct ListedColumn {
    name: &'static str,
    description: &'static str,
}

#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Listing {
    functions: Vec<FunctionRow>,
}

impl Document for Listing {
    const KIND: &'static str = "functions";
}

pub(crate) fn columns(output: &Output) -> ExitStatus {
    let columns = Column::ALL.iter().map(|column| ListedColumn { name: column.name(), description: column.meaning() });
    output.report(&ColumnsReport { columns: columns.collect() }, |_| list::columns());
    ExitStatus::Done
}

pub(crate) fn run(context: &Context, args: &ListArgs) -> Result<ExitStatus> {
    let shown = chosen(DEFAULT, &args.output);
    let wanted = wanted(context, args, &shown);
    let users = wanted.contains(&Column::InUse);
    let sources = Sources { devices: true, files: wanted.contains(&Column::Lock), users };
    watch(context, args.watching.watch, sources, &|| list(context, args, &shown, &wanted))
}

fn list(context: &Context, args: &ListArgs, shown: &[Column], wanted: &[Column]) -> Result<ExitStatus> {
    let functions = look(context, args, wanted)?;
    let room = context.output.columns().filter(|_| !args.long);
    let layout = Layout { header: !args.no_header, room };
    context.output.stream(&Listing { functions }, |listing, out| list::table(out, &listing.functions, shown, layout));
    Ok(ExitStatus::Done)
}

fn look(context: &Context, args: &ListArgs, wanted: &[Column]) -> Result<Vec<FunctionRow>> {
    let selectors = parse_selectors(&args.selectors)?;
    let mut inspector = Inspector::new(&context.machine.sysfs);
    let (topology, ids) = if selectors.is_empty() {
        inspector = inspector.with_all_things(wanted);
        everything(context, wanted)?
    } else {
        only(context, &selectors, wanted)?
    };
    let mut functions: Vec<FunctionRow> = ids.iter().map(|id| inspector.row(&topology, *id, wanted)).collect();
    if wanted.contains(&Column::Override) {
        fill_overrides(context, &mut functions);
    }
    if wanted.contains(&Column::Lock) {
        fill_holders(context, &mut functions);
    }
    if wanted.contains(&Column::InUse) {
        fill_users(context, &topology, &ids, &mut functions);
    }
    if args.unused {
        keep_unused(context, &mut functions)?;
    } else if wanted.contains(&Column::InUse) && functions.iter().any(|row| row.users().is_none()) {
        context.output.say("? in IN-USE: whether anybody uses it could not be checked; -v tells why");
    }
    if let Some(column) = args.sort {
        sort(&mut functions, column);
    }
    Ok(functions)
}

/// What must be read: the columns, and what is needed besides to choose and to sort.
fn wanted(context: &Context, args: &ListArgs, shown: &[Column]) -> Vec<Column> {
    let mut wanted = shown.to_vec();
    wanted.extend(args.sort);
    wanted.extend(args.unused.then_some(Column::InUse));
    if context.output.is_json() {
        let is_added = args.output.first().is_none_or(|first| first.is_added);
        let reads_ids = wanted.iter().any(|column| Column::OF_IDS.contains(column));
        wanted.extend(if is_added { CHEAP } else { &[] });
        // What is known without another look once ids are.
        wanted.extend(if reads_ids { Column::OF_IDS.as_slice() } else { &[] });
    }
    wanted
}

/// By the text of a column, numbers in it as numbers; what has none comes last.
fn sort(functions: &mut Vec<FunctionRow>, column: Column) {
    let mut scratch = String::new();
    let mut key = |row: &FunctionRow| cell(row, column, Cells::Whole, &mut scratch).into_owned();
    let mut keyed: Vec<(String, FunctionRow)> = functions.drain(..).map(|row| (key(&row), row)).collect();
    let is_missing = |key: &str| matches!(key, "-" | "?");
    order::sort_by(&mut keyed, |(a, _), (b, _)| {
        is_missing(a).cmp(&is_missing(b)).then_with(|| compare_naturally(a, b))
    });
    functions.extend(keyed.into_iter().map(|(_, row)| row));
}

/// Leaves those that are used, or of which that is not known.
fn keep_unused(context: &Context, functions: &mut Vec<FunctionRow>) -> Result<()> {
    let unknown = functions.iter().filter(|row| row.users().is_none()).count();
    functions.retain(|row| row.users().is_some_and(<[_]>::is_empty) && row.users_below().is_none_or(<[_]>::is_empty));
    if functions.is_empty() {
        let message = if unknown == 0 { "every function is in use" } else { "no function is known to be unused" };
        let error = Error::new(ErrorKind::NoSuchDevice, message);
        return Err(if unknown == 0 {
            error
        } else {
            error.hint("pcictl list -v -o +in-use tells what could not be checked")
        });
    }
    if unknown > 0 {
        let are = if unknown == 1 { "function is" } else { "functions are" };
        context
            .output
            .say(&format!("{unknown} {are} left out: whether anybody uses them could not be checked; -v tells why"));
    }
    Ok(())
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
    // Users of what is below a function count, too.
    let load = if wanted.contains(&Column::InUse) { Topology::load_around } else { Topology::load_only };
    let topology = load(&context.machine.sysfs, &addresses, fields_for(wanted))?;
    let ids = addresses.iter().filter_map(|address| topology.find(*address)).collect();
    Ok((topology, ids))
}

fn fill_overrides(context: &Context, functions: &mut [FunctionRow]) {
    let addresses: Vec<PciAddress> = functions.iter().map(|row| row.address).collect();
    let overrides = read_overrides(&context.machine.sysfs, &addresses);
    for row in functions {
        let details = row.details.get_or_insert_default();
        details.driver_override = overrides.as_ref().map(|overrides| overrides.get(&row.address).cloned());
    }
}

/// Who keeps others from changing each function; nothing where the locks cannot be read.
fn fill_holders(context: &Context, functions: &mut [FunctionRow]) {
    let holders = match LockDirectory::open_existing(&context.machine.run) {
        Ok(None) => Some(Vec::new()),
        Ok(Some(directory)) => directory.all_holders().ok(),
        Err(_) => None,
    };
    for row in functions {
        let Some(place) = &row.place else { continue };
        // As LockDirectory::holders_covering tells of one place.
        let covers = |at: &_, mode| at == place || mode == Mode::Exclusive && place.is_at_or_below(at);
        let covering = holders.iter().flatten().filter(|holder| covers(&holder.place, holder.mode));
        let covering = holders.is_some().then(|| covering.cloned().collect());
        row.details.get_or_insert_default().holders = covering;
    }
}

/// Who uses each function and what is below it, from one look at the whole machine.
fn fill_users(context: &Context, topology: &Topology, ids: &[FunctionId], functions: &mut [FunctionRow]) {
    let is_whole = ids.len() == topology.functions.len();
    let below = |id: &FunctionId| if is_whole { vec![*id] } else { topology.subtree(*id) };
    let scope = Scope::of(topology, ids.iter().flat_map(below));
    let users = match find::find(&context.machine, &scope) {
        Ok(users) => users,
        Err(error) => UsageReport { unchecked: vec![error.to_string()], ..UsageReport::default() },
    };
    for line in users.unchecked.iter().chain(&users.notes) {
        context.output.detail(line);
    }
    let is_known = users.unchecked.is_empty() && users.is_complete;
    let below = used_below(topology, &users);
    for (row, id) in functions.iter_mut().zip(ids) {
        let found = users.of(|address| address == row.address);
        let details = row.details.get_or_insert_default();
        details.in_use_by = (is_known || !found.is_empty()).then_some(found);
        let has_below = !topology.below(*id).is_empty() || !topology.bridges_below(*id).is_empty();
        let used = |below: &BTreeSet<PciAddress>| users.of(|address| below.contains(&address));
        let found = below.get(&row.address).map(used).unwrap_or_default();
        details.in_use_below = (has_below && (is_known || !found.is_empty())).then_some(found);
    }
}

/// The functions in use below each that has some. VFs count for the bridge above them; of its own VFs a physical function
/// says so itself.
fn used_below(topology: &Topology, users: &UsageReport) -> HashMap<PciAddress, BTreeSet<PciAddress>> {
    let mut below: HashMap<PciAddress, BTreeSet<PciAddress>> = HashMap::new();
    for user in users.found.iter().chain(&users.elsewhere) {
        let mut above = topology.find(user.address).and_then(|id| topology.function_above(id));
        while let Some(id) = above {
            below.entry(topology.function(id).address).or_default().insert(user.address);
            above = topology.function_above(id);
        }
    }
    below
}
