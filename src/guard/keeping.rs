//! The guard's end of the line to its keeper.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Signal, pidfd_send_signal};

use crate::error::{Error, ErrorKind, Result};
use crate::execute::rerun;
use crate::guard::keeper::{SOCKET, SUBCOMMAND};
use crate::guard::link::{self, Granted, Message, Waiting};
use crate::host::pidfd;

/// How often the keeper hears that the guard goes on.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A keeper that takes longer than these milliseconds to answer is stopped: it has nothing else to do.
const PATIENCE: u16 = 5000;

/// What a guard that has ended left behind.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    /// The group.
    pub(crate) group: Option<OwnedFd>,
    /// Those who had come, and about whom nothing was decided.
    pub(crate) taken: Vec<Waiting>,
    /// Those who wait.
    pub(crate) waiting: Vec<Waiting>,
    /// Those who were let go on, with their locks.
    pub(crate) granted: Vec<(Granted, Vec<OwnedFd>)>,
}

/// The line, and what it takes to have another keeper.
#[derive(Debug)]
pub(crate) struct Keeping {
    run: PathBuf,
    line: OwnedFd,
    said: Instant,
}

impl Keeping {
    /// Finds the keeper of a guard that has ended, or starts one.
    ///
    /// # Errors
    /// Another guard is there, or none can be started.
    pub(crate) fn begin(run: &Path) -> Result<(Self, Legacy)> {
        let failed = |error: io::Error| Error::io("what must outlive the guard cannot be kept", &error);
        let keeping = |line: OwnedFd| Self { run: run.to_path_buf(), line, said: Instant::now() };
        while let Some(line) = find(&run.join(SOCKET)).map_err(failed)? {
            match take_over(&line) {
                Ok(legacy) => return Ok((keeping(line), legacy.ok_or_else(already_there)?)),
                // It has ended, and all that it had with it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                // It is stopped. Whom it holds up goes on, and who is inside is found by a look.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => end(&line).map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok((keeping(start(run).map_err(failed)?), Legacy::default()))
    }

    /// Tells the keeper something; false if there is no keeper any more.
    #[must_use]
    pub(crate) fn tell(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> bool {
        self.said = Instant::now();
        link::send(&self.line, message, descriptors).is_ok()
    }

    /// Tells it that the guard goes on, if it has not heard that for a while.
    #[must_use]
    pub(crate) fn is_alive(&mut self) -> bool {
        self.said.elapsed() < SIGN_OF_LIFE || self.tell(&Message::Alive, &[])
    }

    /// Starts another one after it has ended.
    ///
    /// # Errors
    /// None can be started.
    pub(crate) fn again(&mut self) -> io::Result<()> {
        self.line = start(&self.run)?;
        Ok(())
    }
}

impl AsFd for Keeping {
    /// Readable when it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

fn find(path: &Path) -> io::Result<Option<OwnedFd>> {
    let line = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match connect(&line, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(Some(line)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Starts one; it keeps nothing of this process open but its line.
fn start(run: &Path) -> io::Result<OwnedFd> {
    let (line, theirs) = link::pair()?;
    rerun::command(Path::new(rerun::PROGRAM))
        .arg(SUBCOMMAND)
        .arg(run)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok(line)
}

/// Ends the keeper at the other end of a line, and waits until it has.
fn end(line: &OwnedFd) -> io::Result<()> {
    let keeper = rerun::peer(line).and_then(pidfd::of).ok_or(io::ErrorKind::PermissionDenied)?;
    pidfd_send_signal(&keeper, Signal::KILL)?;
    poll(&mut [PollFd::new(keeper.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE))?;
    Ok(())
}

/// What the keeper has; none if it keeps for another guard.
fn take_over(line: &OwnedFd) -> io::Result<Option<Legacy>> {
    let mut legacy = Legacy::default();
    loop {
        if poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE)) == Ok(0) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Some((message, mut descriptors)) = link::receive(line, true)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match message {
            Message::Group => legacy.group = descriptors.pop(),
            Message::Taken(taken) => legacy.taken = taken,
            Message::Waiting(waiting) => legacy.waiting.push(waiting),
            Message::Granted(granted) => legacy.granted.push((granted, descriptors)),
            Message::Locks(_) => {
                legacy.granted.last_mut().into_iter().for_each(|(_, locks)| locks.append(&mut descriptors));
            }
            Message::Busy(_) => return Ok(None),
            Message::Complete => return Ok(Some(legacy)),
            _ => {}
        }
    }
}

/// Why no second one starts.
pub(crate) fn already_there() -> Error {
    Error::new(ErrorKind::Locked, "a guard is running already").hint("pcictl guard --status shows it")
}
