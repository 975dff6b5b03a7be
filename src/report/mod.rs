//! What the commands found and did, as data, and as text for people.

pub mod inspector;
pub mod rows;
pub mod text;
