//! Driver overrides that outlive a reboot, in the form of driverctl(8): a file for each function in /etc/driverctl.d, named
//! after its bus and address, that holds the driver's name and a newline (save_override in its script). What loads them is
//! driverctl's udev rule, when a function is found.

use std::io;
use std::path::PathBuf;

use crate::host::root::Root;
use crate::pci::address::PciAddress;
use crate::state::file::{Directory, Location};

/// Below the root.
pub(crate) const DIRECTORY: &str = "etc/driverctl.d";

/// Where distributions put driverctl's udev rule.
const RULES: [&str; 2] = ["usr/lib/udev/rules.d/05-driverctl.rules", "lib/udev/rules.d/05-driverctl.rules"];

/// No driver's name is longer.
const LONGEST: usize = 256;

/// The persistent overrides of a machine or a dumped tree.
pub(crate) struct Driverctl<'a> {
    root: &'a Root,
}

impl<'a> Driverctl<'a> {
    /// Those below this root.
    pub(crate) fn of(root: &'a Root) -> Self {
        Self { root }
    }

    /// The file of a function.
    pub(crate) fn path(&self, address: PciAddress) -> PathBuf {
        self.root.path().join(DIRECTORY).join(name(address))
    }

    /// The driver that a function is to have; none if its file is not there, or cannot be read.
    pub(crate) fn read(&self, address: PciAddress) -> Option<String> {
        let bytes = self.root.read(&format!("{DIRECTORY}/{}", name(address)), LONGEST).ok()??;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// Writes a function's file, or removes it where the driver's name is empty. False if it was so already.
    ///
    /// # Errors
    /// It cannot be written or removed.
    pub(crate) fn write(&self, address: PciAddress, driver: &str) -> io::Result<bool> {
        let location = Location::own(self.root.path().join(DIRECTORY));
        if driver.is_empty() {
            return Directory::open(&location)?.map_or(Ok(false), |directory| directory.remove(&name(address)));
        }
        if self.read(address).as_deref() == Some(driver) {
            return Ok(false);
        }
        Directory::make(&location, 0o755)?.replace(&name(address), format!("{driver}\n").as_bytes(), 0o644)?;
        Ok(true)
    }

    /// Whether anything loads them.
    pub(crate) fn is_installed(&self) -> bool {
        RULES.iter().any(|rule| self.root.exists(rule))
    }

    /// What [`write`](Self::write) would do, for a dry run.
    pub(crate) fn planned(&self, address: PciAddress, driver: &str) -> String {
        let path = self.path(address);
        match driver {
            "" => format!("would remove {}", path.display()),
            driver => format!("would write {driver} to {}", path.display()),
        }
    }
}

fn name(address: PciAddress) -> String {
    format!("pci-{address}")
}

/// The function that a file is named after.
pub(crate) fn address(name: &str) -> Option<PciAddress> {
    PciAddress::from_sysfs_name(name.strip_prefix("pci-")?)
}
