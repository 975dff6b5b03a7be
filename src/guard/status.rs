//! How others learn what the guard does: a socket that it answers on, so that what is told is never stale.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::host::machine::Machine;
use crate::report::guard::GuardReport;

/// Its name below the run directory.
const SOCKET: &str = "guard.status";

/// A guard answers in milliseconds; one that does not in this time is stopped or stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many of those who wait are told by name: all that is said has to fit into the socket, for the guard does not wait.
pub(crate) const MOST_TOLD: usize = 100;

/// The guard's end.
#[derive(Debug)]
pub(crate) struct Inquiries {
    listener: UnixListener,
}

impl Inquiries {
    /// Begins to listen, in the place of the guard before.
    ///
    /// # Errors
    /// There can be no such socket.
    pub(crate) fn listen(run: &Path) -> Result<Self> {
        let path = run.join(SOCKET);
        let bind = || -> io::Result<UnixListener> {
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        Ok(Self { listener: bind().map_err(|error| Error::io(path.display(), &error))? })
    }

    /// Answers whoever asks.
    pub(crate) fn answer(&self, report: &dyn Fn() -> GuardReport) {
        while let Ok((mut asks, _)) = self.listener.accept() {
            let bytes = serde_json::to_vec(&report()).unwrap_or_default();
            // Who does not take it at once gets half of it.
            let _ = asks.set_nonblocking(true).and_then(|()| asks.write_all(&bytes));
        }
    }
}

impl AsFd for Inquiries {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// What the guard of a machine does; none if there is none, or if this is a dumped tree, of which nobody is the guard.
///
/// # Errors
/// As [`ask`].
pub(crate) fn of_machine(machine: &Machine) -> Result<Option<GuardReport>> {
    if machine.sysfs.is_dump() && !machine.has_own_run_directory() {
        return Ok(None);
    }
    ask(&machine.run)
}

/// What the guard does; none if there is none.
///
/// # Errors
/// It does not answer, or not to this user.
pub(crate) fn ask(run: &Path) -> Result<Option<GuardReport>> {
    let path = run.join(SOCKET);
    let mut line = match UnixStream::connect(&path) {
        Ok(line) => line,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("the guard cannot be asked", &error)),
    };
    let mut bytes = Vec::new();
    let read = line.set_read_timeout(Some(PATIENCE)).and_then(|()| line.read_to_end(&mut bytes));
    let report = read.ok().and_then(|_| serde_json::from_slice(&bytes).ok());
    report.map(Some).ok_or_else(|| {
        let message = "a guard is there, and does not answer: it is stopped, or cannot go on";
        let hint = "its keeper ends it after ten seconds, and the service manager starts another one";
        Error::new(ErrorKind::TimedOut, message).hint(hint)
    })
}
