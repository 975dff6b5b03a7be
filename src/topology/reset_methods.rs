//! How the kernel can reset a function, and what else each way hits.
//!
//! The names are those of pci_reset_fn_methods in drivers/pci/pci.c. A write to `reset` tries them in the order of
//! `reset_method` until one does not answer ENOTTY (__pci_reset_function_locked).

use serde::Serialize;

use crate::host::sysfs::Sysfs;
use crate::topology::model::{FunctionId, Parent, Topology};

/// What is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reach {
    /// The function, with its VFs.
    Function,
    /// All that is on its bus.
    Bus,
}

/// How a function can be reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResetMethods {
    /// It has no `reset`: pci_dev_reset_attr_is_visible shows it only where there is a method.
    Missing,
    /// The kernel does not tell: `reset_method` came with Linux 5.15.
    Unknown,
    /// In the order in which the kernel tries them; empty where somebody has disabled them all.
    Listed(Vec<String>),
}

impl Reach {
    /// What a method hits. One that is not known counts as the worst.
    pub(crate) fn of(method: &str) -> Self {
        match method {
            // FLR and its conventional variant are defined for the function; D3hot and back is, too; a quirk of the kernel
            // or the firmware's _RST is trusted to be what it is for.
            "flr" | "af_flr" | "pm" | "acpi" | "device_specific" => Self::Function,
            // pci_reset_bus_function tries the slot, then the bus; cxl_reset_bus_function does the same for CXL.
            _ => Self::Bus,
        }
    }
}

impl ResetMethods {
    /// Those of the function with this directory. They are told from memory.
    pub(crate) fn read(sysfs: &Sysfs, path: &str) -> Self {
        if !sysfs.exists(&format!("{path}/reset")) {
            return Self::Missing;
        }
        match sysfs.value(&format!("{path}/reset_method")) {
            Some(text) => Self::Listed(text.split_whitespace().map(str::to_owned).collect()),
            None => Self::Unknown,
        }
    }

    /// Those that a reset tries, in this order; none if that is not known.
    pub(crate) fn listed(&self) -> Option<&[String]> {
        match self {
            Self::Listed(methods) => Some(methods),
            Self::Missing | Self::Unknown => None,
        }
    }

    /// Whether a reset may hit the bus: the first method need not be the last that is tried, as a function which is not ready
    /// in time after its reset counts as one that cannot do it (pci_dev_wait).
    pub(crate) fn may_hit_bus(&self) -> bool {
        self.listed().is_none_or(|methods| methods.iter().any(|method| Reach::of(method) == Reach::Bus))
    }
}

/// Whether the kernel does this only where nothing else is on the bus: pci_parent_bus_reset answers ENOTTY otherwise, and
/// pci_dev_reset_slot_function wherever a device has several functions.
pub(crate) fn needs_bus_alone(method: &str) -> bool {
    matches!(method, "bus" | "cxl_bus")
}

/// What is right on the bus of a function besides it; its own VFs only if they `stay`.
pub(crate) fn others_on_bus(topology: &Topology, id: FunctionId, stay: bool) -> Vec<FunctionId> {
    let Parent::Function(bridge) = topology.function(id).parent else { return Vec::new() };
    let is_own_vf = |other: FunctionId| topology.function(other).virtual_of.is_some_and(|of| of.physical == id);
    let is_other = |other: &FunctionId| {
        *other != id && topology.function(*other).parent == Parent::Function(bridge) && (stay || !is_own_vf(*other))
    };
    topology.subtree(bridge).into_iter().filter(is_other).collect()
}

/// The bridge above a function, if it can reset all that it leads to (reset_subordinate of drivers/pci/pci-sysfs.c, Linux
/// 6.13).
pub(crate) fn resetting_bridge(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Option<FunctionId> {
    let above = topology.function_above(id)?;
    can_reset_below(sysfs, &topology.path(above)).then_some(above)
}

/// Whether the bridge with this directory can.
pub(crate) fn can_reset_below(sysfs: &Sysfs, directory: &str) -> bool {
    sysfs.exists(&format!("{directory}/reset_subordinate"))
}
