//! What unbind, bind and override did.

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::terminal::document::Document;
use crate::usage::model::User;

/// What they did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DriverReport {
    /// The functions that were named.
    pub(crate) functions: Vec<DriverChange>,
    /// Something was written; else all was so already.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// The users that were overridden.
    pub(crate) overridden: Vec<User>,
    /// Seconds from the first write to the last.
    pub(crate) seconds: f64,
}

impl Document for DriverReport {
    const KIND: &'static str = "drivers";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

/// A function before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DriverChange {
    /// The function.
    pub(crate) address: PciAddress,
    /// The driver that it had.
    pub(crate) was: Option<String>,
    /// The driver that has it now.
    pub(crate) driver: Option<String>,
    /// What its `driver_override` says now; none too where that could not be read without waiting for a driver.
    pub(crate) driver_override: Option<String>,
    /// The driver that driverctl gives it at boot, where that was set now.
    pub(crate) persistent: Option<String>,
    /// How many of its VFs had to go.
    pub(crate) disabled_vfs: usize,
}
