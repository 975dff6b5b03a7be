//! Names of what is not a function: slots, drivers, interrupted operations, reset methods; and addresses where nothing is
//! any more.

use crate::cli::completion::{Candidate, Wanted};
use crate::commands::complete::devices::Devices;
use crate::operation::context::Context;
use crate::operation::removal_record;
use crate::pci::ids::Ids;
use crate::report::text::words::count;
use crate::topology::paths::DEVICES;
use crate::topology::reset_methods::{Reach, ResetMethods};
use crate::topology::slots::Slot;
use crate::verify::record::DeviceRecord;

/// Slots, with what is in them.
pub(crate) fn slots(devices: &Devices) -> Vec<Candidate> {
    let describe = |slot: &Slot| {
        let place = slot.address.map_or_else(String::new, |address| address.to_string());
        let inside = devices.functions().find(|function| slot.holds(function.address));
        let inside = inside.map_or_else(|| "empty".to_owned(), |function| devices.describe(function));
        if place.is_empty() { String::new() } else { format!("{place}, {inside}") }
    };
    Slot::all(devices.sysfs).iter().map(|slot| Candidate::new(slot.name.as_str(), describe(slot))).collect()
}

/// Drivers that are loaded, with how many functions each has.
pub(crate) fn drivers(devices: &Devices) -> Vec<Candidate> {
    let bound =
        |driver: &str| devices.functions().filter(|function| function.driver.as_deref() == Some(driver)).count();
    let names = devices.sysfs.listed("bus/pci/drivers");
    names
        .into_iter()
        .map(|name| (bound(&name), name))
        .map(|(bound, name)| Candidate::new(name, count(bound, "function")))
        .collect()
}

/// What `recover` can take on, with the commands that began it.
pub(crate) fn operations(context: &Context) -> Vec<Candidate> {
    let (journals, boot) = (context.journals(), context.machine.boot_id());
    let orphans = journals.orphans(&boot);
    let found = journals.list().unwrap_or_default();
    let open = found.iter().filter(|found| !found.busy).filter_map(|found| match &found.record {
        Ok(record) if record.closed.is_none() => Some(Candidate::new(found.id(), record.header.command.as_str())),
        Ok(_) => None,
        Err(why) => Some(Candidate::new(found.id(), why.to_string())),
    });
    let left = orphans.rebooted.iter().chain(&orphans.lost);
    open.chain(left.map(|header| Candidate::new(header.id.as_str(), header.command.as_str()))).collect()
}

/// The ways to reset the functions that were named; of all, where none was.
pub(crate) fn methods(devices: &Devices, wanted: &Wanted) -> Vec<Candidate> {
    let is_meant = |address: &str| wanted.selectors.iter().any(|selector| address.ends_with(selector.as_str()));
    let addresses: Vec<String> = devices.functions().map(|function| function.address.to_string()).collect();
    let any = addresses.iter().any(|address| is_meant(address));
    let mut found: Vec<Candidate> = Vec::new();
    for address in addresses.iter().filter(|address| !any || is_meant(address)) {
        let methods = ResetMethods::read(devices.sysfs, &format!("{DEVICES}/{address}"));
        for method in methods.listed().unwrap_or_default() {
            if found.iter().all(|known| known.value != *method) {
                let hits = if Reach::of(method) == Reach::Bus { "resets the bus" } else { "resets the function" };
                found.push(Candidate::new(method.as_str(), hits));
            }
        }
    }
    found
}

/// What `--expect` takes: what must appear, by its address or by what it is.
pub(crate) fn expectations(context: &Context, devices: &Devices, wanted: &Wanted) -> Vec<Candidate> {
    if wanted.typed.starts_with("driver=") {
        return prefixed("driver=", drivers(devices));
    }
    let keys = [
        ("driver=", "its driver"),
        ("id=", "its vendor and device, as in 8086:10d3"),
        ("link=", "its speed and lanes, as in 16x8"),
        ("count=", "how many functions"),
    ];
    gone(context, devices).into_iter().chain(keys.map(|(key, means)| Candidate::new(key, means))).collect()
}

/// What was removed and is not back, with what it was.
pub(crate) fn gone(context: &Context, devices: &Devices) -> Vec<Candidate> {
    let entries = removal_record::listing(context).entries;
    let gone = entries.iter().map(|entry| &entry.record).filter(|was| !devices.sysfs.has_function(was.address));
    let describe = |was: &DeviceRecord| {
        let things: Vec<String> = was.names.values().flatten().take(4).cloned().collect();
        format!("gone: {}", devices.description(ids_of(was), &things, was.driver.as_deref()))
    };
    gone.map(|was| Candidate::new(was.address.to_string(), describe(was))).collect()
}

/// What a record says it was.
fn ids_of(was: &DeviceRecord) -> Option<Ids> {
    let (vendor, device) = was.ids.as_ref()?.split_once(':')?;
    let id = |text: &str| u16::from_str_radix(text, 16).ok();
    let class = u32::from_str_radix(was.class.as_ref()?, 16).ok()?;
    Some(Ids { vendor: id(vendor)?, device: id(device)?, subsystem_vendor: 0, subsystem_device: 0, class })
}

/// The same words with something before each.
pub(crate) fn prefixed(before: &str, words: Vec<Candidate>) -> Vec<Candidate> {
    let add = |word: Candidate| Candidate { value: format!("{before}{}", word.value), ..word };
    words.into_iter().map(add).collect()
}
