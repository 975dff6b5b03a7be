//! `pcictl tree`

use crate::cli::args::TreeArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::host::sysfs::last_step;
use crate::operation::absent::not_there;
use crate::operation::context::Context;
use crate::operation::watch::{Sources, watch};
use crate::pci::selector::Selector;
use crate::report::columns::{Column, chosen};
use crate::report::inspector::{Inspector, fields_for};
use crate::report::rows::{NodeName, TreeNode};
use crate::report::text::tree;
use crate::resolve::functions::{Resolved, Resolver};
use crate::terminal::document::Document;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, HostBridgeId, Topology};

/// The columns of a tree unless others are named.
const DEFAULT: &[Column] = &[Column::Class, Column::Name, Column::Driver];

#[derive(serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Forest {
    children: Vec<TreeNode>,
}

impl Document for Forest {
    const KIND: &'static str = "tree";
}

pub(crate) fn run(context: &Context, args: &TreeArgs) -> Result<ExitStatus> {
    let sources = Sources { devices: true, ..Sources::default() };
    watch(context, args.watching.watch, sources, &|| draw(context, args))
}

fn draw(context: &Context, args: &TreeArgs) -> Result<ExitStatus> {
    let wanted = &chosen(DEFAULT, &args.output);
    let children = match &args.selector {
        None => whole(context, wanted)?,
        Some(text) => below(context, &text.parse()?, wanted)?,
    };
    context.output.stream(&Forest { children }, |forest, out| tree::forest(out, &forest.children, wanted));
    Ok(ExitStatus::Done)
}

/// What must be read to draw the tree with these columns.
fn fields(wanted: &[Column]) -> Fields {
    Fields { virtual_of: true, buses: true, ..fields_for(wanted) }
}

fn whole(context: &Context, wanted: &[Column]) -> Result<Vec<TreeNode>> {
    let topology = Topology::load_all(&context.machine.sysfs, fields(wanted))?;
    context.tell_notes(&topology.notes);
    let mut grow = Grow::new(context, &topology, wanted);
    Ok(topology.top_bridges().into_iter().map(|id| grow.host_bridge(id)).collect())
}

fn below(context: &Context, selector: &Selector, wanted: &[Column]) -> Result<Vec<TreeNode>> {
    let mut resolver = Resolver::new(&context.machine.sysfs);
    let named = resolver.named(selector)?;
    context.tell_notes(&resolver.notes);
    match named {
        Resolved::Absent(address) => Err(not_there(context, selector, address)),
        Resolved::HostBridge(path) => {
            let topology = Topology::load_below_with(&context.machine.sysfs, &path, fields(wanted))?;
            let mut grow = Grow::new(context, &topology, wanted);
            let top = topology.find_host_bridge(last_step(&path));
            Ok(top.into_iter().map(|id| grow.host_bridge(id)).collect())
        }
        Resolved::Functions(found) => {
            let topology = Topology::load_around(&context.machine.sysfs, &found, fields(wanted))?;
            let mut grow = Grow::new(context, &topology, wanted);
            let ids: Vec<FunctionId> = found.iter().filter_map(|address| topology.find(*address)).collect();
            if ids.is_empty() {
                return Err(Error::new(ErrorKind::NoSuchDevice, format!("{selector}: disappeared while being read")));
            }
            Ok(ids.into_iter().map(|id| grow.function(id)).collect())
        }
    }
}

/// Turns a topology into nested nodes.
struct Grow<'a> {
    topology: &'a Topology,
    inspector: Inspector<'a>,
    wanted: Vec<Column>,
}

impl<'a> Grow<'a> {
    fn new(context: &'a Context, topology: &'a Topology, wanted: &[Column]) -> Self {
        let mut wanted = wanted.to_vec();
        // A program that reads the tree wants the numbers along with the names.
        if wanted.contains(&Column::Name) && !wanted.contains(&Column::Ids) {
            wanted.push(Column::Ids);
        }
        Self { topology, inspector: Inspector::new(&context.machine.sysfs), wanted }
    }

    fn host_bridge(&mut self, id: HostBridgeId) -> TreeNode {
        let bridge = self.topology.host_bridge(id);
        let children = self.topology.on_root_bus(id).into_iter().map(|id| self.function(id)).collect();
        let node = NodeName::HostBridge(bridge.name.as_str().into());
        TreeNode { node, bus: bridge.bus(), function: None, physical_function: None, children }
    }

    fn function(&mut self, id: FunctionId) -> TreeNode {
        let topology = self.topology;
        let function = topology.function(id);
        let mut children: Vec<TreeNode> = topology.below(id).into_iter().map(|id| self.function(id)).collect();
        children.extend(topology.bridges_below(id).iter().map(|id| self.host_bridge(*id)));
        children.extend(topology.virtual_functions(id).into_iter().map(|id| self.function(id)));
        TreeNode {
            node: NodeName::Function(function.address),
            bus: function.secondary,
            function: Some(self.inspector.row(topology, id, &self.wanted)),
            physical_function: function.virtual_of.map(|of| topology.function(of.physical).address),
            children,
        }
    }
}
