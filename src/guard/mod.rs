//! The guard: every writer of the machine takes part in the lock protocol, whether he knows of it or not.
//!
//! fanotify's permission events hold whoever opens a file whose write can meet another in the kernel, inside open(2), until the
//! guard has the locks for him that a command of pcictl would have; they are held until he has closed the file. Three kinds of
//! processes are at work: the guard, which answers and never waits; its keeper, which holds what must not end with the guard;
//! and those who stand in line.
//!
//! Not promised: what the kernel does by itself, as when a card is pulled, is not held up. Whoever may be root can get around
//! it, and what was let go on while there was no guard is not called back.
//!
//! - [`kinds`]: the table of files.
//! - [`checks`]: what is done in line besides waiting: users are looked for, drivers stopped.
//! - [`options`]: what an operator may ask of it.
//! - [`needs`]: what must be held for a write to one.
//! - [`opener`]: who opens it, and whether to write.
//! - [`inside`]: who has one open.
//! - [`marks`]: the fanotify group.
//! - [`marker`]: marks what is new at once.
//! - [`link`]: messages with descriptors.
//! - [`record`]: what is told of each write.
//! - [`notify`]: what the service manager is told.
//! - [`status`]: how others learn what it does.
//! - [`keeper`]: the keeper.
//! - [`keeping`]: the guard's end of the line to it.
//! - [`waiter`]: those who stand in line.
//! - [`namespaces`]: sysfs of other network namespaces.
//! - [`grants`]: those who were let go on, until they are done.
//! - [`looks`]: when to look for those who were quicker than the marks.
//! - [`state`]: what the guard has at hand.
//! - [`adoption`]: who is inside and was let go on by nobody.
//! - [`admission`]: who may go on, waits, or is denied.
//! - [`takeover`]: how it begins.
//! - [`serve`]: its loop.
//! - [`helpers`]: pcictl run again as a keeper, or to stand in line.

pub(crate) mod kinds;
pub(crate) mod checks;
pub(crate) mod options;
pub(crate) mod needs;
pub(crate) mod opener;
pub(crate) mod inside;
pub(crate) mod marks;
mod marker;
pub(crate) mod link;
pub(crate) mod record;
pub(crate) mod notify;
pub(crate) mod status;
pub(crate) mod keeper;
pub(crate) mod keeping;
pub(crate) mod waiter;
pub(crate) mod namespaces;
pub(crate) mod grants;
mod looks;
mod state;
mod adoption;
mod admission;
mod takeover;
pub(crate) mod serve;
pub mod helpers;
