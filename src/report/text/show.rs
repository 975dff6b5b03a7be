//! `show`: one function, a fact a line.

use colored::Colorize;

use crate::host::text::escaped;
use crate::lock::holders::describe_holders;
use crate::lock::proc_locks::Role;
use crate::report::change::PlannedRemoval;
use crate::report::details::DeviceValue;
use crate::report::power::FunctionPower;
use crate::report::rows::{FullFunction, FunctionRow, PlannedScan, ProtectedReport};
use crate::report::text::cells::link;
use crate::report::text::words::{self, count};
use crate::topology::aer::AerCounters;
use crate::topology::regions::{Region, RegionKind};

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
    let details = row.details.as_deref();
    fact("ids", row.ids_text());
    fact("class", row.class_code());
    fact("revision", details.and_then(|details| details.revision.clone()));
    fact("subsystem", row.subsystem().map(|ids| named_subsystem(full, &ids)));
    fact("driver", Some(row.driver.as_deref().unwrap_or("none").to_owned()));
    fact("modules", full.modules.as_ref().map(|modules| joined(modules).unwrap_or_else(|| "none known".to_owned())));
    fact("override", driver_override(full));
    fact("link", row.link.as_deref().map(link));
    fact("power", power(&full.power));
    fact("reset", details.and_then(|details| details.reset_methods.as_deref()).map(reset));
    fact("AER", details.and_then(|details| details.aer.as_ref()).map(aer));
    for region in full.regions.iter().flatten() {
        fact(&region_name(region), Some(range(region)));
    }
    fact("NUMA node", numa(full));
    fact("IOMMU group", row.iommu_group.map(|group| iommu_group(full, group)));
    fact("siblings", joined(&full.siblings));
    fact("slot", row.slot.as_ref().map(|slot| named_slot(full, slot)));
    fact("leads to bus", full.bus.map(|bus| bus.to_string()));
    fact("VF of", full.physical_function.map(|address| address.to_string()));
    fact("VFs", full.total_vfs.map(|total| format!("{} of {total}", full.virtual_functions.len())));
    fact("above", joined(&full.above));
    fact("names", joined(&full.names));
    for (name, values) in [
        ("serial", details.and_then(|details| details.serial_numbers.as_ref())),
        ("MAC", details.and_then(|details| details.mac_addresses.as_ref())),
    ] {
        for DeviceValue { device, value } in values.into_iter().flatten() {
            fact(name, Some(format!("{value} ({device})")));
        }
    }
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
    if let Some(PlannedScan { bus, why }) = &full.rescan {
        text.push_str(&format!("rescan would scan bus {bus}: {}\n", escaped(why)));
    }
    text
}

/// `15d9:095d Super Micro Computer Inc Device 095d`
fn named_subsystem(full: &FullFunction, ids: &str) -> String {
    full.subsystem_name.as_ref().map_or_else(|| ids.to_owned(), |name| format!("{ids} {name}"))
}

/// `D0, runtime auto (active), D3cold allowed, wakeup off`
fn power(power: &FunctionPower) -> Option<String> {
    let mut words: Vec<String> = power.power_state.iter().cloned().collect();
    match (&power.runtime, &power.runtime_status) {
        (Some(control), Some(status)) => words.push(format!("runtime {control} ({status})")),
        (Some(one), None) | (None, Some(one)) => words.push(format!("runtime {one}")),
        (None, None) => {}
    }
    words.extend(power.d3cold.map(|is| format!("D3cold {}", if is { "allowed" } else { "not allowed" })));
    words.extend(power.wakeup.map(|is| format!("wakeup {}", if is { "on" } else { "off" })));
    (!words.is_empty()).then(|| words.join(", "))
}

fn reset(methods: &[String]) -> String {
    joined(methods).unwrap_or_else(|| "none".to_owned())
}

/// `correctable 3, nonfatal 0, fatal 0 (RxErr 2, BadTLP 1)`
fn aer(counters: &AerCounters) -> String {
    let AerCounters { correctable, nonfatal, fatal, kinds } = counters;
    let mut text = format!("correctable {correctable}, nonfatal {nonfatal}, fatal {fatal}");
    if !kinds.is_empty() {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        text.push_str(&format!(" ({})", kinds.join(", ")));
    }
    text
}

fn region_name(region: &Region) -> String {
    match region.kind {
        RegionKind::Bar => format!("BAR {}", region.number),
        RegionKind::Rom => "ROM".to_owned(),
        RegionKind::VfBar => format!("VF BAR {}", region.number),
        RegionKind::Window => format!("window {}", region.number),
    }
}

/// `0xfa000000, 16 MiB, 64-bit, prefetchable`
fn range(region: &Region) -> String {
    let mut text = region.start.map_or_else(|| "no address".to_owned(), |start| format!("{start:#x}"));
    text.push_str(&format!(", {}", size(region.size_bytes)));
    for (is_so, word) in
        [(region.is_io, "I/O ports"), (region.is_64_bit, "64-bit"), (region.is_prefetchable, "prefetchable")]
    {
        if is_so {
            text.push_str(&format!(", {word}"));
        }
    }
    text
}

/// `16 MiB`; sizes are powers of two, or many of one.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (bytes, 0);
    while number >= 1024 && number % 1024 == 0 && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024, unit + 1);
    }
    format!("{number} {}", UNITS[unit])
}

/// `0, near CPUs 0-15,32-47`
fn numa(full: &FullFunction) -> Option<String> {
    let node = full.row.numa_node.map(|node| node.to_string());
    match (node, &full.local_cpus) {
        (Some(node), Some(cpus)) => Some(format!("{node}, near CPUs {cpus}")),
        (node, _) => node,
    }
}

/// `26 (pciehp: power, attention)`
fn named_slot(full: &FullFunction, slot: &str) -> String {
    let mut facts: Vec<String> = full.slot_driver.iter().cloned().collect();
    let controls = full.slot_controls.as_deref().unwrap_or_default();
    let controls: Vec<&str> = controls.iter().map(|control| control.name()).collect();
    facts.push(if controls.is_empty() { "nothing to switch or to read".to_owned() } else { controls.join(" ") });
    format!("{slot} ({})", facts.join(": "))
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

/// What the site protects: an entry, where it stands, and what it means now.
pub(crate) fn protected(report: &ProtectedReport) -> String {
    let mut text = String::new();
    for entry in &report.protected {
        let functions: Vec<String> = entry.functions.iter().map(ToString::to_string).collect();
        let now = match functions.len() {
            0 => "nothing: no device matches it".red().to_string(),
            _ => functions.join(", "),
        };
        let (selector, reason, place) = (escaped(&entry.selector), escaped(&entry.reason), escaped(&entry.place));
        text.push_str(&format!("{selector}  {reason}\n  protects    {now}\n  written in  {place}\n"));
    }
    if text.is_empty() { "the site protects nothing\n".to_owned() } else { text }
}
