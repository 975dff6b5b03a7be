//! Helpers from this side: how one is started, told to go, and asked what became of it; and those that are started
//! before it is their turn. Starting a program takes longer than most writes do, and waiting for it between two drivers
//! that stop, or between stopping and removing, would be time in which a machine is neither here nor there.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, poll};

use crate::execute::{rerun, writer};
use crate::lock::acquire::Handover;
use crate::plan::action::{Step, StepRef};

/// What every helper is made from.
pub(crate) struct HelperSpec {
    /// The program, which is pcictl.
    pub(crate) program: PathBuf,
    /// The locks, kept open in every helper and in no other child.
    pub(crate) locks: Handover,
    /// The journal, handed to every helper.
    pub(crate) journal: Option<OwnedFd>,
}

/// A helper, which waits for the word to go and then makes one write.
pub(crate) struct Helper {
    child: Child,
    /// Its standard output, on which it is also told to go. When this end is closed before, it ends and has done nothing.
    line: UnixStream,
}

impl Helper {
    /// Starts one for the write of `value` to `path`.
    ///
    /// # Errors
    /// No process can be started, or no descriptor is left.
    pub(crate) fn start(spec: &HelperSpec, mark: StepRef, path: &str, value: &str) -> io::Result<Self> {
        let journal = match &spec.journal {
            Some(journal) => Stdio::from(journal.try_clone()?),
            None => Stdio::null(),
        };
        let (line, theirs) = UnixStream::pair()?;
        // Its arguments are what an operator sees in ps: what is written, and where.
        let mut command = rerun::command(&spec.program);
        spec.locks.apply(&mut command);
        let child = command
            .args(writer::arguments(mark, spec.locks.locks(), path, value))
            .stdin(journal)
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, line })
    }

    /// Has it make its write now.
    ///
    /// # Errors
    /// It has ended, so it never will.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.line.write_all(writer::START)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; gives the number of the error that the kernel answered, 0 if it was none, and nothing if it was
    /// killed.
    pub(crate) fn answer(mut self) -> Option<i32> {
        let mut said = String::new();
        let _ = self.line.read_to_string(&mut said);
        // In the background it is nobody's child here, and that is fine.
        let _ = self.child.wait();
        said.trim().parse().ok()
    }

    /// Waits until it has ended unused, for it has the locks.
    fn wait_for_exit(mut self) {
        /// It has nothing to do but to end; one that cannot even be loaded is not waited for.
        const MILLISECONDS: u16 = 2_000;
        let ended = poll(&mut [PollFd::new(self.line.as_fd(), PollFlags::POLLIN)], MILLISECONDS);
        if ended.is_ok_and(|ready| ready > 0) {
            let _ = self.child.wait();
        }
    }
}

impl AsFd for Helper {
    /// Readable when it has something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

/// A step that has a helper already, or will get one.
struct PendingHelper {
    mark: StepRef,
    path: String,
    value: String,
}

/// The helpers that were started before their turn.
#[derive(Default)]
pub(crate) struct HelperPool {
    to_come: VecDeque<PendingHelper>,
    ready: Vec<(PendingHelper, Helper)>,
}

/// So many are ready at most: as many as can be begun at once in all but the greatest chassis.
const POOL_MAX: usize = 32;

impl HelperPool {
    /// Says what is going to be written, to the file at `path_of` each step, the first one being at this place of the plan.
    /// Those that wait for no other step are started at once, and those that remove: between stopping and removing nothing
    /// may be started any more. For the rest there is time while these are at work.
    pub(crate) fn prestart(
        &mut self,
        spec: &HelperSpec,
        first: usize,
        steps: &[Step],
        path_of: impl Fn(&Step) -> String,
    ) {
        let turn = |(index, step): (usize, &Step)| PendingHelper {
            mark: StepRef { step: first + index, undo: false },
            path: path_of(step),
            value: step.value.clone(),
        };
        let (at_once, later): (Vec<_>, Vec<_>) =
            steps.iter().enumerate().partition(|(_, step)| step.after.is_empty() || !step.action.removes().is_empty());
        self.to_come = at_once.into_iter().map(turn).collect();
        while self.has_room() {
            self.start_one(spec);
        }
        self.to_come.extend(later.into_iter().map(turn));
    }

    /// Whether one more is to be started.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() < POOL_MAX && !self.to_come.is_empty()
    }

    /// Starts the next one, if one more is to be started. One that cannot be started is no error yet: it is tried again when
    /// its turn has come.
    pub(crate) fn start_one(&mut self, spec: &HelperSpec) {
        if self.ready.len() >= POOL_MAX {
            return;
        }
        let Some(turn) = self.to_come.pop_front() else { return };
        match Helper::start(spec, turn.mark, &turn.path, &turn.value) {
            Ok(helper) => self.ready.push((turn, helper)),
            Err(_) => self.to_come.clear(),
        }
    }

    /// The one that was started for this very write.
    pub(crate) fn take(&mut self, mark: StepRef, path: &str, value: &str) -> Option<Helper> {
        self.to_come.retain(|turn| turn.mark != mark);
        let is_it = |(turn, _): &(PendingHelper, Helper)| turn.mark == mark && turn.path == path && turn.value == value;
        let index = self.ready.iter().position(is_it)?;
        Some(self.ready.swap_remove(index).1)
    }

    /// Ends those that were not needed.
    pub(crate) fn shut_down(&mut self) {
        self.to_come.clear();
        for (_, helper) in &self.ready {
            let _ = helper.line.shutdown(Shutdown::Write);
        }
        self.ready.drain(..).for_each(|(_, helper)| helper.wait_for_exit());
    }

    /// The process ids of those that are ready.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.ready.iter().map(|(_, helper)| helper.id())
    }

    /// Leaves them to another process that has their lines, too.
    pub(crate) fn abandon(&mut self) {
        self.to_come.clear();
        self.ready.clear();
    }
}
