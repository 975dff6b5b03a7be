//! How functions may sleep and wake.

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::terminal::document::Document;

/// What `power` shows, or has changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PowerReport {
    /// The functions that were named.
    pub(crate) functions: Vec<FunctionPower>,
    /// Something was written; else all was so already, or nothing was asked for.
    #[serde(skip)]
    pub(crate) changed: bool,
}

impl Document for PowerReport {
    const KIND: &'static str = "power";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

/// How a function may sleep and wake; none where it or the kernel does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct FunctionPower {
    /// The function.
    pub(crate) address: PciAddress,
    /// `auto`: the kernel may put it to sleep when its driver has nothing to do; `on`: it may not.
    pub(crate) runtime: Option<String>,
    /// Whether it sleeps now: `active`, `suspended`, `unsupported`...
    pub(crate) runtime_status: Option<String>,
    /// Its state as the kernel remembers it: `D0`, `D3hot`...
    pub(crate) power_state: Option<String>,
    /// It may lose its power while it sleeps.
    pub(crate) d3cold: Option<bool>,
    /// It may wake the machine; none if it cannot.
    pub(crate) wakeup: Option<bool>,
    /// Settings that do not say what was written to them.
    pub(crate) not_taken: Vec<NotTaken>,
}

/// A setting that does not say what was written to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct NotTaken {
    /// Its file.
    pub(crate) setting: String,
    /// What was written.
    pub(crate) written: String,
    /// What it says.
    pub(crate) says: Option<String>,
}
