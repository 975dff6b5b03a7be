//! What a function still lacks before it can be used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::host::modalias::Modules;
use crate::host::sysfs::Sysfs;
use crate::host::uevent::UeventLog;
use crate::pci::address::PciAddress;
use crate::topology::attributes::Attributes;
use crate::topology::model::{FunctionId, Topology};
use crate::verify::record::DeviceRecord;
use crate::verify::settle::Pending;

/// How long a disk controller or network card that nobody knows may take to show its first disk or interface, after its
/// driver is bound. It may have none, and nothing announces that.
const FIRST_DEVICE_GRACE: Duration = Duration::from_secs(1);

const STORAGE: u32 = 0x01;

const NETWORK: u32 = 0x02;

/// Looks at functions until they are ready.
pub struct Readiness<'a> {
    sysfs: &'a Sysfs,
    attributes: Attributes<'a>,
    modules: Modules<'a>,
    /// Whether udev is there to name interfaces and to make links.
    udev: bool,
    bound_since: HashMap<PciAddress, Instant>,
}

/// A function to be looked at.
pub struct Awaited<'a> {
    /// What was read last.
    pub topology: &'a Topology,
    /// The function in it.
    pub id: FunctionId,
    /// What it was before it was removed, if that is known.
    pub was: Option<&'a DeviceRecord>,
    /// Whether it came after events began to be heard.
    pub came: bool,
}

impl<'a> Readiness<'a> {
    /// For functions of this machine.
    pub fn new(sysfs: &'a Sysfs) -> Self {
        let udev = sysfs.files().exists("run/udev/control");
        let modules = Modules::new(sysfs.files());
        Self { sysfs, attributes: Attributes::new(sysfs), modules, udev, bound_since: HashMap::new() }
    }

    /// The modules that are for a function without a driver; none if it is known to have none.
    pub(crate) fn modules_for(&mut self, topology: &Topology, id: FunctionId) -> Vec<String> {
        let alias = self.sysfs.read(&format!("{}/modalias", topology.path(id))).ok().flatten();
        alias.map_or_else(Vec::new, |alias| self.modules.for_alias(&alias))
    }

    /// What a function lacks; nothing if it is ready, or if it has failed and waiting would not help.
    pub fn pending(&mut self, awaited: &Awaited<'_>, heard: &UeventLog) -> Option<Pending> {
        let function = awaited.topology.function(awaited.id);
        let what = match function.driver.as_deref() {
            None => self.driver(awaited, heard),
            Some(driver) if awaited.came && !heard.has_bound(function.address) => {
                Some(format!("{driver} is still probing"))
            }
            Some(driver) => self.devices(awaited, driver),
        };
        what.map(|what| Pending { address: Some(function.address), what })
    }

    fn driver(&mut self, awaited: &Awaited<'_>, heard: &UeventLog) -> Option<String> {
        let address = awaited.topology.function(awaited.id).address;
        self.bound_since.remove(&address);
        if heard.failure(address).is_some() {
            return None;
        }
        match awaited.was {
            Some(was) => was.driver.as_ref().map(|driver| format!("driver {driver}")),
            None => {
                let modules = self.modules_for(awaited.topology, awaited.id);
                (!modules.is_empty()).then(|| format!("driver ({})", modules.join(" or ")))
            }
        }
    }

    /// What hangs below a bound function: controllers, disks, interfaces, each with its name.
    fn devices(&mut self, awaited: &Awaited<'_>, driver: &str) -> Option<String> {
        let function = awaited.topology.function(awaited.id);
        let path = awaited.topology.path(awaited.id);
        let class = function.ids.map_or(0, |ids| ids.class >> 16);
        let shows = matches!(class, STORAGE | NETWORK);
        let known = awaited.was.filter(|was| was.driver.as_deref() == Some(driver));
        if known.is_none_or(|was| was.names.is_empty()) && !shows {
            return None;
        }
        if let Some(lack) = self.controller(&path, driver) {
            return Some(lack);
        }
        let names = self.attributes.class_devices(&path);
        let lack = match known {
            Some(was) => fewer_names(was, &names),
            None => self.first_device(function.address, class, &names),
        };
        lack.or_else(|| self.unnamed(&names))
    }

    /// An NVMe controller is of use when it is live, and of none when it is dead.
    fn controller(&self, path: &str, driver: &str) -> Option<String> {
        if driver != "nvme" {
            return None;
        }
        let names = self.sysfs.names(&format!("{path}/nvme")).ok().flatten().unwrap_or_default();
        let Some(name) = names.first() else { return Some("NVMe controller".to_owned()) };
        let state = self.sysfs.read(&format!("{path}/nvme/{name}/state")).ok().flatten()?;
        let is_over = matches!(state.as_str(), "live" | "dead") || state.starts_with("deleting");
        (!is_over).then(|| format!("{name} is {state}"))
    }

    fn first_device(&mut self, address: PciAddress, class: u32, names: &[String]) -> Option<String> {
        let (sign, what) = if class == NETWORK { ("net/", "interface") } else { ("block/", "disk") };
        let since = self.bound_since.entry(address).or_insert_with(Instant::now);
        let is_there = names.iter().any(|name| name.starts_with(sign));
        (!is_there && since.elapsed() < FIRST_DEVICE_GRACE).then(|| what.to_owned())
    }

    /// What udev is not done with yet: it writes a file of its own at the end (systemd, sd-device).
    fn unnamed(&self, names: &[String]) -> Option<String> {
        if !self.udev {
            return None;
        }
        let pending = names.iter().find(|name| {
            let number = |file: &str| self.sysfs.read(&format!("class/{name}/{file}")).ok().flatten();
            let entry = match name.split('/').next() {
                Some("net") => number("ifindex").map(|index| format!("n{index}")),
                Some("block") => number("dev").map(|number| format!("b{number}")),
                _ => None,
            };
            entry.is_some_and(|entry| !self.sysfs.files().exists(&format!("run/udev/data/{entry}")))
        });
        pending.map(|name| format!("udev is not done with {}", name.rsplit('/').next().unwrap_or(name)))
    }
}

/// What there was more of.
fn fewer_names(was: &DeviceRecord, names: &[String]) -> Option<String> {
    was.names.iter().find_map(|(class, old)| {
        let now = names.iter().filter(|name| name.split('/').next() == Some(class)).count();
        (now < old.len()).then(|| format!("{class} {}", old.join(" ")))
    })
}
