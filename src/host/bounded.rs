//! Reads whole files with a limit of size and of time, for those who copy what others read one value at a time.
//!
//! Most files of the kernel answer from memory. A few of /proc (`maps`, `cmdline`) wait for a lock of their process, which a
//! process that hangs may never give back. So a thread does the reading, and one that does not answer in time is left
//! behind and another takes its place. Not promised: that a thread in an uninterruptible wait can be ended; which files are
//! asked for is the caller's business.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// How long one file may take. All that answer at all need less than a thousandth of it.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// So many threads are left behind; after them nothing is read any more.
const MOST_ABANDONED: usize = 16;

type Answer = io::Result<Option<Vec<u8>>>;

/// Reads files below one directory.
#[derive(Debug)]
pub(crate) struct BoundedReader {
    root: Arc<Root>,
    worker: Option<Worker>,
    abandoned: usize,
}

#[derive(Debug)]
struct Root {
    fd: OwnedFd,
    /// Nothing outside of it is opened, whatever links say.
    is_closed: bool,
}

#[derive(Debug)]
struct Worker {
    questions: Sender<(String, usize)>,
    answers: Receiver<Answer>,
}

impl BoundedReader {
    /// Reads below this directory. Where `is_closed`, the kernel refuses links that lead out of it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn new(root: &Path, is_closed: bool) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        Ok(Self { root: Arc::new(Root { fd, is_closed }), worker: None, abandoned: 0 })
    }

    /// At most `limit` bytes of a plain file; `None` if it, or what it belongs to, is gone. No link at its end is followed.
    ///
    /// # Errors
    /// It is no plain file, does not answer in time, or cannot be read.
    pub(crate) fn read(&mut self, path: &str, limit: usize) -> Answer {
        if self.abandoned >= MOST_ABANDONED {
            return Err(io::Error::other("not tried: too many files before it did not answer"));
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => start(&self.root)?,
        };
        if worker.questions.send((path.to_owned(), limit)).is_err() {
            return Err(io::Error::other("the thread that reads has ended"));
        }
        match worker.answers.recv_timeout(ANSWER_TIME) {
            Ok(answer) => {
                self.worker = Some(worker);
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                self.abandoned += 1;
                Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread that reads has ended")),
        }
    }
}

fn start(root: &Arc<Root>) -> io::Result<Worker> {
    let (questions, asked) = channel::<(String, usize)>();
    let (answer, answers) = channel();
    let root = Arc::clone(root);
    std::thread::Builder::new().name("bounded-read".to_owned()).spawn(move || {
        while let Ok((path, limit)) = asked.recv() {
            if answer.send(read(&root, &path, limit)).is_err() {
                break;
            }
        }
    })?;
    Ok(Worker { questions, answers })
}

fn read(root: &Root, path: &str, limit: usize) -> Answer {
    use rustix::io::Errno;
    // Without NONBLOCK a FIFO of that name would keep the reader for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = if root.is_closed {
        rustix::fs::openat2(root.fd.as_fd(), path, flags, Mode::empty(), ResolveFlags::BENEATH)
    } else {
        rustix::fs::openat(root.fd.as_fd(), path, flags, Mode::empty())
    };
    let gone = |error: &io::Error| {
        matches!(
            error.raw_os_error().map(Errno::from_raw_os_error),
            Some(Errno::NOENT | Errno::NODEV | Errno::NOTDIR | Errno::SRCH)
        )
    };
    let whole = || -> io::Result<Vec<u8>> {
        let file = File::from(opened?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
        }
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match whole() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_files_inside_are_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "0123456789").unwrap();
        std::fs::create_dir(root.path().join("inside")).unwrap();
        symlink("file", root.path().join("link")).unwrap();
        symlink("/etc", root.path().join("out")).unwrap();
        nix::unistd::mkfifo(&root.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut reader = BoundedReader::new(root.path(), true).unwrap();
        assert_eq!(reader.read("file", 4).unwrap().unwrap(), b"0123");
        assert_eq!(reader.read("file", 100).unwrap().unwrap(), b"0123456789");
        assert_eq!(reader.read("gone", 4).unwrap(), None);
        assert_eq!(reader.read("file/gone", 4).unwrap(), None);
        for refused in ["inside", "link", "fifo", "out/passwd", "../etc/passwd"] {
            assert!(reader.read(refused, 4).is_err(), "{refused}");
        }
    }
}
