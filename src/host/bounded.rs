//! Reads whole files with a limit of size and of time, for those who copy what others read one value at a time.
//!
//! Most files of the kernel answer from memory. A few of /proc (`maps`, `cmdline`) wait for a lock of their process, which a
//! process that hangs may never give back. So a thread does the reading, and one that does not answer in time is left
//! behind and another takes its place. Not promised: that a thread in an uninterruptible wait can be ended; which files are
//! asked for is the caller's business.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::host::root::{Directory, present};

/// How long one file may take. All that answer at all need less than a thousandth of it.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// So many threads are left behind; after them nothing is read any more.
const MOST_ABANDONED: usize = 16;

type Answer = io::Result<Option<Vec<u8>>>;

/// Reads files below one directory.
#[derive(Debug)]
pub(crate) struct BoundedReader {
    root: Arc<Directory>,
    worker: Option<Worker>,
    abandoned: usize,
}

/// A thread that reads; it ends when nobody asks any more.
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
        Ok(Self { root: Arc::new(Directory::top(root, is_closed)?), worker: None, abandoned: 0 })
    }

    /// The first `limit` bytes of a regular file; `None` if it, or what it belongs to, is gone.
    ///
    /// # Errors
    /// It is not a regular file, does not answer in time, or cannot be read.
    pub(crate) fn read(&mut self, path: &str, limit: usize) -> Answer {
        if self.abandoned >= MOST_ABANDONED {
            return Err(io::Error::other("not tried: too many files before it did not answer"));
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => start(&self.root)?,
        };
        // A thread that has ended gives no answer either.
        let _ = worker.questions.send((path.to_owned(), limit));
        let Ok(answer) = worker.answers.recv_timeout(ANSWER_TIME) else {
            self.abandoned += 1;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
        };
        self.worker = Some(worker);
        answer
    }
}

fn start(root: &Arc<Directory>) -> io::Result<Worker> {
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

fn read(root: &Directory, path: &str, limit: usize) -> Answer {
    let whole = || -> io::Result<Vec<u8>> {
        let file = File::from(root.kernel_file(path)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    present(whole())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_inside_are_read() {
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
        assert_eq!(reader.read("link", 1).unwrap().unwrap(), b"0");
        for refused in ["inside", "fifo", "out/passwd", "../etc/passwd"] {
            assert!(reader.read(refused, 4).is_err(), "{refused}");
        }
    }
}
