//! What a function is, beyond its place: link, NUMA node, slot, names; read when it is to be shown.

use std::collections::HashMap;
use std::sync::Arc;

use crate::host::pci_ids::Names;
use crate::host::sysfs::{Dir, Entries, Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::pci::ids::{Ids, ids_text, subsystem_text};
use crate::pci::selector::is_host_bridge_name;
use crate::report::change::Seen;
use crate::report::rows::{Column, FunctionRow, Link};
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::{FunctionId, Topology};

/// Reads what rows show, and keeps what many rows share.
pub(crate) struct Inspector<'a> {
    sysfs: &'a Sysfs,
    names: Option<Names>,
    /// By the device's first function.
    slots: Option<HashMap<PciAddress, String>>,
}

/// What a topology must have read for these columns.
pub(crate) fn fields_for(columns: &[Column]) -> Fields {
    let any = |wanted: &[Column]| columns.iter().any(|column| wanted.contains(column));
    let ids = any(&[Column::Class, Column::ClassCode, Column::Name, Column::Ids, Column::Subsystem]);
    Fields {
        ids: if ids { IdsOf::Devices } else { IdsOf::Nobody },
        driver: any(&[Column::Driver, Column::InUse]),
        virtual_of: any(&[Column::Place, Column::Link, Column::InUse]),
        index: any(&[Column::Place]),
        buses: false,
    }
}

impl<'a> Inspector<'a> {
    /// Looks into this tree; nothing is read yet.
    pub(crate) fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, names: None, slots: None }
    }

    /// Names from pci.ids, which is opened when the first one is asked for.
    fn names(&mut self) -> &mut Names {
        self.names.get_or_insert_with(|| Names::load(self.sysfs.root()))
    }

    /// One function with these columns filled in.
    pub(crate) fn row(&mut self, topology: &Topology, id: FunctionId, columns: &[Column]) -> FunctionRow {
        let function = topology.function(id);
        let ids = function.ids;
        let wants = |column: Column| columns.contains(&column);
        let is_virtual = function.virtual_of.is_some();
        let in_files = [Column::Link, Column::Numa, Column::Iommu];
        let path = if in_files.into_iter().any(wants) { topology.path(id) } else { String::new() };
        FunctionRow {
            address: function.address,
            class_code: ids.filter(|_| wants(Column::ClassCode)).map(|ids| format!("{:06x}", ids.class)),
            class: ids.filter(|_| wants(Column::Class)).map(|ids| self.class(ids)),
            name: ids.filter(|_| wants(Column::Name)).map(|ids| self.names().function(ids)),
            ids: ids.filter(|_| wants(Column::Ids)).map(ids_text),
            subsystem: ids.filter(|_| wants(Column::Subsystem)).and_then(subsystem_text),
            driver: function.driver.clone().filter(|_| wants(Column::Driver)),
            // A virtual function's is its PF's; its own registers read zero.
            link: if wants(Column::Link) && !is_virtual { self.link(&path).map(Box::new) } else { None },
            numa_node: if wants(Column::Numa) { self.numa_node(&path) } else { None },
            slot: if wants(Column::Slot) { self.slot(function.address) } else { None },
            iommu_group: if wants(Column::Iommu) { self.iommu_group(&path) } else { None },
            in_use_by: None,
            place: wants(Column::Place).then(|| topology.place(id)),
        }
    }

    /// A function as reports of a change name it.
    pub(crate) fn seen(&mut self, address: PciAddress, ids: Option<Ids>, driver: Option<&str>) -> Seen {
        Seen {
            address,
            ids: ids.map(ids_text),
            name: ids.map(|ids| self.names().function(ids).to_string()),
            driver: driver.map(str::to_owned),
        }
    }

    fn class(&mut self, ids: Ids) -> Arc<str> {
        self.names().class(ids.class).unwrap_or_else(|| format!("Class {:04x}", ids.class >> 8).into())
    }

    /// The link, where there is one. These files ask the hardware, so a sleeping device is left in peace.
    pub(crate) fn link(&self, path: &str) -> Option<Link> {
        let read = |name: &str| self.sysfs.read(&format!("{path}/{name}")).ok().flatten();
        let asleep = read("power/runtime_status").as_deref() == Some("suspended")
            || matches!(read("power_state").as_deref(), Some("D3hot" | "D3cold"));
        if asleep {
            return self.sysfs.exists(&format!("{path}/current_link_speed")).then_some(Link {
                speed: None,
                width: None,
                max_speed: None,
                max_width: None,
                asleep,
            });
        }
        let speed = |name: &str| read(name)?.split(' ').next()?.parse::<f64>().ok();
        // 0 stands for no link, 255 for a device that does not answer.
        let width = |name: &str| read(name)?.parse::<u32>().ok().filter(|lanes| (1..=32).contains(lanes));
        let link = Link {
            speed: speed("current_link_speed"),
            width: width("current_link_width"),
            max_speed: speed("max_link_speed"),
            max_width: width("max_link_width"),
            asleep,
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

    /// The class devices below a function, functions below it left out: `net/eth0`, `block/nvme0n1`.
    pub(crate) fn class_devices(&self, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(Some(function)) = self.sysfs.top().open(path) {
            self.devices_in(&function, &mut found);
        }
        found
    }

    fn devices_in(&self, directory: &Dir, found: &mut Vec<String>) {
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
                    self.devices_in(&below, found);
                }
            }
        }
    }

    /// Whether a directory without a subsystem has devices in it: it is one of no subsystem, or the directory that the
    /// driver core makes for a class (`net`, `block`). The others (queues, statistics) can be hundreds.
    fn may_hold_devices(&self, directory: &Dir, name: &str) -> bool {
        self.sysfs.exists(&format!("class/{name}")) || directory.exists(&format!("{name}/uevent"))
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
    let mut names = sysfs.names(directory).ok().flatten().unwrap_or_default();
    names.sort_unstable();
    let device = |name: &String| sysfs.read(&format!("{directory}/{name}/address")).ok().flatten();
    let first = |device: String| PciAddress::from_sysfs_name(&format!("{}.0", device.trim()));
    names.into_iter().filter_map(|name| Some((first(device(&name)?)?, name))).collect()
}
