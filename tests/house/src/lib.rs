//! Compares every import of a crate with the map of the house: the order of the `mod` lines in its `lib.rs`.
//!
//! A *room* is a top-level module, a file or a folder. Each room imports only rooms above it in `lib.rs`; between
//! files, in a room as well, imports run in no circle; a child never imports its folder's own `mod.rs`, and a `mod.rs`
//! defines no types. Tests (`#[cfg(test)]`) may import what they like and are not looked at.
//!
//! It goes by syntax: what a macro makes up, and what a method call reaches, it does not see.

pub mod arrows;
pub mod check;
pub mod counts;
pub mod graph;
pub mod modules;
mod names;

use std::path::Path;

use arrows::Arrow;
use modules::Modules;

/// The modules of a crate and all that they import of each other.
pub struct House {
    /// The modules and the files they are in.
    pub modules: Modules,
    /// Each import between two files.
    pub arrows: Vec<Arrow>,
    /// The rooms, from the top down; `main` is the last.
    pub rooms: Vec<String>,
}

impl House {
    /// Reads the crate whose sources are in a directory.
    ///
    /// # Errors
    /// Says which file cannot be read or parsed.
    pub fn read(directory: &Path) -> Result<House, String> {
        let modules = Modules::read(directory)?;
        let arrows = arrows::find(&modules);
        let rooms = modules.rooms();
        Ok(House { modules, arrows, rooms })
    }

    /// Puts the rooms into another order than that of `lib.rs`; rooms that it does not name follow at the end.
    ///
    /// # Errors
    /// Names the room that there is not.
    pub fn reorder(&mut self, order: &[&str]) -> Result<(), String> {
        if let Some(unknown) = order.iter().find(|room| !self.rooms.iter().any(|known| known == *room)) {
            return Err(format!("there is no room `{unknown}` in lib.rs"));
        }
        self.rooms.sort_by_key(|room| order.iter().position(|named| named == room).unwrap_or(order.len()));
        Ok(())
    }
}
