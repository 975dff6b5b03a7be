//! `pcictl complete`, which shells ask what may come next: it only looks, waits for nothing, and is silent about whatever
//! it cannot read.
//!
//! - [`devices`]: what is on the machine, with its description.
//! - [`names`]: slots, drivers, operations, reset methods, what is gone.
//! - [`selectors`]: every way to name functions.
//! - [`answer`]: the answer as shells read it.

pub(crate) mod answer;
pub(crate) mod devices;
pub(crate) mod names;
pub(crate) mod selectors;
