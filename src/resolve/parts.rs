//! What else a function has, where a name means less than what goes with it: one of two disks of a controller, one of two
//! ports of a card, a stick on a USB controller.
//!
//! What counts is what an administrator would miss: disks, tapes, interfaces, serial ports, and whatever is plugged into
//! USB. It does NOT count what a driver shows of one and the same thing, as the RDMA device of a network port.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::host::sysfs::{Sysfs, last_step};
use crate::host::text::is_number;
use crate::pci::address::PciAddress;
use crate::resolve::below::{last_address, names, namespace, target};

/// One thing of a function.
struct Part {
    directory: String,
    /// What it is called.
    names: Vec<String>,
}

/// What would go with these devices' functions besides them: names, by function.
///
/// # Errors
/// sysfs may not be read.
pub(crate) fn others(sysfs: &Sysfs, devices: &[String]) -> Result<BTreeMap<PciAddress, Vec<String>>> {
    let mut found = BTreeMap::new();
    let mut by_function: BTreeMap<PciAddress, Vec<&str>> = BTreeMap::new();
    for device in devices {
        if let Some(address) = last_address(device) {
            by_function.entry(address).or_default().push(device);
        }
    }
    if by_function.is_empty() {
        return Ok(found);
    }
    let mut parts = parts(sysfs)?;
    for (address, named) in by_function {
        let parts = parts.remove(&address).unwrap_or_default();
        let in_any = |device: &str| parts.iter().any(|part| part.has(device));
        // What a driver shows of a device lies beside its parts, two steps below it: `.../host0/scsi_host/host0`.
        let owner = |device: &str| device.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
        let named: Vec<String> =
            named.iter().map(|device| if in_any(device) { (*device).to_owned() } else { owner(device) }).collect();
        let is_named = |part: &Part| named.iter().any(|device| part.has(device));
        // What has none of the parts is the function's own: it stands for the whole.
        let is_whole = named.iter().any(|device| !in_any(device));
        let others: Vec<String> = parts.iter().filter(|part| !is_whole && !is_named(part)).map(Part::label).collect();
        if !others.is_empty() {
            found.insert(address, others);
        }
    }
    Ok(found)
}

impl Part {
    /// Whether a device is this part, or in it, or has it.
    fn has(&self, device: &str) -> bool {
        let is_in = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let disk = namespace(last_step(device));
        is_in(device, &self.directory)
            || is_in(&self.directory, device)
            || disk.is_some() && self.names.iter().any(|name| namespace(name) == disk)
    }

    fn label(&self) -> String {
        match self.names.as_slice() {
            [] => format!("USB device {}", last_step(&self.directory)),
            names => {
                let known = |name: &String| namespace(name).unwrap_or_else(|| name.clone());
                names.iter().map(known).collect::<Vec<_>>().join(" and ")
            }
        }
    }
}

/// The parts of all functions.
fn parts(sysfs: &Sysfs) -> Result<BTreeMap<PciAddress, Vec<Part>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for class in ["block", "net", "scsi_tape", "tty"] {
        let directory = format!("class/{class}");
        let all = names(sysfs, &directory)?;
        for name in &all {
            let Some(path) = target(sysfs, &directory, name)?.filter(|path| last_address(path).is_some()) else {
                continue;
            };
            // A partition is within its disk, and a tape's other nodes are the same tape.
            let is_partition =
                class == "block" && path.rsplit('/').nth(1).is_some_and(|above| all.iter().any(|name| name == above));
            let names = found.entry(directory_of(&path)).or_default();
            if !is_partition && (class != "scsi_tape" || name.starts_with("st")) {
                names.push(name.clone());
            }
        }
    }
    for name in names(sysfs, "dev/char")?.iter().filter(|name| name.starts_with(USB)) {
        if let Some(path) = target(sysfs, "dev/char", name)?.filter(|path| last_address(path).is_some()) {
            let directory = directory_of(&path);
            // The controller's own hub is no device.
            if directory != path || !last_step(&path).starts_with("usb") {
                found.entry(directory).or_default();
            }
        }
    }
    let mut parts: BTreeMap<PciAddress, Vec<Part>> = BTreeMap::new();
    for (directory, mut names) in found {
        names.sort_unstable();
        names.dedup();
        let Some(address) = last_address(&directory) else { continue };
        parts.entry(address).or_default().push(Part { directory, names });
    }
    Ok(parts)
}

/// How USB devices are numbered (drivers/usb/core/devio.c).
const USB: &str = "189:";

/// The directory of the thing that a class device is of: what is plugged into a USB port, the SCSI device of a disk, the
/// disk of a partition, or itself.
fn directory_of(path: &str) -> String {
    let steps: Vec<&str> = path.split('/').collect();
    let function = steps.iter().rposition(|step| PciAddress::from_sysfs_name(step).is_some()).unwrap_or(0);
    let up_to = |index: usize| steps[..=index.min(steps.len() - 1)].join("/");
    for (index, step) in steps.iter().enumerate().skip(function + 1) {
        if step.strip_prefix("usb").is_some_and(is_number) {
            return up_to(index + 1);
        }
        let numbers: Vec<&str> = step.split(':').collect();
        if numbers.len() == 4 && numbers.into_iter().all(is_number) {
            return up_to(index);
        }
        // `.../block/sda/sda1`, `.../nvme/nvme0/nvme0n1/nvme0n1p1`, `.../virtio0/block/vda/vda1`.
        if *step == "block" || namespace(step).is_some() {
            return up_to(index + usize::from(*step == "block"));
        }
    }
    path.to_owned()
}
