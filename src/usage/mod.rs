//! Who uses what below these functions: the one place that knows.

pub(crate) mod block;
pub(crate) mod console;
pub mod find;
pub(crate) mod model;
pub(crate) mod namespaces;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod protected;
pub mod scope;
pub(crate) mod nvidia;
pub(crate) mod vfio;
