//! Reports as text for people.

pub mod change;
pub(crate) mod dump;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod operation;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod users;
pub(crate) mod words;
