//! Names of things: addresses, places, ids and selectors. Text in, values out; nothing here touches a machine.
//!
//! - [`address`]: addresses of functions and buses, and how people spell them.
//! - [`ids`]: vendor, device and class.
//! - [`mac`]: hardware addresses of interfaces.
//! - [`classes`]: names of device classes, for where there is no pci.ids.
//! - [`place`]: where a function sits in the device tree, in a spelling that survives bus renumbering.
//! - [`selector`]: what an operator types to name functions.

pub mod address;
pub mod place;
pub(crate) mod selector;
pub(crate) mod classes;
pub mod ids;
pub mod mac;
