//! Driver overrides by address. Read elsewhere, because `driver_override` can block.

use std::collections::HashMap;

use crate::pci::address::PciAddress;

/// What `driver_override` says, by address; read elsewhere, because that file can block.
pub type Overrides = HashMap<PciAddress, String>;
