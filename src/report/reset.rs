//! How functions can be reset, and what came of a reset.

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::terminal::document::Document;
use crate::topology::reset_methods::Reach;
use crate::usage::model::User;
use crate::verify::compare::Difference;
use crate::verify::function_state::ErrorCount;

/// What `reset` did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ResetReport {
    /// The functions that were named.
    pub(crate) functions: Vec<FunctionReset>,
    /// A reset changes the device, whatever else is as before.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// The users that were overridden.
    pub(crate) overridden: Vec<User>,
    /// Seconds from the first write to the last.
    pub(crate) seconds: f64,
}

impl Document for ResetReport {
    const KIND: &'static str = "reset";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

/// A function that was reset.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct FunctionReset {
    /// The function.
    pub(crate) address: PciAddress,
    /// The methods that the kernel tried in turn until one worked; none if it does not tell.
    pub(crate) methods: Option<Vec<String>>,
    /// The driver that was stopped and has it again, or was kept.
    pub(crate) driver: Option<String>,
    /// The driver was at work all the time.
    pub(crate) driver_kept: bool,
    /// How many VFs it has.
    pub(crate) vfs: usize,
    /// What is not as before.
    pub(crate) differences: Vec<Difference>,
    /// Errors that were counted meanwhile (AER), by the function and the root port above it.
    pub(crate) errors: Vec<ErrorCount>,
}

/// How functions can be reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ResetListing {
    /// The functions.
    pub(crate) functions: Vec<ResetWays>,
}

impl Document for ResetListing {
    const KIND: &'static str = "reset_methods";
}

/// How a function can be reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ResetWays {
    /// The function.
    pub(crate) address: PciAddress,
    /// It can be reset at all.
    pub(crate) can_reset: bool,
    /// The methods in the kernel's order; none if it does not tell (before Linux 5.15).
    pub(crate) methods: Option<Vec<ResetWay>>,
    /// What is below it, which its reset would reset as well: `reset` refuses that, `replug --reset` does it.
    pub(crate) below: Vec<PciAddress>,
    /// What else is on its bus, besides its VFs.
    pub(crate) others_on_bus: Vec<PciAddress>,
    /// The bridge above, if it can reset all below it (`reset_subordinate`, Linux 6.13).
    pub(crate) resetting_bridge: Option<PciAddress>,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ResetWay {
    /// Its name in `reset_method`.
    pub(crate) method: String,
    /// What it hits.
    pub(crate) hits: Reach,
    /// The kernel refuses it while something else is on the bus.
    pub(crate) needs_bus_alone: bool,
}
