//! `pcictl tree`

use super::{Context, not_there};
use crate::cli::TreeArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::inspect::Inspector;
use crate::output;
use crate::report::{Column, TreeNode};
use crate::resolve::{Named, Resolver};
use crate::selector::Selector;
use crate::topology::{Fields, FunctionId, HostBridgeId, Topology};

const SHOWN: &[Column] = &[Column::Class, Column::Name, Column::Ids, Column::Driver];

#[derive(serde::Serialize)]
struct Forest {
    children: Vec<TreeNode>,
}

pub fn run(context: &Context, args: &TreeArgs) -> Result<ExitStatus> {
    let children = match &args.selector {
        None => whole(context)?,
        Some(text) => below(context, &text.parse()?)?,
    };
    context.output.report(&Forest { children }, |forest| output::drawn(&forest.children));
    Ok(ExitStatus::Done)
}

fn whole(context: &Context) -> Result<Vec<TreeNode>> {
    let topology = Topology::load_all(&context.sysfs, Fields::TREE)?;
    context.tell_notes(&topology.notes);
    let mut grow = Grow { topology: &topology, inspector: Inspector::new(&context.sysfs) };
    Ok(topology.top_bridges().into_iter().map(|id| grow.host_bridge(id)).collect())
}

fn below(context: &Context, selector: &Selector) -> Result<Vec<TreeNode>> {
    let mut resolver = Resolver::new(&context.sysfs);
    let named = resolver.named(selector)?;
    context.tell_notes(&resolver.notes);
    match named {
        Named::Absent(address) => Err(not_there(selector, address)),
        Named::HostBridge(path) => {
            let topology = Topology::load_below(&context.sysfs, &path)?;
            let mut grow = Grow { topology: &topology, inspector: Inspector::new(&context.sysfs) };
            let name = path.rsplit('/').next().unwrap_or_default();
            Ok(topology.find_host_bridge(name).into_iter().map(|id| grow.host_bridge(id)).collect())
        }
        Named::Functions(found) => {
            let topology = Topology::load_around(&context.sysfs, &found)?;
            let mut grow = Grow { topology: &topology, inspector: Inspector::new(&context.sysfs) };
            let ids: Vec<FunctionId> = found.iter().filter_map(|address| topology.find(*address)).collect();
            if ids.is_empty() {
                return Err(Error::new(
                    ErrorKind::NoSuchDevice,
                    format!("{selector}: went away while it was looked at"),
                ));
            }
            Ok(ids.into_iter().map(|id| grow.function(id)).collect())
        }
    }
}

/// Turns a topology into nested nodes.
struct Grow<'a> {
    topology: &'a Topology,
    inspector: Inspector<'a>,
}

impl Grow<'_> {
    fn host_bridge(&mut self, id: HostBridgeId) -> TreeNode {
        let bridge = self.topology.host_bridge(id);
        let children = self.topology.on_root_bus(id).into_iter().map(|id| self.function(id)).collect();
        TreeNode { name: bridge.name.clone(), bus: bridge.bus(), function: None, physical_function: None, children }
    }

    fn function(&mut self, id: FunctionId) -> TreeNode {
        let topology = self.topology;
        let function = topology.function(id);
        let mut children: Vec<TreeNode> = topology.below(id).into_iter().map(|id| self.function(id)).collect();
        children.extend(topology.bridges_below(id).iter().map(|id| self.host_bridge(*id)));
        children.extend(topology.virtual_functions(id).into_iter().map(|id| self.function(id)));
        TreeNode {
            name: function.address.to_string(),
            bus: function.secondary,
            function: Some(self.inspector.row(topology, id, SHOWN)),
            physical_function: function.virtual_of.map(|of| topology.function(of.physical).address),
            children,
        }
    }
}
