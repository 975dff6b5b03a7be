//! A physical function and its VFs.

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::report::details::none_is_empty;
use crate::terminal::document::Document;
use crate::usage::model::User;

/// A physical function and its VFs, as `sriov` shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SriovReport {
    /// The physical function.
    pub(crate) address: PciAddress,
    /// Its driver.
    pub(crate) driver: Option<String>,
    /// How many VFs it can have.
    pub(crate) total_vfs: Option<usize>,
    /// How many it has.
    pub(crate) vfs: usize,
    /// Whether drivers take VFs that appear; none where the kernel does not tell.
    pub(crate) autoprobe: Option<bool>,
    /// The VFs.
    pub(crate) virtual_functions: Vec<VirtualFunction>,
    /// What could not be looked into for their users.
    pub(crate) unchecked: Vec<String>,
    /// What nobody can see of their users.
    pub(crate) notes: Vec<String>,
    /// What was changed; nothing where it was only looked at.
    #[serde(flatten)]
    pub(crate) change: Option<SriovChange>,
}

impl Document for SriovReport {
    const KIND: &'static str = "sriov";

    fn changed(&self) -> Option<bool> {
        Some(self.change.as_ref().is_some_and(|change| change.changed))
    }
}

/// One VF.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct VirtualFunction {
    /// N of the physical function's `virtfnN`.
    pub(crate) index: Option<u32>,
    /// The function.
    pub(crate) address: PciAddress,
    /// The driver that has it.
    pub(crate) driver: Option<String>,
    /// What its `driver_override` says, empty if nothing; none where that could not be read without waiting for a driver.
    #[serde(serialize_with = "none_is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(crate) driver_override: Option<Option<String>>,
    /// The MAC that the physical function's driver keeps for it; null if that is no network card, too.
    pub(crate) mac: Option<Option<String>>,
    /// Who uses it; none where nobody looked.
    pub(crate) users: Option<Vec<User>>,
}

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SriovChange {
    /// Something was written; else all was so already.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// How many VFs there were.
    pub(crate) was_vfs: usize,
    /// Whether drivers took VFs that appeared.
    pub(crate) was_autoprobe: Option<bool>,
    /// The users that were overridden.
    pub(crate) overridden: Vec<User>,
    /// Seconds from the first write to when all VFs were ready.
    pub(crate) seconds: f64,
}
