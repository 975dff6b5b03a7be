//! Reports as text for people.

pub mod change;
pub mod list;
pub mod locks;
pub mod operation;
pub mod show;
pub mod status;
pub mod tree;
pub mod users;
