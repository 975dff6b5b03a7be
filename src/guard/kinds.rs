//! The table of the files whose write can meet another in the kernel, and of those that pcictl writes and that cannot.
//!
//! Only the place of a file says what it is: the kernel gives out the same names in other subsystems, where they are
//! nobody's business here.

use serde::{Deserialize, Serialize};

use crate::pci::address::{BusNumber, PciAddress};
use crate::topology::paths::{BUSES, DEVICES};

/// What a write to a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Removes a function and all below it.
    Remove,
    /// Scans the bus that a function sits on.
    Rescan,
    /// Scans the bus that a bridge leads to.
    RescanBus,
    /// Scans every bus.
    RescanAll,
    /// Sets the number of virtual functions.
    SetVfs,
    /// Resets a function.
    Reset,
    /// Resets all that a bridge leads to.
    ResetBelow,
    /// Chooses how a function is reset.
    ResetMethod,
    /// Says which driver alone may have a function.
    Override,
    /// Gives a BAR another size, and bridges above it other windows.
    Resize,
    /// Switches a slot.
    SlotPower,
    /// Stops a driver; of which function is in the data.
    Unbind,
    /// Gives a driver a function, which is in the data.
    Bind,
    /// Has drivers asked whether one takes a function, which is in the data.
    Probe,
}

/// Where a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// In the directory of a function.
    Function,
    /// In the directory of a bus, which is in that of the bridge that leads to it.
    Bus,
    /// In the directory of a slot.
    Slot,
    /// In the directory of a driver.
    Driver,
    /// Right in `bus/pci`.
    Pci,
}

/// A row of the table.
struct Row {
    name: &'static str,
    home: Home,
    kind: Kind,
}

const TABLE: &[Row] = &[
    Row { name: "remove", home: Home::Function, kind: Kind::Remove },
    Row { name: "rescan", home: Home::Function, kind: Kind::Rescan },
    Row { name: "sriov_numvfs", home: Home::Function, kind: Kind::SetVfs },
    Row { name: "reset", home: Home::Function, kind: Kind::Reset },
    Row { name: "reset_subordinate", home: Home::Function, kind: Kind::ResetBelow },
    Row { name: "reset_method", home: Home::Function, kind: Kind::ResetMethod },
    Row { name: "driver_override", home: Home::Function, kind: Kind::Override },
    // One for each BAR that can be resized (pci_dev_rebar_attr_group in drivers/pci/pci-sysfs.c, Linux 5.19).
    Row { name: "resource0_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "resource1_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "resource2_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "resource3_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "resource4_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "resource5_resize", home: Home::Function, kind: Kind::Resize },
    Row { name: "rescan", home: Home::Bus, kind: Kind::RescanBus },
    Row { name: "power", home: Home::Slot, kind: Kind::SlotPower },
    Row { name: "unbind", home: Home::Driver, kind: Kind::Unbind },
    Row { name: "bind", home: Home::Driver, kind: Kind::Bind },
    // Asks whatever has no driver, at once (pci_add_dynid in drivers/pci/pci-driver.c).
    Row { name: "new_id", home: Home::Driver, kind: Kind::Probe },
    Row { name: "rescan", home: Home::Pci, kind: Kind::RescanAll },
    Row { name: "drivers_probe", home: Home::Pci, kind: Kind::Probe },
];

/// What pcictl writes besides, and why nobody who writes it has to wait: none of it takes a mutex that a removal waits for, so
/// nothing waits for the writer but the end of the file itself. Some of these are written all day long.
#[cfg(test)]
const HARMLESS: &[(&str, &str)] = &[
    ("power/control", "control_store takes the device's own lock and resumes what is above it"),
    ("power/wakeup", "wakeup_store takes the device's own lock"),
    ("d3cold_allowed", "d3cold_allowed_store resumes the device"),
    ("sriov_drivers_autoprobe", "sriov_drivers_autoprobe_store sets a flag"),
    ("attention", "pciehp_set_indicators takes the port's own controller"),
];

/// A file of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MarkedFile {
    /// What a write to it does.
    pub(crate) kind: Kind,
    /// Where it is below `sys`.
    pub(crate) path: String,
}

impl Kind {
    /// Whether the file is also there to be read.
    pub(crate) fn is_also_read(self) -> bool {
        matches!(self, Self::SetVfs | Self::ResetMethod | Self::Override | Self::Resize | Self::SlotPower)
    }
}

impl Kind {
    /// Whether the kernel goes over bridges that it knows already, and sets up those that it finds otherwise than it knows them.
    pub(crate) fn scans(self) -> bool {
        matches!(self, Self::Rescan | Self::RescanBus | Self::RescanAll)
    }

    /// Whether there may be more functions after a write than before.
    pub(crate) fn brings_devices(self) -> bool {
        matches!(
            self,
            Self::Rescan
                | Self::RescanBus
                | Self::RescanAll
                | Self::SetVfs
                | Self::SlotPower
                | Self::Bind
                | Self::Probe
        )
    }
}

impl Home {
    /// Of the file with this path below `sys`, as the device tree has it and no link.
    fn of(steps: &[&str]) -> Option<Self> {
        match steps {
            ["bus", "pci", _] => Some(Self::Pci),
            ["bus", "pci", "drivers", _, _] => Some(Self::Driver),
            ["bus", "pci", "slots", _, _] => Some(Self::Slot),
            ["devices", .., "pci_bus", bus, _] if bus.parse::<BusNumber>().is_ok() => Some(Self::Bus),
            ["devices", .., device, _] if PciAddress::from_sysfs_name(device).is_some() => Some(Self::Function),
            _ => None,
        }
    }
}

impl MarkedFile {
    /// The file at a path below `sys`; none if it is none of the table.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let steps: Vec<&str> = path.split('/').collect();
        let (name, home) = (steps.last()?, Home::of(&steps)?);
        let row = TABLE.iter().find(|row| row.home == home && row.name == *name)?;
        Some(Self { kind: row.kind, path: path.to_owned() })
    }

    /// The file that a link of /proc leads to, in whichever mount of sysfs.
    pub(crate) fn of_link(target: &str) -> Option<Self> {
        let target = target.strip_suffix(" (deleted)").unwrap_or(target);
        let at = |part: &str| target.find(part).map(|start| start + 1);
        let start = at("/bus/pci/").or_else(|| at("/devices/"))?;
        Self::of(&target[start..])
    }

    /// The directory that it lies in, below `sys`.
    pub(crate) fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// The function that it is about, if its place says so.
    pub(crate) fn address(&self) -> Option<PciAddress> {
        self.path.split('/').filter_map(PciAddress::from_sysfs_name).next_back()
    }
}

/// The names to look for in each directory that is, or has a link, in this one; or in `bus/pci` itself.
pub(crate) fn names_in(top: &str) -> Vec<&'static str> {
    names_at(match top {
        DEVICES => Home::Function,
        BUSES => Home::Bus,
        "bus/pci/drivers" => Home::Driver,
        "bus/pci/slots" => Home::Slot,
        _ => Home::Pci,
    })
}

/// The names to look for in a directory of the device tree.
pub(crate) fn names_below(directory: &str) -> Vec<&'static str> {
    let steps: Vec<&str> = directory.split('/').chain([""]).collect();
    Home::of(&steps).map(names_at).unwrap_or_default()
}

fn names_at(home: Home) -> Vec<&'static str> {
    TABLE.iter().filter(|row| row.home == home).map(|row| row.name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::action::{Action, Attention};
    use crate::plan::power::{CONTROL, D3COLD, WAKEUP};

    /// One of each; a new one does not compile until it is added here.
    fn each_action() -> Vec<Action> {
        let address: PciAddress = "0000:03:00.0".parse().unwrap();
        let driver = || "vfio-pci".to_owned();
        let set = |file: &str| Action::Set { address, file: file.to_owned(), value: String::new(), was: String::new() };
        let actions = vec![
            Action::Unbind { address, driver: driver(), driver_override: None },
            Action::Bind { address, driver: driver() },
            Action::SetVfs {
                address,
                count: 0,
                was: 1,
                autoprobe: false,
                idle_overrides: BTreeMap::new(),
                settings: Vec::new(),
            },
            Action::SetVf { address, setting: "vf 0 mac 02:00:00:00:00:01".parse().unwrap(), was: None },
            Action::CreateVfs { address, count: 1, drivers: None },
            Action::Remove { address },
            Action::Rescan { bus: "0000:03".parse().unwrap() },
            Action::RescanAll,
            Action::Override { address, driver: driver(), was: None },
            Action::Probe { address, driver: None },
            Action::Reset { address, hits_bus: false },
            Action::ResetBelow { address },
            Action::SlotPower { slot: "1".to_owned(), on: true, port: None, functions: Vec::new() },
            Action::SlotAttention { slot: "1".to_owned(), port: None, value: Attention::On, was: Attention::Off },
            Action::autoprobe(address, true),
            set(CONTROL),
            set(D3COLD),
            set(WAKEUP),
            set("reset_method"),
        ];
        for action in &actions {
            match action {
                Action::Unbind { .. }
                | Action::Bind { .. }
                | Action::SetVfs { .. }
                | Action::SetVf { .. }
                | Action::CreateVfs { .. }
                | Action::Remove { .. }
                | Action::Rescan { .. }
                | Action::RescanAll
                | Action::Override { .. }
                | Action::Probe { .. }
                | Action::Set { .. }
                | Action::Reset { .. }
                | Action::ResetBelow { .. }
                | Action::SlotPower { .. }
                | Action::SlotAttention { .. } => {}
            }
        }
        actions
    }

    #[test]
    fn every_write_that_pcictl_makes_has_a_row() {
        // A setting of a VF goes through a socket and not through a file, and takes nothing that a removal waits for but RTNL.
        for action in each_action().into_iter().filter(|action| !matches!(action, Action::SetVf { .. })) {
            let directory = match action {
                Action::Rescan { .. } => "devices/pci0000:00/0000:00:03.0/pci_bus/0000:03",
                _ => "devices/pci0000:00/0000:00:03.0/0000:03:00.0",
            };
            let (file, _) = action.write(directory);
            let is_harmless = HARMLESS.iter().any(|(name, _)| file.ends_with(&format!("/{name}")));
            assert!(MarkedFile::of(&file).is_some() != is_harmless, "{file}: {:?}", MarkedFile::of(&file));
        }
    }

    #[test]
    fn only_files_of_pci_are_of_the_table() {
        let kind = |path: &str| MarkedFile::of(path).map(|file| file.kind);
        let port = "devices/pci0000:00/0000:00:03.0";
        assert_eq!(kind(&format!("{port}/rescan")), Some(Kind::Rescan));
        assert_eq!(kind(&format!("{port}/pci_bus/0000:03/rescan")), Some(Kind::RescanBus));
        assert_eq!(kind("devices/pci0000:00/pci_bus/0000:00/rescan"), Some(Kind::RescanBus));
        assert_eq!(kind("bus/pci/rescan"), Some(Kind::RescanAll));
        assert_eq!(kind("bus/pci/slots/power/power"), Some(Kind::SlotPower));
        for path in [
            "bus/usb/drivers/usb/unbind".to_owned(),
            format!("{port}/usb1/remove"),
            format!("{port}/power/control"),
            format!("{port}/nvme/nvme0/reset_controller"),
            "devices/platform/x/driver_override".to_owned(),
            "bus/pci/drivers/remove".to_owned(),
        ] {
            assert_eq!(kind(&path), None, "{path}");
        }
        let link = "/mnt/a/sys/devices/pci0000:00/0000:00:03.0/remove (deleted)";
        assert_eq!(MarkedFile::of_link(link).unwrap().path, format!("{port}/remove"));
    }
}
