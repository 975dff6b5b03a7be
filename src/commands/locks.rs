//! `pcictl locks`: who holds or waits for which node, as the kernel tells it now.

use crate::cli::args::LocksArgs;
use crate::error::{ExitStatus, Result};
use crate::guard;
use crate::lock::files::LockDirectory;
use crate::lock::holders::Holder;
use crate::operation::absent::not_there;
use crate::operation::acquire::{PLACES, other_world};
use crate::operation::context::Context;
use crate::operation::watch::{Sources, watch};
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::report::change::{LockNode, LockParty};
use crate::report::guard::WriterAtFile;
use crate::report::text::locks;
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::place_names::function_at;
use crate::terminal::document::Document;
use crate::topology::model::Topology;

#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Forest {
    children: Vec<LockNode>,
}

impl Document for Forest {
    const KIND: &'static str = "locks";
}

pub(crate) fn run(context: &Context, args: &LocksArgs) -> Result<ExitStatus> {
    let sources = Sources { devices: true, files: true, users: false };
    watch(context, args.watching.watch, sources, &|| show(context, args))
}

fn show(context: &Context, args: &LocksArgs) -> Result<ExitStatus> {
    let wanted = match &args.selector {
        None => vec![Place::root()],
        Some(text) => places(context, &text.parse()?)?,
    };
    context.tell_notes(&other_world(context).into_iter().collect::<Vec<_>>());
    let mut holders = match LockDirectory::open_existing(&context.machine.run)? {
        None => Vec::new(),
        Some(directory) => directory.all_holders()?,
    };
    let concerns = |place: &Place| wanted.iter().any(|w| place.is_at_or_below(w) || w.is_at_or_below(place));
    holders.retain(|holder| concerns(&holder.place));
    if args.watching.watch {
        // It would be old at once.
        holders.iter_mut().for_each(|holder| holder.age_seconds = None);
    }
    if holders.is_empty() {
        context.output.say("no lock is held or waited for");
    }
    let sysfs = &context.machine.sysfs;
    let children = nest(on_behalf(context, holders), &|place| function_at(sysfs, place));
    context.output.report(&Forest { children }, |forest| locks::lock_forest(&forest.children));
    Ok(ExitStatus::Done)
}

/// The places that a selector names.
fn places(context: &Context, selector: &Selector) -> Result<Vec<Place>> {
    let mut resolver = Resolver::new(&context.machine.sysfs);
    let named = resolver.named(selector)?;
    context.tell_notes(&resolver.notes);
    match named {
        Resolved::Absent(address) => Err(not_there(context, selector, address)),
        Resolved::HostBridge(path) => {
            let topology = Topology::load_below(&context.machine.sysfs, &path)?;
            let bridge = topology.find_host_bridge(path.rsplit('/').next().unwrap_or_default());
            Ok(bridge.into_iter().map(|id| topology.host_bridge_place(id)).collect())
        }
        Resolved::Functions(found) => {
            let topology = Topology::load_only(&context.machine.sysfs, &found, PLACES)?;
            Ok(found.iter().filter_map(|address| topology.find(*address)).map(|id| topology.place(id)).collect())
        }
    }
}

/// The same with the raw writers that a guard holds locks for. Its keeper has copies, which say nothing more.
fn on_behalf(context: &Context, holders: Vec<Holder>) -> Vec<LockParty> {
    let is_keeper = |holder: &Holder| holder.process.command.split(' ').nth(1) == Some(guard::keeper::SUBCOMMAND);
    // One that does not answer is the doctor's business; its locks are shown.
    let report = guard::status::of_machine(&context.machine).ok().flatten();
    let party = |holder: Holder| {
        let report = report.as_ref().filter(|report| report.pid == holder.process.pid);
        let inside = report.map(|report| report.inside.as_slice()).unwrap_or_default();
        let is_for = |writer: &&WriterAtFile| writer.holds.iter().any(|top| top.is_at_or_below(&holder.place));
        LockParty { on_behalf_of: inside.iter().filter(is_for).cloned().collect(), holder }
    };
    holders.into_iter().filter(|holder| report.is_none() || !is_keeper(holder)).map(party).collect()
}

/// Nests what is sorted by place, with the nodes in between.
fn nest(parties: Vec<LockParty>, function_at: &dyn Fn(&Place) -> Option<PciAddress>) -> Vec<LockNode> {
    let mut roots: Vec<LockNode> = Vec::new();
    for party in parties {
        let mut level = &mut roots;
        let mut chain = party.holder.place.ancestors();
        chain.push(party.holder.place.clone());
        for place in chain {
            let index = level.iter().position(|node| node.place == place).unwrap_or_else(|| {
                let address = function_at(&place);
                level.push(LockNode { place: place.clone(), address, holders: Vec::new(), children: Vec::new() });
                level.len() - 1
            });
            if place == party.holder.place {
                level[index].holders.push(party);
                break;
            }
            level = &mut level[index].children;
        }
    }
    roots
}
