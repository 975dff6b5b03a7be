//! What the selectors of a changing command name: functions that are there, and what is absent.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::operation::absent::not_there;
use crate::operation::context::Context;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::resolve::below::functions_of;
use crate::resolve::devices::devices_named;
use crate::resolve::functions::{Resolved, Resolver};
use crate::resolve::parts;
use crate::resolve::siblings::Selection;
use crate::topology::model::Topology;

/// What may be named.
pub(crate) struct TargetOptions {
    /// Groups, and what is named along with a function.
    pub(crate) selection: Selection,
    /// What is not there.
    pub(crate) if_present: bool,
    /// One thing of a function, as one of its disks, for the whole function.
    pub(crate) whole_device: bool,
    /// What is done to the functions, for messages: "removing".
    pub(crate) doing: &'static str,
}

/// What was named.
#[derive(Default)]
pub(crate) struct Targets {
    /// Functions that are there, in the order in which they were named.
    pub(crate) addresses: Vec<PciAddress>,
    /// What is not there, as it was named.
    pub(crate) absent: Vec<String>,
    /// Assumptions that were made, a line each.
    pub(crate) notes: Vec<String>,
}

impl Targets {
    /// Resolves the selectors of a command that changes functions.
    ///
    /// # Errors
    /// One of them names nothing, more than may be, or less than the whole of its function.
    pub(crate) fn read(context: &Context, selectors: &[Selector], options: &TargetOptions) -> Result<Self> {
        let sysfs = &context.machine.sysfs;
        let mut resolver = Resolver::new(sysfs);
        let mut targets = Self::default();
        let (mut named_devices, mut whole) = (Vec::new(), Vec::new());
        for selector in selectors {
            let named = match resolver.targets(selector, options.selection) {
                Err(error) if error.kind() == ErrorKind::NoSuchDevice && options.if_present => {
                    targets.absent.push(selector.text.clone());
                    continue;
                }
                other => other?,
            };
            for named in named {
                match named {
                    Resolved::Functions(found) => {
                        match devices_named(sysfs, selector)? {
                            Some(devices) => named_devices.push((selector, devices)),
                            None => whole.extend(found.iter().copied()),
                        }
                        targets.addresses.extend(found);
                    }
                    Resolved::Absent(address) if options.if_present => targets.absent.push(address.to_string()),
                    Resolved::Absent(address) => return Err(not_there(context, selector, address)),
                    Resolved::HostBridge(_) => return Err(host_bridge(selector)),
                }
            }
        }
        if !options.whole_device {
            refuse_parts(sysfs, &named_devices, &whole, options.doing)?;
        }
        targets.notes = resolver.notes;
        Ok(targets)
    }
}

/// Which of these went away since they were resolved: they are absent like any other.
///
/// # Errors
/// One did, and it is asked to be there.
pub(crate) fn went_away(topology: &Topology, addresses: &[PciAddress], if_present: bool) -> Result<Vec<String>> {
    let gone: Vec<&PciAddress> = addresses.iter().filter(|address| topology.find(**address).is_none()).collect();
    match gone.first() {
        Some(address) if !if_present => {
            let message = format!("{address}: went away while it was looked at");
            Err(Error::new(ErrorKind::NoSuchDevice, message).about(*address))
        }
        _ => Ok(gone.into_iter().map(ToString::to_string).collect()),
    }
}

/// Refuses names that together mean less than what would go with their functions.
fn refuse_parts(sysfs: &Sysfs, named: &[(&Selector, Vec<String>)], whole: &[PciAddress], doing: &str) -> Result<()> {
    /// More than fit on a line.
    const SHOWN: usize = 8;
    let devices: Vec<String> = named.iter().flat_map(|(_, paths)| paths.iter().cloned()).collect();
    let mut others = parts::others(sysfs, &devices)?;
    others.retain(|address, _| !whole.contains(address));
    let Some((address, also)) = others.pop_first() else { return Ok(()) };
    let by_them = |paths: &Vec<String>| functions_of(paths).contains(&address);
    let mut names: Vec<String> =
        named.iter().filter(|(_, paths)| by_them(paths)).map(|(selector, _)| selector.to_string()).collect();
    names.dedup();
    let mut told = also.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if also.len() > SHOWN {
        told.push_str(&format!(" and {} more", also.len() - SHOWN));
    }
    let message = format!("{}: with it, {doing} {address} would take {told}", names.join(", "));
    let hint = format!("if all of that is to go, add --whole-device, or name the function: {address}");
    Err(Error::usage(message).hint(hint).about(address).fact("also", also))
}

fn host_bridge(selector: &Selector) -> Error {
    let message = format!("{selector}: is a host bridge; this takes functions");
    Error::usage(message).hint(format!("pcictl tree {selector} lists those below it"))
}
