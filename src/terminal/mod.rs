//! Stdout and stderr: the only room that writes to them.
//!
//! - [`color`]: when text is painted.
//! - [`document`]: the form of JSON documents.
//! - [`event`]: what is told of an operation while it happens, as data.
//! - [`frame`]: what one look of several has to show.
//! - [`live`]: lines on a terminal that are kept up to date.
//! - [`taken_back`]: takes these back when a signal ends the program.
//! - [`output`]: reports, talk, progress and questions, each on its stream.

pub mod color;
pub(crate) mod document;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod live;
pub mod output;
pub(crate) mod taken_back;
