//! Selectors: addresses as people begin to type them, host bridges, interfaces and disks, nodes, and groups.

use crate::cli::completion::{Candidate, Wanted};
use crate::commands::complete::devices::Devices;
use crate::commands::complete::names;
use crate::host::text::compare_naturally;
use crate::operation::context::Context;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::ids::{Ids, ids_text};
use crate::pci::selector::{CLASS_NAMES, ClassPattern};
use crate::report::text::words::count;
use crate::resolve::class_names::things;
use crate::topology::model::Function;

/// The groups that functions can be named by, and what follows the colon.
const GROUPS: [(&str, &str); 4] = [
    ("driver:", "the functions of a driver"),
    ("class:", "the functions of a class, as in class:nvme"),
    ("id:", "the functions of a vendor and device, as in id:8086:10d3"),
    ("slot:", "the functions in a slot"),
];

/// Commands that take a host bridge.
const OF_HOST_BRIDGES: [&str; 7] = ["list", "tree", "locks", "lock", "rescan", "wait", "dump"];

/// Commands that take what is gone.
const OF_GONE: [&str; 3] = ["rescan", "wait", "lock"];

/// What may stand for a selector.
pub(crate) fn selectors(context: &Context, devices: &Devices, wanted: &Wanted) -> Vec<Candidate> {
    let typed = wanted.typed.as_str();
    if typed.starts_with('/') {
        return devices_matching(devices, wanted, &|name, typed| node(name).filter(|node| node.starts_with(typed)));
    }
    let Some((group, _)) = GROUPS.iter().find(|(group, _)| typed.starts_with(group)) else {
        return single(context, devices, wanted);
    };
    let of_group = match *group {
        "driver:" => drivers(devices),
        "class:" => classes(devices),
        "id:" => ids(devices),
        _ => names::slots(devices),
    };
    let mut found = names::prefixed(group, of_group);
    let lower = typed.to_ascii_lowercase();
    found.retain(|group| group.value.starts_with(typed) || group.value.starts_with(&lower));
    found
}

/// Names of one thing, and the beginnings of groups.
fn single(context: &Context, devices: &Devices, wanted: &Wanted) -> Vec<Candidate> {
    let (typed, command) = (wanted.typed.as_str(), wanted.command.as_str());
    let mut found = if OF_GONE.contains(&command) { names::gone(context, devices) } else { Vec::new() };
    found.retain(|gone| is_beginning(typed, &gone.value));
    let is_given = |address: &str| wanted.given.iter().any(|given| given.contains(':') && is_beginning(given, address));
    found.retain(|gone| !is_given(&gone.value));
    for gone in &mut found {
        if let Some(address) = PciAddress::from_sysfs_name(&gone.value) {
            gone.value = as_typed(devices, address, typed);
        }
    }
    for function in devices.functions().filter(|function| fits(devices, function, command)) {
        let address = function.address.to_string();
        if is_beginning(typed, &address) && !is_given(&address) {
            found.push(Candidate::new(as_typed(devices, function.address, typed), devices.describe(function)));
        }
    }
    if OF_HOST_BRIDGES.contains(&command) {
        let mut bridges: Vec<&String> = devices.topology.by_name.keys().collect();
        order::sort(&mut bridges);
        let matching = bridges.into_iter().filter(|name| name.starts_with(typed));
        found.extend(matching.map(|name| Candidate::new(name.as_str(), "host bridge")));
    }
    found.extend(devices_matching(devices, wanted, &|name, typed| {
        let plain = name.rsplit('/').next().unwrap_or(name);
        let text = if typed.contains('/') { name } else { plain };
        text.starts_with(typed).then(|| text.to_owned())
    }));
    if command != "sriov" {
        let groups = GROUPS.iter().filter(|(group, _)| group.starts_with(typed));
        found.extend(groups.map(|(group, means)| Candidate::new(*group, *means)));
    }
    found
}

/// Whether a text begins an address, in full or without its domain.
fn is_beginning(typed: &str, address: &str) -> bool {
    let typed = typed.to_ascii_lowercase();
    let short = address.split_once(':').map_or(address, |(_, short)| short);
    address.starts_with(&typed) || short.starts_with(&typed)
}

/// The address, in full unless somebody has typed the bus with its colon and so goes on without the domain: bash leaves
/// alone what stands before a colon. Without a domain it must mean the same function.
fn as_typed(devices: &Devices, address: PciAddress, typed: &str) -> String {
    let text = address.to_string();
    let is_short = typed.contains(':') && !text.starts_with(&typed.to_ascii_lowercase());
    let mut buses = devices.functions().map(|function| function.address).filter(|other| other.bus == address.bus);
    let is_clear = address.domain == 0 || buses.all(|other| other.domain == address.domain);
    match text.split_once(':') {
        Some((_, short)) if is_short && is_clear => short.to_owned(),
        _ => text,
    }
}

/// Whether a command has something to do for a function.
fn fits(devices: &Devices, function: &Function, command: &str) -> bool {
    match command {
        "bind" => function.driver.is_none(),
        "unbind" => function.driver.is_some(),
        "sriov" => devices.sysfs.exists(&format!("{}/sriov_totalvfs", function.address.sysfs_link())),
        _ => true,
    }
}

/// Things on functions, by the names that `write` makes of `net/eth0` and the like for what was typed.
fn devices_matching(
    devices: &Devices,
    wanted: &Wanted,
    write: &dyn Fn(&str, &str) -> Option<String>,
) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for function in devices.functions().filter(|function| fits(devices, function, &wanted.command)) {
        let Some(all) = devices.names.get(&function.address) else { continue };
        let things = things(all);
        // Without a beginning only disks and interfaces are offered, by one name each.
        let is_offered = |name: &str| {
            let (class, plain) = name.split_once('/').unwrap_or_default();
            !wanted.typed.is_empty() || matches!(class, "net" | "block") && things.iter().any(|thing| thing == plain)
        };
        let names = all.iter().filter(|name| is_offered(name));
        let description = devices.description(function.ids, &[], function.driver.as_deref());
        for text in names.filter_map(|name| write(name, &wanted.typed)) {
            if found.iter().all(|known| known.value != text) {
                found.push(Candidate::new(text, format!("{}, {description}", function.address)));
            }
        }
    }
    order::sort_by(&mut found, |a: &Candidate, b| compare_naturally(&a.value, &b.value));
    found
}

/// Where udev and the kernel put the node of a device.
fn node(name: &str) -> Option<String> {
    let (class, name) = name.split_once('/')?;
    let name = name.replace('!', "/");
    match class {
        "block" | "scsi_tape" | "nvme" => Some(format!("/dev/{name}")),
        "drm" if !name.contains('-') => Some(format!("/dev/dri/{name}")),
        "accel" => Some(format!("/dev/accel/{name}")),
        _ => None,
    }
}

/// Drivers that have a function.
fn drivers(devices: &Devices) -> Vec<Candidate> {
    let mut drivers = names::drivers(devices);
    drivers.retain(|driver| devices.functions().any(|function| function.driver.as_deref() == Some(&driver.value)));
    drivers
}

/// Classes that are there, by name and by code.
fn classes(devices: &Devices) -> Vec<Candidate> {
    let all: Vec<u32> = devices.functions().filter_map(|function| function.ids).map(|ids| ids.class).collect();
    let named = CLASS_NAMES.iter().filter_map(|(name, code)| {
        let pattern = ClassPattern { code: u32::from_str_radix(code, 16).ok()?, digits: code.len() as u8 };
        let number = all.iter().filter(|class| pattern.matches(**class)).count();
        (number > 0).then(|| Candidate::new(*name, count(number, "function")))
    });
    let mut found: Vec<Candidate> = named.collect();
    let mut codes: Vec<u32> = all.iter().map(|class| class >> 8).collect();
    order::sort(&mut codes);
    codes.dedup();
    found.extend(codes.iter().map(|code| {
        let number = all.iter().filter(|class| *class >> 8 == *code).count();
        Candidate::new(format!("{code:04x}"), format!("{}, {}", devices.class(code << 8), count(number, "function")))
    }));
    found
}

/// Vendors and devices that are there.
fn ids(devices: &Devices) -> Vec<Candidate> {
    let all: Vec<Ids> = devices.functions().filter_map(|function| function.ids).collect();
    let mut found: Vec<Candidate> = Vec::new();
    for ids in &all {
        let text = ids_text(*ids);
        if found.iter().all(|known| known.value != text) {
            let number = all.iter().filter(|other| ids_text(**other) == text).count();
            found.push(Candidate::new(text, format!("{}, {}", devices.device(*ids), count(number, "function"))));
        }
    }
    order::sort_by(&mut found, |a: &Candidate, b| a.value.cmp(&b.value));
    found
}
