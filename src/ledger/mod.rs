//! What the machine's devices were when they were removed: kept on disk, so that a rescan can tell what came back.
//!
//! One file an entry, one entry a place: the latest removal of what sat there. Whoever writes an entry holds its place's
//! lock (see [`claims`](crate::claims)), so entries need no lock of their own. Files are replaced whole and flushed, so
//! that after a power loss there is the old entry or the new one. An entry is kept until the function is back as it was
//! or the difference was accepted; then it moves to the place's history. What cannot be read as an entry is set aside
//! and reported, never taken for one.
//!
//! Not promised: an entry says what was, not what is. A device may be back without anybody having told the ledger.

mod observe;
mod overrides;
mod record;
mod store;

pub use observe::{Observer, Overrides};
pub use overrides::{HELPER, read_here, read_overrides};
pub use record::{Bar, LinkState, Record, Serials, VirtualRecord};
pub use store::{Ended, Entry, Ledger, Listing, Past};
