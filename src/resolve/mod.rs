//! From what an operator typed to functions and buses of this machine.
//!
//! - [`near_misses`]: what a misspelt name may have meant.
//! - [`below`]: from a device, however high it stands, down to those that sit on functions.
//! - [`devices`]: which devices a name, a node, a serial number or a mount point means.
//! - [`class_names`]: what people call the things on functions, for a listing.
//! - [`parts`]: what else a function has, where less of it was named.
//! - [`siblings`]: which functions go with another.
//! - [`functions`]: which functions a selector means.
//! - [`slots`]: which slot an operator means.
//! - [`scan_target`]: which bus brings something back; the one answer for rescan, lock and show.
//! - [`unfit_bridges`]: which bridges a scan must not go over.
//! - [`place_names`]: what sits at a place now.

pub(crate) mod place_names;
pub(crate) mod below;
pub(crate) mod class_names;
pub(crate) mod devices;
pub(crate) mod parts;
pub(crate) mod siblings;
pub(crate) mod functions;
pub(crate) mod near_misses;
pub mod scan_target;
pub(crate) mod slots;
pub(crate) mod unfit_bridges;
