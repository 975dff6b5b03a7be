//! Which slot an operator means: by its name, by the address of what is or was in it, or by a name of what is in it.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::near_misses::{hint, near};
use crate::topology::slots::Slot;

/// The slot of that name, else the one that what is named sits in.
///
/// # Errors
/// There is none, or several.
pub(crate) fn find_slot(sysfs: &Sysfs, text: &str) -> Result<Slot> {
    let name = text.strip_prefix("slot:").unwrap_or(text);
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if is_name {
        if let Some(slot) = Slot::read(sysfs, name)? {
            return Ok(slot);
        }
    }
    let addresses = addresses(sysfs, text);
    let mut slots = Slot::all(sysfs);
    slots.retain(|slot| addresses.iter().any(|address| slot.holds(*address)));
    match slots.len() {
        1 => Ok(slots.remove(0)),
        0 => Err(no_slot(sysfs, text, &addresses)),
        _ => {
            let names: Vec<String> = slots.into_iter().map(|slot| slot.name).collect();
            let message = format!("{text}: is in several slots: {}", names.join(", "));
            Err(Error::new(ErrorKind::Ambiguous, message).hint("name one of them").fact("candidates", names))
        }
    }
}

/// What else than a slot's name it may be: an address, with or without its function, or a name of functions that are there.
fn addresses(sysfs: &Sysfs, text: &str) -> Vec<PciAddress> {
    if let Some(first) = PciAddress::from_sysfs_name(&format!("{text}.0")) {
        return vec![first];
    }
    let named = text.parse::<Selector>().ok().and_then(|selector| Resolver::new(sysfs).named(&selector).ok());
    match named {
        Some(Resolved::Functions(found)) => found,
        Some(Resolved::Absent(address)) => vec![address],
        Some(Resolved::HostBridge(_)) | None => Vec::new(),
    }
}

fn no_slot(sysfs: &Sysfs, text: &str, addresses: &[PciAddress]) -> Error {
    let is_there = |address: &&PciAddress| sysfs.has_function(**address);
    let message = match addresses.iter().find(is_there) {
        Some(address) if address.to_string() != text => {
            format!("{text} ({address}): sits in no slot that the kernel knows")
        }
        Some(_) => format!("{text}: sits in no slot that the kernel knows"),
        None => format!("{text}: no such slot"),
    };
    let known: Vec<String> = Slot::all(sysfs).into_iter().map(|slot| slot.name).collect();
    let near = if addresses.is_empty() { near(text, known) } else { Vec::new() };
    Error::new(ErrorKind::NoSuchDevice, message)
        .hint(hint("", &near, "pcictl slot list shows the slots that there are"))
        .fact("slot", text)
}
