//! The writer: a process of its own, which makes every write of an operation, each by a thread, and each of which may take as
//! long as the kernel pleases.
//!
//! It is a process, for a thread that the kernel does not let go keeps its process from ending: pcictl could not give the
//! terminal back. It is one for all writes, forked and never executed, for starting a program takes longer than most writes
//! do. It has what it needs and no more: the locks, the journal, and the line on which it gets its orders. It hears no signal
//! that a terminal or an operator sends, for the kernel could not heed one anyway, and the journal must get its lines.
//! Killed, it keeps all of these open until the last thread has left the kernel (`exit_files` in kernel/exit.c is each
//! thread's own). It ends when its line is closed and nothing is being written.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::doctor::writes::{self, ThreadWrite, command_line};
use crate::execute::title::Title;
use crate::execute::writer_line::{Answer, Line, Order};
use crate::execute::{rerun, vf_write};
use crate::host::child::close_all_but;
use crate::host::hotplug_thread::wait_until_idle;
use crate::state::journal::store;

/// What a write needs, the longest of which asks the kernel for an interface and its VFs.
const STACK: usize = 256 << 10;

/// What a writer has: it is in a process of its own, whose end is near when it has no orders any more.
pub(crate) struct Writer<'a> {
    line: &'a Line,
    journal: Option<BorrowedFd<'a>>,
    shown: Mutex<Shown>,
}

/// What is being written, and the command line that tells it.
struct Shown {
    writes: Vec<ThreadWrite>,
    title: Title,
}

/// Makes this process, which was forked for it, the writer, until there are no orders any more and the last write has ended.
pub(crate) fn be_writer(line: &Line, journal: Option<BorrowedFd<'_>>, locks: &[RawFd]) {
    rerun::detach();
    rerun::be_called("pcictl-write");
    if leave_descriptors(line, journal, locks).is_err() {
        return;
    }
    let shown = Shown { writes: Vec::new(), title: Title::make(writes::LONGEST) };
    let writer = Writer { line, journal, shown: Mutex::new(shown) };
    writer.show(|_| ());
    writer.work();
    // Before the line is closed, by which pcictl knows that they are free.
    for lock in locks {
        let _ = nix::unistd::close(*lock);
    }
}

/// Leaves every open file that is none of the writer's business.
fn leave_descriptors(line: &Line, journal: Option<BorrowedFd<'_>>, locks: &[RawFd]) -> std::io::Result<()> {
    use std::os::fd::AsFd as _;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    drop(null);
    let own = [0, 1, 2, line.as_fd().as_raw_fd()].into_iter().chain(journal.map(|journal| journal.as_raw_fd()));
    close_all_but(own.chain(locks.iter().copied()).collect())
}

impl Writer<'_> {
    fn work(&self) {
        std::thread::scope(|scope| {
            while let Some(order) = self.line.next_order() {
                self.begin(scope, order);
            }
        });
    }

    fn begin<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, order: Order) {
        let mark = order.mark;
        if let Err(error) = Builder::new().stack_size(STACK).spawn_scoped(scope, move || self.perform(&order)) {
            self.line.answer(Answer::NotBegun(mark, error.raw_os_error().unwrap_or(Errno::EAGAIN as i32)));
        }
    }

    /// Makes one write, from its first moment in the command line to its answer.
    fn perform(&self, order: &Order) {
        let Order { mark, path, value } = order;
        let thread = nix::unistd::gettid().as_raw().unsigned_abs();
        let shown = ThreadWrite { thread, path: path.clone(), value: value.trim_end().to_owned() };
        self.show(|writes| writes.push(shown));
        let answer = write(path, value);
        if answer.is_ok() {
            // The locks are for all that the kernel does with it.
            wait_until_idle(path, value);
        }
        let code = answer.err().map_or(0, |errno| errno as i32);
        // The journal first: once the locks are free, whoever takes them reads what became of this.
        if let Some(journal) = self.journal {
            let _ = store::note_end(journal, *mark, code);
        }
        self.show(|writes| writes.retain(|write| write.thread != thread));
        self.line.answer(Answer::Ended(*mark, code));
    }

    fn show(&self, change: impl FnOnce(&mut Vec<ThreadWrite>)) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shown.writes);
        let line = command_line(&shown.writes);
        shown.title.show(&line);
    }
}

fn write(path: &str, value: &str) -> Result<(), Errno> {
    if let Some((directory, setting)) = vf_write::parse(path, value) {
        return vf_write::set(directory, setting);
    }
    let file = open(path, OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())?;
    // A signal may end the call only before the kernel's handler has begun, so writing again is safe.
    loop {
        match nix::unistd::write(&file, value.as_bytes()) {
            Ok(written) if written == value.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
