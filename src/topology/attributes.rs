//! Attributes of functions, read one function at a time: link, NUMA node, IOMMU group, slot, the devices below.
//!
//! Everything here answers without waiting for a driver. Link attributes ask the hardware, so a sleeping device is left
//! alone.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::host::root::Entries;
use crate::host::sysfs::{Dir, Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::pci::selector::is_host_bridge_name;

/// Whether drivers take VFs that appear, in the directory of their physical function.
pub(crate) const AUTOPROBE: &str = "sriov_drivers_autoprobe";

/// Speed and width of a PCI Express link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkStatus {
    /// Current speed in GT/s; `None` if the link is down or asleep.
    #[serde(default, rename = "speed_gts", alias = "speed")]
    pub speed: Option<f64>,
    /// Current width in lanes.
    #[serde(default, rename = "width_lanes", alias = "width")]
    pub width: Option<u32>,
    /// Highest speed in GT/s.
    #[serde(default, rename = "max_speed_gts", alias = "max_speed")]
    pub max_speed: Option<f64>,
    /// Highest width in lanes.
    #[serde(default, rename = "max_width_lanes", alias = "max_width")]
    pub max_width: Option<u32>,
    /// The device is in a low-power state; its link was not asked, because that would wake it.
    #[serde(default)]
    pub asleep: bool,
}

impl LinkStatus {
    /// Speed and width; `None` if either is unknown.
    fn known(&self) -> Option<(f64, u32)> {
        self.speed.zip(self.width)
    }

    /// Whether it is slower or narrower than another, as far as both are known.
    pub(crate) fn is_worse_than(&self, other: &Self) -> bool {
        match (self.known(), other.known()) {
            (Some((speed, width)), Some((old_speed, old_width))) => speed < old_speed || width < old_width,
            _ => false,
        }
    }
}

impl std::fmt::Display for LinkStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.known() {
            Some((speed, width)) => write!(f, "{speed} GT/s x{width}"),
            None => f.write_str("down"),
        }
    }
}

/// Whether a function is in a low-power state. Who asks its hardware then wakes it, or hears only that it does not answer.
///
/// D3 alone tells where runtime power management is off, or the kernel was built without it.
pub(crate) fn is_asleep(sysfs: &Sysfs, path: &str) -> bool {
    let is = |file: &str, states: &[&str]| {
        sysfs.value(&format!("{path}/{file}")).is_some_and(|state| states.contains(&state.as_str()))
    };
    is("power/runtime_status", &["suspended"]) || is("power_state", &["D3hot", "D3cold"])
}

/// Reads attributes of functions, and keeps what many functions share.
pub(crate) struct Attributes<'a> {
    sysfs: &'a Sysfs,
    /// Slot names by the device's first function; read when the first one is asked for.
    slots: Option<HashMap<PciAddress, String>>,
}

impl<'a> Attributes<'a> {
    /// Reads from this tree; nothing is read yet.
    pub(crate) fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, slots: None }
    }

    /// The link, where there is one. These files ask the hardware, so a sleeping device is left in peace.
    pub(crate) fn link(&self, path: &str) -> Option<LinkStatus> {
        let read = |name: &str| self.sysfs.read(&format!("{path}/{name}")).ok().flatten();
        if is_asleep(self.sysfs, path) {
            let has_link = self.sysfs.exists(&format!("{path}/current_link_speed"));
            return has_link.then_some(LinkStatus { asleep: true, ..LinkStatus::default() });
        }
        let speed = |name: &str| read(name)?.split(' ').next()?.parse::<f64>().ok();
        // 0 stands for no link, 255 for a device that does not answer.
        let width = |name: &str| read(name)?.parse::<u32>().ok().filter(|lanes| (1..=32).contains(lanes));
        let link = LinkStatus {
            speed: speed("current_link_speed"),
            width: width("current_link_width"),
            max_speed: speed("max_link_speed"),
            max_width: width("max_link_width"),
            asleep: false,
        };
        (link.width.is_some() || link.max_width.is_some()).then_some(link)
    }

    /// The NUMA node, where firmware tells.
    pub(crate) fn numa_node(&self, path: &str) -> Option<i32> {
        self.sysfs.read(&format!("{path}/numa_node")).ok().flatten()?.parse().ok().filter(|node| *node >= 0)
    }

    /// The IOMMU group, where there is an IOMMU.
    pub(crate) fn iommu_group(&self, path: &str) -> Option<u32> {
        self.sysfs.link_name(&format!("{path}/iommu_group")).ok().flatten()?.parse().ok()
    }

    /// The slot that this device sits in; slots name a device without its function.
    pub(crate) fn slot(&mut self, address: PciAddress) -> Option<String> {
        let sysfs = self.sysfs;
        let slots = self.slots.get_or_insert_with(|| read_slots(sysfs));
        slots.get(&PciAddress { function: 0, ..address }).cloned()
    }

    /// How many VFs the function could have.
    pub(crate) fn total_vfs(&self, path: &str) -> Option<u32> {
        self.sysfs.read(&format!("{path}/sriov_totalvfs")).ok().flatten()?.parse().ok()
    }

    /// Whether drivers take VFs of a physical function that appear; none if this kernel has no such switch (before 4.13).
    pub(crate) fn autoprobe(&self, path: &str) -> Option<bool> {
        match self.sysfs.value(&format!("{path}/{AUTOPROBE}"))?.as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }

    /// The class devices below a function, functions below it left out: `net/eth0`, `block/nvme0n1`.
    pub(crate) fn class_devices(&self, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(Some(function)) = self.sysfs.top().open(path) {
            self.devices_in(&function, &mut found, 0);
        }
        found
    }

    fn devices_in(&self, directory: &Dir, found: &mut Vec<String>, depth: usize) {
        /// A disk behind a hub behind hubs behind a USB controller is no deeper.
        const DEEPEST: usize = 64;
        if depth > DEEPEST {
            return;
        }
        let mut names: Vec<String> = Vec::new();
        // Half a listing is better than none: this is for looking.
        let _ = directory.each(&mut Entries::default(), |name, is_directory| {
            let is_function = PciAddress::from_sysfs_name(name).is_some() || is_host_bridge_name(name);
            if is_directory && !is_function && !is_without_devices(name) {
                names.push(name.to_owned());
            }
        });
        names.sort_unstable();
        for name in names {
            let class = |target: &str| target.contains("/class/").then(|| last_step(target).to_owned());
            let subsystem = directory.link(&format!("{name}/subsystem"), class).ok().flatten();
            if let Some(Some(class)) = &subsystem {
                found.push(format!("{class}/{name}"));
            }
            if subsystem.is_some() || self.may_hold_devices(directory, &name) {
                if let Ok(Some(below)) = directory.open(&name) {
                    self.devices_in(&below, found, depth + 1);
                }
            }
        }
    }

    /// Whether a directory without a subsystem has devices in it: it is one of no subsystem, or the directory that the
    /// driver core makes for a class (`net`, `block`). The others (queues, statistics) can be hundreds. A dump has few of
    /// them, and may lack `uevent`.
    fn may_hold_devices(&self, directory: &Dir, name: &str) -> bool {
        self.sysfs.is_dump()
            || self.sysfs.exists(&format!("class/{name}"))
            || directory.exists(&format!("{name}/uevent"))
    }
}

/// Directories that most functions have and that hold nothing to be used: power settings, interrupts, the services of a
/// port (`0000:00:1c.0:pcie002`, drivers/pci/pcie/portdrv.c) and the bus below it.
fn is_without_devices(name: &str) -> bool {
    matches!(name, "link" | "msi_irqs" | "pci_bus" | "power" | "statistics") || name.contains(":pcie")
}

/// Slot names by the device they hold (`0000:03:00`).
fn read_slots(sysfs: &Sysfs) -> HashMap<PciAddress, String> {
    let directory = "bus/pci/slots";
    let names = sysfs.listed(directory);
    let device = |name: &String| sysfs.read(&format!("{directory}/{name}/address")).ok().flatten();
    let first = |device: String| PciAddress::from_sysfs_name(&format!("{}.0", device.trim()));
    names.into_iter().filter_map(|name| Some((first(device(&name)?)?, name))).collect()
}
