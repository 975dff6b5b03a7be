//! `show`: one function, a fact a line.

use colored::Colorize;

use crate::host::text::escaped;
use crate::lock::holders::describe_holders;
use crate::lock::proc_locks::Role;
use crate::report::change::PlannedRemoval;
use crate::report::rows::{FullFunction, FunctionRow};
use crate::report::text::cells::link;
use crate::report::text::words::{self, count};

/// One function in full.
pub(crate) fn function(full: &FullFunction) -> String {
    let row = &full.row;
    let mut text = format!("{}\n", headline(row).bold());
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<16}{}\n", escaped(&value)));
        }
    };
    fact("path", Some(full.path.clone()));
    fact("place", row.place.as_ref().map(|place| place.chain().to_owned()));
    fact("ids", row.ids.clone());
    fact("class", row.class_code.clone());
    fact("subsystem", row.subsystem.clone());
    fact("driver", Some(row.driver.as_deref().unwrap_or("none").to_owned()));
    fact("override", driver_override(full));
    fact("link", row.link.as_deref().map(link));
    fact("NUMA node", row.numa_node.map(|node| node.to_string()));
    fact("IOMMU group", row.iommu_group.map(|group| iommu_group(full, group)));
    fact("siblings", joined(&full.siblings));
    fact("slot", row.slot.clone());
    fact("leads to bus", full.bus.map(|bus| bus.to_string()));
    fact("VF of", full.physical_function.map(|address| address.to_string()));
    fact("VFs", full.total_vfs.map(|total| format!("{} of {total}", full.virtual_functions.len())));
    fact("above", joined(&full.above));
    fact("names", joined(&full.names));
    fact("lock", Some(lock(full)));
    fact("below", (!full.below.is_empty()).then(|| count(full.below.len(), "function")));
    for below in &full.below {
        text.push_str(&format!("    {}\n", headline(below)));
    }
    let users = crate::report::text::users::listed(&full.users, "    ");
    text.push_str(&if users.is_empty() { "  users           none\n".to_owned() } else { format!("  users\n{users}") });
    match &full.remove {
        PlannedRemoval::Refused { refused } => {
            text.push_str(&format!("remove would be refused: {}\n", escaped(refused)))
        }
        PlannedRemoval::Plan(plan) => {
            if plan.needs_force.is_empty() {
                text.push_str("remove would\n");
            } else {
                let needed = crate::report::text::users::needed(&plan.needs_force);
                text.push_str(&format!("remove would be refused: {needed}; with that, remove would\n"));
            }
            text.push_str(&words::steps(&plan.steps));
        }
    }
    text
}

/// What chooses its driver: now, and when it is found again.
fn driver_override(full: &FullFunction) -> Option<String> {
    match (&full.driver_override, &full.persistent_override) {
        (None, None) => Some("unknown".to_owned()),
        (None, Some(persistent)) => Some(format!("unknown; persistent {persistent}")),
        (Some(None), None) => None,
        (Some(None), Some(persistent)) => Some(format!("none now; persistent {persistent}")),
        (Some(Some(now)), None) => Some(now.clone()),
        (Some(Some(now)), Some(persistent)) if now == persistent => Some(format!("{now}, persistent")),
        (Some(Some(now)), Some(persistent)) => Some(format!("{now} now; persistent {persistent}")),
    }
}

fn joined<T: ToString>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

/// `26`, or `26, with 0000:03:00.1`
fn iommu_group(full: &FullFunction, group: u32) -> String {
    let Some(members) = &full.iommu_group_members else { return format!("{group}, others unknown") };
    let others: Vec<_> = members.iter().filter(|member| **member != full.row.address).collect();
    joined(&others).map_or_else(|| group.to_string(), |others| format!("{group}, with {others}"))
}

/// `0000:03:00.0 Ethernet controller: Intel Corporation 82574L (e1000e)`
fn headline(row: &FunctionRow) -> String {
    let mut line = row.address.to_string();
    if let (Some(class), Some(name)) = (&row.class, &row.name) {
        line.push_str(&format!(" {}: {}", escaped(class), escaped(name)));
    }
    if let Some(driver) = &row.driver {
        line.push_str(&format!(" ({})", escaped(driver)));
    }
    line
}

fn lock(full: &FullFunction) -> String {
    let Some(holders) = &full.holders else { return "unknown".to_owned() };
    if holders.is_empty() {
        return "free".to_owned();
    }
    let words = holders.iter().map(|holder| {
        let role = if holder.role == Role::Holds { "held by" } else { "waited for by" };
        let above = if Some(&holder.place) == full.row.place.as_ref() {
            String::new()
        } else {
            format!(", at {}", holder.place)
        };
        format!("{role} {}{above}", describe_holders(std::slice::from_ref(holder)))
    });
    words.collect::<Vec<_>>().join(", ")
}
