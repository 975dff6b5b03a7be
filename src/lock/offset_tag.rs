//! What a process lets others see of a lock that it has or wants: since when, in which mode, and what for.
//!
//! flock(2) takes no notice of the file offset, and /proc/PID/fdinfo shows it. So the offset of a lock file's descriptor
//! says these things. Unlike a note in the file it lives and dies with the open file itself, goes with it to whoever
//! inherits it, and so is never stale.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::time::Duration;

use crate::host::procfs::texts::since_boot;
use crate::lock::claims::Mode;

const EXCLUSIVE: u64 = 1;

const INTENTION: u64 = 2;

const FLAGS: u32 = 2;

/// How long it can take to pass a gate that nobody waits in, and then some.
pub(crate) const GATE_TRANSIT: Duration = Duration::from_millis(50);

/// What the offset says: the flags above, and before them milliseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetTag {
    milliseconds: u64,
    /// How the node is wanted; at a gate this differs from the lock on the gate itself.
    pub(crate) mode: Mode,
    /// Held because of something above or below, not for its own sake.
    pub(crate) intention: bool,
}

impl OffsetTag {
    /// For a lock that is wanted from now on.
    pub(crate) fn now(mode: Mode, intention: bool) -> Self {
        let milliseconds = u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX);
        Self { milliseconds, mode, intention }
    }

    /// Puts it on the file.
    pub(crate) fn put(self, mut file: &File) -> io::Result<()> {
        let mode = if self.mode == Mode::Exclusive { EXCLUSIVE } else { 0 };
        let intention = if self.intention { INTENTION } else { 0 };
        file.seek(SeekFrom::Start(self.milliseconds << FLAGS | mode | intention)).map(|_| ())
    }

    /// Reads it back from an offset; none if whoever opened the file never put one.
    pub(crate) fn from_offset(offset: u64) -> Option<Self> {
        let milliseconds = offset >> FLAGS;
        let mode = if offset & EXCLUSIVE == 0 { Mode::Shared } else { Mode::Exclusive };
        (milliseconds > 0).then_some(Self { milliseconds, mode, intention: offset & INTENTION != 0 })
    }

    /// Whether it can have been put since boot.
    pub(crate) fn is_plausible(self) -> bool {
        Duration::from_millis(self.milliseconds) <= since_boot()
    }

    /// How long ago it was put.
    pub(crate) fn age(self) -> Duration {
        since_boot().saturating_sub(Duration::from_millis(self.milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::claims::Mode;

    #[test]
    fn what_was_put_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(OffsetTag::from_offset(0), None);
        for (mode, intention) in [(Mode::Shared, true), (Mode::Exclusive, false)] {
            let tag = OffsetTag::now(mode, intention);
            tag.put(&file).unwrap();
            assert_eq!(OffsetTag::from_offset((&file).stream_position().unwrap()), Some(tag));
        }
    }
}
