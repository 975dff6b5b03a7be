//! What `wait` waited for and is so now.

use std::sync::Arc;

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::terminal::document::Document;

/// The report of a wait that ended well.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct WaitReport {
    /// What was waited for: `present`, `gone`, `driver` or `ready`.
    pub(crate) condition: &'static str,
    /// The driver, if one was named.
    pub(crate) driver: Option<String>,
    /// How long it took.
    pub(crate) waited_seconds: f64,
    /// What each selector stands for now, in the order of the command line.
    pub(crate) selectors: Vec<MetSelector>,
}

impl Document for WaitReport {
    const KIND: &'static str = "wait";
}

/// One selector for which it is so.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct MetSelector {
    /// As it was written.
    pub(crate) selector: String,
    /// Whether it stands for a group, whose functions are known by their addresses alone.
    #[serde(skip)]
    pub(crate) is_group: bool,
    /// The functions that it stands for, which are there.
    pub(crate) functions: Vec<BoundFunction>,
    /// The host bridge that it stands for.
    pub(crate) host_bridge: Option<String>,
    /// The address at which nothing is.
    pub(crate) absent: Option<PciAddress>,
    /// Why it stands for nothing, where that is more than an absent address.
    pub(crate) why: Option<String>,
}

impl MetSelector {
    /// What a function is called in messages: as it was written, with its address.
    pub(crate) fn label(&self, address: PciAddress) -> String {
        if self.is_group || self.selector == address.to_string() {
            address.to_string()
        } else {
            format!("{} ({address})", self.selector)
        }
    }
}

/// A function and the driver that has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct BoundFunction {
    /// Its address.
    pub(crate) address: PciAddress,
    /// The driver; none if it has none.
    pub(crate) driver: Option<Arc<str>>,
}
