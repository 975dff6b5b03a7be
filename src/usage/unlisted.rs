//! Functions whose users nobody can list: not knowing is not "none".
//!
//! A driver that offers no disk, interface or node below its function may serve others inside the kernel, or through a
//! node that hangs nowhere. Unless its class is one whose users are seen, or that nobody depends on, it is said that they
//! cannot be seen.

use std::collections::{BTreeSet, HashMap};

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Inventory, Scope, linked};
use crate::usage::virtio::VirtioDevice;

/// Drivers of virtio devices whose users are seen, or that nobody depends on: a balloon, a source of random numbers.
const VIRTIO: [&str; 11] = [
    "9pnet_virtio",
    "virtio_balloon",
    "virtio_blk",
    "virtio_console",
    "virtio_gpu",
    "virtio_input",
    "virtio_net",
    "virtio_rng",
    "virtio_scsi",
    "virtio_snd",
    "virtiofs",
];

/// Drivers that take a function so that nobody else does, or whose users are told by another look.
const IDLE: [&str; 6] = ["pci-stub", "pciback", "xen-pciback", "pcieport", "shpchp", "vboxguest"];

/// Whether the users of such a class are seen where there are any, or none depends on it (class codes by
/// include/linux/pci_ids.h).
fn is_seen(class: u32) -> bool {
    match class >> 8 {
        // Disks and hosts, interfaces, displays, sound and cameras, bridges, keyboards, wireless cards.
        0x0100..=0x04ff | 0x0600..=0x06ff | 0x0900..=0x09ff | 0x0d00..=0x0dff => true,
        // VGA-compatible before there were classes; RAM, flash and memory controllers.
        0x0001 | 0x0500 | 0x0501 | 0x0580 => true,
        // QEMU's edu and pci-testdev: of no class that the standard knows. Virtio devices are told by their driver.
        0x00ff => true,
        // Serial and parallel ports.
        0x0700..=0x0703 => true,
        // Interrupt and DMA controllers, timers, clocks, hot-plug controllers, SD hosts, IOMMUs, other peripherals.
        0x0800..=0x08ff => true,
        // FireWire, USB, Fibre Channel (disks, and targets as far as they are enabled), SMBus, IPMI, other serial buses.
        0x0c00 | 0x0c03 | 0x0c04 | 0x0c05 | 0x0c07 | 0x0c80 => true,
        // Counters and sensors.
        0x1101 | 0x1180 | 0x1300 => true,
        _ => false,
    }
}

/// A user for each function whose users cannot be listed. Those in `told` have been looked at otherwise.
pub(crate) fn users(
    sysfs: &Sysfs,
    scope: &Scope,
    inventory: &Inventory,
    virtio: &[VirtioDevice],
    told: &BTreeSet<PciAddress>,
) -> Vec<User> {
    let mut seen: BTreeSet<PciAddress> = told.clone();
    seen.extend(inventory.own_blocks.iter().map(|(address, _)| *address));
    let ports = |device: &&(PciAddress, crate::usage::scope::Device)| !device.1.path.contains("/virtio-ports/");
    seen.extend(inventory.characters.iter().filter(ports).map(|(address, _)| *address));
    let mut interfaces: Option<BTreeSet<PciAddress>> = None;
    let mut of_virtual: HashMap<&str, Option<u32>> = HashMap::new();
    let mut users = Vec::new();
    for (address, function) in scope.iter() {
        let Some(driver) = function.driver.as_deref() else { continue };
        if seen.contains(&address) || IDLE.contains(&driver) {
            continue;
        }
        let mut below = virtio.iter().filter(|device| device.address == Some(address)).peekable();
        let (driver, class) = if below.peek().is_some() {
            let unknown = below.find_map(|device| device.driver.as_deref().filter(|driver| !VIRTIO.contains(driver)));
            let Some(unknown) = unknown else { continue };
            (unknown, None)
        } else {
            // Virtual functions of one driver are of one class, and there may be hundreds.
            let class = match function.physical {
                Some(_) => *of_virtual.entry(driver).or_insert_with(|| function.class(sysfs)),
                None => function.class(sysfs),
            };
            if class.is_none_or(is_seen) {
                continue;
            }
            (driver, class)
        };
        let owners = || linked(sysfs, "class/net").iter().filter_map(|(_, path)| scope.owner(path)).collect();
        if !interfaces.get_or_insert_with(owners).contains(&address) {
            users.push(unlisted(address, driver, class));
        }
    }
    users
}

fn unlisted(address: PciAddress, driver: &str, class: Option<u32>) -> User {
    let class = class.map_or_else(String::new, |class| format!(" (class {:04x})", class >> 8));
    let text = format!("who uses {address}{class} through driver {driver} cannot be seen");
    User::new(Danger::Unchecked, address, driver, "unknown", text)
}
