//! flock(2) itself, and nothing else: the one place where a lock call is made.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use fs2::FileExt;

use crate::lock::claims::Mode;

/// Takes the lock if that needs no waiting.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the one place that locks"))]
pub(crate) fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    let result = match mode {
        Mode::Shared => FileExt::try_lock_shared(file),
        Mode::Exclusive => FileExt::try_lock_exclusive(file),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A lock call that sleeps in the kernel, so that /proc/locks shows it in line.
pub(crate) struct Pending(Receiver<io::Result<File>>);

/// Starts to wait on a thread of its own: flock(2) knows no deadline.
///
/// When the [`Pending`] is dropped first, the thread lets the lock go as soon as it gets it.
///
/// # Errors
/// There can be no further thread.
#[cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, reason = "the one place that locks, on a thread that nobody waits for")
)]
pub(crate) fn lock_in_background(file: File, mode: Mode) -> io::Result<Pending> {
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("lock".to_owned()).spawn(move || {
        let result = loop {
            let result = match mode {
                Mode::Shared => FileExt::lock_shared(&file),
                Mode::Exclusive => FileExt::lock_exclusive(&file),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        // A receiver that has given up hands the file back to be dropped here, and the lock with it.
        let _ = sender.send(result.map(|()| file));
    })?;
    Ok(Pending(receiver))
}

impl Pending {
    /// Waits for at most this long; `None` if the lock has not come yet.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<io::Result<File>> {
        match self.0.recv_timeout(timeout) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(io::Error::other("the waiting thread has died"))),
        }
    }
}
