//! Names of things: addresses, places, ids and selectors. Text in, values out; nothing here touches a machine.

pub mod address;
pub mod place;
pub(crate) mod selector;
pub(crate) mod classes;
pub mod ids;
