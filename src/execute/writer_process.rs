//! The writer from this side: how it is started, given orders, heard and ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::execute::writer::be_writer;
use crate::execute::writer_line::{Answer, Heard, Line, Order};
use crate::host::child::leave;
use crate::lock::acquire::Handover;

/// What a writer is made from.
pub(crate) struct WriterSpec {
    /// The locks, kept open in the writer and in no other child.
    pub(crate) locks: Handover,
    /// The journal, in which it notes how each write ended.
    pub(crate) journal: Option<OwnedFd>,
}

/// A writer, at work or waiting for orders.
pub(crate) struct WriterProcess {
    pid: Pid,
    line: Line,
}

impl WriterProcess {
    /// Starts one.
    ///
    /// # Errors
    /// No process can be started, or no descriptor is left.
    pub(crate) fn start(spec: &WriterSpec) -> io::Result<Self> {
        let (line, theirs) = Line::pair()?;
        // SAFETY: pcictl has one thread when an operation begins. Where there are more, as in a program of tests, the child
        // takes no lock that another thread could have held but that of malloc, which both glibc and musl hand over to a
        // child in a usable state. It ends by _exit and never returns from here.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, line }),
            ForkResult::Child => {
                let journal = spec.journal.as_ref().map(AsFd::as_fd);
                // A test's panic would go on in a copy of the test program.
                let _ = catch_unwind(AssertUnwindSafe(|| be_writer(&theirs, journal, spec.locks.locks())));
                leave()
            }
        }
    }

    /// Has it make a write now.
    ///
    /// # Errors
    /// EPIPE if it has ended; any other if it cannot be told.
    pub(crate) fn order(&self, order: &Order) -> Result<(), Errno> {
        self.line.order(order)
    }

    /// What it says next, without waiting for it.
    pub(crate) fn hear(&self) -> Heard<Answer> {
        self.line.next_answer()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Gives no more orders, so that it ends when what it writes is done.
    pub(crate) fn close(&self) {
        self.line.close_orders();
    }

    /// Ends it and waits until it has, for it has the locks. Nothing must be being written any more.
    pub(crate) fn end(self) {
        /// It has nothing to do but to end; one that was stopped is not waited for.
        const MILLISECONDS: u16 = 2_000;
        self.close();
        let ended = poll(&mut [PollFd::new(self.line.as_fd(), PollFlags::POLLIN)], MILLISECONDS);
        if ended.is_ok_and(|ready| ready > 0) {
            self.reap();
        }
    }

    /// Waits for its last moment, when its line is closed by now. In the background it is nobody's child here, and that is fine.
    pub(crate) fn reap(self) {
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

impl AsFd for WriterProcess {
    /// Readable when it has something to say, or has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}
