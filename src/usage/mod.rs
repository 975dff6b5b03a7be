//! Who uses what below these functions: the one place that knows.

pub mod block;
pub mod console;
pub mod find;
pub mod model;
pub mod namespaces;
pub mod network;
pub mod policy;
pub mod process;
pub mod protected;
pub mod scope;
