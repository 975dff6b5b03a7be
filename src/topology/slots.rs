//! Slots, as /sys/bus/pci/slots has them: where each is, what can be done with it, which functions are in it.
//!
//! A slot is made by whoever knows of it: by the ports' own hotplug (pciehp), by ACPI (acpiphp), by a controller of a
//! conventional bus (shpchp), or only to give a place its name (drivers/acpi/pci_slot.c); what it has files for tells what
//! can be done with it (has_power_file and its like in drivers/pci/hotplug/pci_hotplug_core.c). To read one of these asks the
//! hardware, so nothing here does.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::host::sysfs::{Sysfs, last_step};
use crate::order;
use crate::pci::address::{BusNumber, PciAddress};
use crate::topology::paths::{locate_bus, on_bus};

/// The directory of all slots, below `sys`.
const SLOTS: &str = "bus/pci/slots";

/// Where a slot is, as its `address` says (address_read_file in drivers/pci/slot.c): a device of a bus, a whole bus, or, on
/// some kernels of s390, one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotAddress {
    bus: BusNumber,
    device: Option<u8>,
    function: Option<u8>,
}

impl SlotAddress {
    /// Reads the file `address` of a slot.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(one) = PciAddress::from_sysfs_name(text) {
            return Some(Self { bus: one.bus_number(), device: Some(one.device), function: Some(one.function) });
        }
        if let Some(first) = PciAddress::from_sysfs_name(&format!("{text}.0")) {
            return Some(Self { bus: first.bus_number(), device: Some(first.device), function: None });
        }
        Some(Self { bus: text.parse().ok()?, device: None, function: None })
    }

    /// The bus that it is on.
    pub(crate) fn bus(&self) -> BusNumber {
        self.bus
    }

    fn holds(&self, address: PciAddress) -> bool {
        self.bus == address.bus_number()
            && self.device.is_none_or(|device| device == address.device)
            && self.function.is_none_or(|function| function == address.function)
    }
}

impl fmt::Display for SlotAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bus)?;
        self.device.map_or(Ok(()), |device| write!(f, ":{device:02x}"))?;
        self.function.map_or(Ok(()), |function| write!(f, ".{function:x}"))
    }
}

impl Serialize for SlotAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum SlotFile {
    /// Its power: 0 or 1.
    Power,
    /// Whether something is plugged in.
    Adapter,
    /// Whether its latch is open.
    Latch,
    /// What its attention indicator shows.
    Attention,
}

impl SlotFile {
    /// All of them, in the order of reports.
    pub(crate) const ALL: [Self; 4] = [Self::Power, Self::Adapter, Self::Latch, Self::Attention];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Adapter => "adapter",
            Self::Latch => "latch",
            Self::Attention => "attention",
        }
    }
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its name in sysfs.
    pub(crate) name: String,
    /// Where it is; none if it does not say.
    pub(crate) address: Option<SlotAddress>,
    /// What drives it; none where neither the slot nor its port tells.
    pub(crate) driver: Option<String>,
    /// Which files it has.
    pub(crate) files: Vec<SlotFile>,
}

impl Slot {
    /// The slot of this name; `None` if there is none. The name must be one of a directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(sysfs: &Sysfs, name: &str) -> Result<Option<Self>> {
        let directory = format!("{SLOTS}/{name}");
        let names = sysfs.names(&directory).map_err(|error| Error::io(sysfs.display(&directory), &error))?;
        let Some(names) = names else { return Ok(None) };
        let address = sysfs.value(&format!("{directory}/address")).and_then(|text| SlotAddress::parse(&text));
        let files = SlotFile::ALL.into_iter().filter(|file| names.iter().any(|name| name == file.name())).collect();
        let link = sysfs.link_name(&format!("{directory}/module")).ok().flatten();
        let driver = link.or_else(|| hotplug_of_port(sysfs, address?));
        Ok(Some(Self { name: name.to_owned(), address, driver, files }))
    }

    /// Every slot, in the order of addresses; those that do not say where they are come last.
    pub(crate) fn all(sysfs: &Sysfs) -> Vec<Self> {
        let names = sysfs.listed(SLOTS);
        let mut slots: Vec<Self> = names.iter().filter_map(|name| Self::read(sysfs, name).ok().flatten()).collect();
        let rank = |slot: &Self| (slot.address.is_none(), slot.address);
        order::sort_by(&mut slots, |a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        slots
    }

    /// Whether it has this file.
    pub(crate) fn has(&self, file: SlotFile) -> bool {
        self.files.contains(&file)
    }

    /// What a file says; none if it is not there or says nothing.
    pub(crate) fn value(&self, sysfs: &Sysfs, file: SlotFile) -> Option<String> {
        if !self.has(file) {
            return None;
        }
        sysfs.value(&format!("{SLOTS}/{}/{}", self.name, file.name())).filter(|text| !text.is_empty())
    }

    /// Whether a function sits in it. To pciehp its port's whole bus is the slot: the functions of a device with many of them
    /// (ARI) have device numbers other than 0 (pciehp_unconfigure_device goes through all of the bus).
    pub(crate) fn holds(&self, address: PciAddress) -> bool {
        let is_whole_bus = self.driver.as_deref() == Some("pciehp");
        self.address.is_some_and(|slot| slot.holds(address) || is_whole_bus && slot.bus == address.bus_number())
    }

    /// The device number of all that is in it; none if it is all that is on its bus.
    pub(crate) fn device(&self) -> Option<u8> {
        self.address?.device.filter(|_| self.driver.as_deref() != Some("pciehp"))
    }

    /// The directory of the bridge, or host bridge, that leads to it; none if its bus is not there.
    ///
    /// # Errors
    /// A link cannot be read.
    pub(crate) fn bridge(&self, sysfs: &Sysfs) -> Result<Option<String>> {
        self.address.map_or(Ok(None), |address| locate_bus(sysfs, address.bus()))
    }

    /// The functions in it, virtual ones too, in order; `bridge` is the directory of what leads to it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn functions(&self, sysfs: &Sysfs, bridge: &str) -> Result<Vec<PciAddress>> {
        let mut found = on_bus(sysfs, bridge)?.unwrap_or_default();
        found.retain(|address| self.holds(*address));
        found.sort_unstable();
        Ok(found)
    }

    /// Its name and its address, for messages.
    pub(crate) fn title(&self) -> String {
        match self.address {
            Some(address) => format!("slot {} ({address})", self.name),
            None => format!("slot {}", self.name),
        }
    }
}

/// The driver of the hotplug service of the port that leads to a slot. A driver that is built into the kernel has its slots
/// before there is a directory of its module, and so no link leads to that (pci_hp_create_module_link; 6.12). The service has
/// the port's name with its kind, a root or a downstream port (get_descriptor_id in drivers/pci/pcie/portdrv.h).
fn hotplug_of_port(sysfs: &Sysfs, address: SlotAddress) -> Option<String> {
    let bridge = locate_bus(sysfs, address.bus()).ok().flatten()?;
    let port = last_step(&bridge);
    let driver = |kind: &str| sysfs.driver(&format!("{bridge}/{port}:pcie{kind}04"));
    ["0", "2"].into_iter().find_map(driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_a_device_a_bus_or_a_function() {
        let slot = |text: &str| SlotAddress::parse(text).map(|address| address.to_string());
        for text in ["0000:03:00", "10000:e1:00", "0000:03", "0000:03:1f", "0000:03:00.1"] {
            assert_eq!(slot(text).as_deref(), Some(text));
        }
        for text in ["", "upstairs", "0000:03:00.9", "03"] {
            assert_eq!(slot(text), None, "{text}");
        }
    }

    #[test]
    fn all_on_the_bus_of_a_hotplug_port_is_in_its_slot() {
        let slot = |driver: Option<&str>, address: &str| Slot {
            name: "1".to_owned(),
            address: SlotAddress::parse(address),
            driver: driver.map(str::to_owned),
            files: Vec::new(),
        };
        let holds = |slot: &Slot, address: &str| slot.holds(address.parse().unwrap());
        let (port, shared, whole) =
            (slot(Some("pciehp"), "0000:03:00"), slot(None, "0000:03:00"), slot(None, "0000:03"));
        for slot in [&port, &shared, &whole] {
            assert!(holds(slot, "0000:03:00.7") && !holds(slot, "0000:04:00.0"));
        }
        assert!(holds(&port, "0000:03:01.0") && holds(&whole, "0000:03:01.0") && !holds(&shared, "0000:03:01.0"));
        assert_eq!((port.device(), shared.device(), whole.device()), (None, Some(0), None));
    }
}
