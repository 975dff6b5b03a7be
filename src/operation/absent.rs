//! The error for an address at which nothing is: what the operator may have meant, and whether a rescan can help.

use crate::error::{Error, ErrorKind};
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::pci::selector::{Selector, is_host_bridge_name};
use crate::report::inspector::Inspector;
use crate::resolve::functions::Resolved;
use crate::resolve::scan_target::scan_target_for;
use crate::state::ledger::Ledger;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;

/// The error for a selector whose address is absent.
pub(crate) fn not_there(context: &Context, selector: &Selector, address: PciAddress) -> Error {
    let named = if selector.text == address.to_string() { String::new() } else { format!(" ({address})") };
    let mut message = format!("{selector}{named}: no such device");
    let (mut siblings, others) = similar(context, address);
    siblings.sort_unstable();
    if let Some(functions) = functions_text(&siblings) {
        let PciAddress { domain, bus, device, .. } = address;
        message.push_str(&format!("; {domain:04x}:{bus:02x}:{device:02x} has {functions}"));
    }
    let error = Error::new(ErrorKind::NoSuchDevice, message).about(address);
    match others[..] {
        [other] if siblings.is_empty() => error.hint(format!("did you mean {other}{}?", described(context, other))),
        _ if may_come_back(context, address) => {
            error.hint(format!("pcictl rescan {address} may bring it back; pcictl list shows what is there"))
        }
        _ => error.hint("pcictl list shows what is there"),
    }
}

/// Other functions of the same device, and the functions with the same number in other domains.
fn similar(context: &Context, address: PciAddress) -> (Vec<PciAddress>, Vec<PciAddress>) {
    let names = context.machine.sysfs.names("bus/pci/devices").ok().flatten().unwrap_or_default();
    let there = names.iter().filter_map(|name| PciAddress::from_sysfs_name(name));
    let near = there.filter(|other| other.bus == address.bus && other.device == address.device);
    let (siblings, others): (Vec<_>, Vec<_>) = near.partition(|other| other.domain == address.domain);
    (siblings, others.into_iter().filter(|other| other.function == address.function).collect())
}

/// "function 0 only", "functions 0, 1 and 3".
fn functions_text(siblings: &[PciAddress]) -> Option<String> {
    let numbers: Vec<String> = siblings.iter().map(|address| format!("{:x}", address.function)).collect();
    match &numbers[..] {
        [] => None,
        [only] => Some(format!("function {only} only")),
        [first @ .., last] => Some(format!("functions {} and {last}", first.join(", "))),
    }
}

/// ` (3D controller, NVIDIA Corporation GV100GL)`, where that can be read.
fn described(context: &Context, address: PciAddress) -> String {
    let sysfs = &context.machine.sysfs;
    let fields = Fields { ids: IdsOf::Devices, ..Fields::default() };
    let ids = Topology::load_only(sysfs, &[address], fields)
        .ok()
        .and_then(|topology| topology.function(topology.find(address)?).ids);
    ids.map_or_else(String::new, |ids| format!(" ({})", Inspector::new(sysfs).description(ids)))
}

/// Whether a rescan has somewhere to look: the ledger knows the address, its bus is there, or the range of a bridge holds
/// it. Host bridges do not tell their range.
fn may_come_back(context: &Context, address: PciAddress) -> bool {
    let ledger = Ledger::below(&context.machine.state).list();
    if ledger.is_ok_and(|listing| listing.entries.iter().any(|entry| entry.record.is_about(address))) {
        return true;
    }
    let targets = scan_target_for(&context.machine.sysfs, &Resolved::Absent(address)).unwrap_or_default();
    targets.iter().any(|target| {
        target.bus == Some(address.bus_number()) || !target.bridge.rsplit('/').next().is_none_or(is_host_bridge_name)
    })
}
