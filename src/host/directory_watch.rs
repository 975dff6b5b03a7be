//! What happens in a few directories, told by the kernel (inotify): files that are made, opened, closed or moved there.
//!
//! A lock taken or let go of changes no file, but whoever takes one opens its file for writing, and the lock ends when it is
//! closed. A directory that is not there yet is heard of through the one above it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// What is heard of a directory: not that files are closed which were open for reading alone, as they are by whoever looks.
const HEARD: WatchFlags = WatchFlags::OPEN
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE);

/// Directories that are watched, or will be as soon as they are there.
#[derive(Debug)]
pub(crate) struct DirectoryWatch {
    inotify: OwnedFd,
    directories: Vec<PathBuf>,
}

/// What happened since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happened {
    /// Nothing.
    Nothing,
    /// Files were opened, which may have been by ourselves.
    Opened,
    /// Something is there that was not, or the other way round.
    Changed,
}

impl DirectoryWatch {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel gives no more of these.
    pub(crate) fn listen(directories: Vec<PathBuf>) -> std::io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watch = Self { inotify, directories };
        watch.renew();
        Ok(watch)
    }

    /// Takes up what has come into being. To be called before each look, so that nothing is missed between the two.
    pub(crate) fn renew(&self) {
        for directory in &self.directories {
            // Without rights nothing is heard, as nothing can be seen.
            if inotify::add_watch(&self.inotify, directory.as_path(), HEARD).is_err() {
                // One that is watched anyway tells more than what comes into being.
                let is_other = |above: &&Path| !self.directories.iter().any(|own| own == above);
                let above = directory.ancestors().skip(1).find(|above| above.is_dir()).filter(is_other);
                let made = WatchFlags::CREATE | WatchFlags::MOVED_TO;
                let _ = above.map(|above| inotify::add_watch(&self.inotify, above, made));
            }
        }
    }

    /// Takes in all that has happened.
    pub(crate) fn take_in(&self) -> Happened {
        let mut happened = Happened::Nothing;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let is_open = event.events().contains(ReadFlags::OPEN);
            let is_directory = event.events().contains(ReadFlags::ISDIR);
            happened = happened.max(match (is_open, is_directory) {
                // Whoever looks opens directories.
                (true, true) => Happened::Nothing,
                (true, false) => Happened::Opened,
                (false, _) => Happened::Changed,
            });
        }
        happened
    }
}

impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir};

    use super::*;

    #[test]
    fn a_directory_is_heard_of_when_it_comes_and_then_by_what_happens_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("locks");
        let watch = DirectoryWatch::listen(vec![directory.clone()]).unwrap();
        assert_eq!(watch.take_in(), Happened::Nothing);
        create_dir(&directory).unwrap();
        assert_eq!(watch.take_in(), Happened::Changed);
        watch.renew();
        let file = File::create(directory.join("x")).unwrap();
        assert_eq!(watch.take_in(), Happened::Changed);
        drop(file);
        assert_eq!(watch.take_in(), Happened::Changed);
        drop(File::open(directory.join("x")).unwrap());
        assert_eq!(watch.take_in(), Happened::Opened);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        assert_eq!(watch.take_in(), Happened::Nothing);
    }
}
