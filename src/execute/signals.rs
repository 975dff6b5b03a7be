//! Signals as something to poll, so that one place hears them together with everything else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The wishes of operators and terminals to stop, from the moment this is made until it is dropped.
#[derive(Debug)]
pub(crate) struct Signals {
    heard: SigSet,
    signals: SignalFd,
}

impl Signals {
    /// Starts to listen. What the caller had ignored (nohup) stays ignored.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn listen() -> io::Result<Self> {
        let heard = hold()?;
        let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { heard, signals })
    }

    /// What to poll.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Waits until one comes, or the time is up; whether one came, which is left to be [taken](Self::take).
    pub(crate) fn wait(&self, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // As long as poll can wait, and then again.
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) if left.is_zero() => return false,
                Ok(0) | Err(_) => {}
                Ok(_) => return true,
            }
        }
    }

    /// How many signals came since the last time.
    pub(crate) fn take(&mut self) -> usize {
        std::iter::from_fn(|| self.signals.read_signal().ok().flatten()).count()
    }
}

impl Drop for Signals {
    /// The work is over: what came too late must not keep the report from being printed, what comes now may.
    fn drop(&mut self) {
        self.take();
        let _ = self.heard.thread_unblock();
    }
}

/// Ends nobody from here on: a wish to stop is kept for whoever [listens](Signals::listen) next.
///
/// # Errors
/// Never on Linux.
pub(crate) fn hold() -> io::Result<SigSet> {
    let ignored = ignored();
    let wishes = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let heard: SigSet = wishes.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0).collect();
    heard.thread_block()?;
    Ok(heard)
}

/// A limit on the size of files makes writes fail from here on, instead of ending the program between two steps.
pub(crate) fn ignore_file_size_limit() {
    // SAFETY: no handler is installed, the signal is ignored.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// The signals that are ignored, a bit each; none if /proc does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
