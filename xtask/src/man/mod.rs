//! Man pages: text from `xtask/man`, a file for each page, and with it what the definition of the command line knows.
//!
//! Synopsis, options, selectors, short examples and exit statuses of a command come from its definition and its help, so
//! that they cannot differ from them; the rest is written by hand.
//!
//! - [`markup`]: the few marks of the written text, and roff for them.
//! - [`source`]: the files of the text, section by section.
//! - [`command`]: what the definition of a command line knows.
//! - [`page`]: whole pages.

mod command;
mod markup;
mod page;
mod source;

pub(crate) use page::{date, write};
