//! Writes that may take for ever, made so that nobody has to wait for ever.
//!
//! All writes are made by one process, the writer, which this one forks when an operation has its locks, and which has them,
//! too. This process only waits, and hears signals and deadlines while it does. When a write takes too long, or a second
//! signal comes, it forks once more: the process that the shell knows reports and ends, the other goes on with the operation
//! in the background and with the same writer, and both locks and journal stay with it. Should all of them be killed, the
//! writer holds the locks until the kernel is done with all that it has in hand, and notes the end if it was not killed
//! itself; `pcictl recover` sees it in the tree.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::ForkResult;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::snapshot;
use crate::doctor::stack::Position;
use crate::doctor::task::Task;
use crate::doctor::writes;
use crate::execute::executor::{Event, StepRunner};
use crate::execute::outcome::{DetachedWrite, KernelState};
use crate::execute::scope;
use crate::execute::signals::Signals;
use crate::execute::writer_line::{Answer, Heard, Order};
use crate::execute::writer_process::{WriterProcess, WriterSpec};
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::lock::acquire::Held;
use crate::plan::action::{Step, StepRef};
use crate::plan::step_state::interpret_result;

/// How often whoever waits for a write is told that it goes on.
const TICK: Duration = Duration::from_millis(500);

/// Has writes made and watches over them.
pub struct Supervisor<'a> {
    sysfs: &'a Sysfs,
    spec: WriterSpec,
    /// None if none could be started, or it was killed: the next write starts one.
    writer: Option<WriterProcess>,
    timeout: Duration,
    signals: Signals,
    running: Vec<Running>,
    /// What became of writes, and was not told yet.
    over: VecDeque<(Running, End)>,
    /// The first wish to stop was passed on.
    interrupt_reported: bool,
    /// Another one came with it.
    second_interrupt: bool,
    /// The terminal is somebody else's by now, and nobody waits for this process.
    background: bool,
}

/// A write that the writer was told to make.
struct Running {
    mark: StepRef,
    step: Step,
    begun: Instant,
}

/// What became of a write.
enum End {
    Answered(i32),
    NotBegun(i32),
    /// The writer was killed.
    Lost,
}

/// Why the terminal is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Late,
    AskedTwice,
}

impl<'a> Supervisor<'a> {
    /// Watches over writes to this machine, under locks that are held, each for at most `timeout`. What is still to be read
    /// while they are made should be read by now: this process is copied here.
    ///
    /// # Errors
    /// There are no descriptors left for signals.
    pub fn new(sysfs: &'a Sysfs, held: &Held, journal: Option<OwnedFd>, timeout: Duration) -> io::Result<Self> {
        let signals = Signals::listen()?;
        let spec = WriterSpec { locks: held.handover(), journal };
        // One that cannot be started is no error yet: it is tried again for the first write.
        let writer = WriterProcess::start(&spec).ok();
        Ok(Self {
            sysfs,
            spec,
            writer,
            timeout,
            signals,
            running: Vec::new(),
            over: VecDeque::new(),
            interrupt_reported: false,
            second_interrupt: false,
            background: false,
        })
    }

    /// Tells the writer, or a new one in the place of one that was killed.
    fn order(&mut self, order: &Order) -> io::Result<()> {
        if let Some(writer) = &self.writer {
            match writer.order(order) {
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.take_in(),
                told => return Ok(told?),
            }
        }
        Ok(self.writer.insert(WriterProcess::start(&self.spec)?).order(order)?)
    }

    /// Takes in all that the writer has said. When it is gone, nothing that it had in hand goes on.
    fn take_in(&mut self) {
        while let Some(writer) = &self.writer {
            let (mark, end) = match writer.hear() {
                Heard::Message(Answer::Ended(mark, errno)) => (mark, End::Answered(errno)),
                Heard::Message(Answer::NotBegun(mark, errno)) => (mark, End::NotBegun(errno)),
                Heard::Nothing => return,
                Heard::Hangup => {
                    self.over.extend(self.running.drain(..).map(|running| (running, End::Lost)));
                    self.writer.take().into_iter().for_each(WriterProcess::reap);
                    return;
                }
            };
            if let Some(index) = self.running.iter().position(|running| running.mark == mark) {
                self.over.push_back((self.running.remove(index), end));
            }
        }
    }

    /// Waits until the writer says something, a signal comes, the first deadline is over, or it is time for another word.
    fn wait(&self, due: Instant) -> PollResult {
        if self.second_interrupt && !self.background {
            return PollResult { signal: false, writer: false };
        }
        let line = self.writer.as_ref().map(AsFd::as_fd);
        let fds = [self.signals.as_fd()].into_iter().chain(line);
        let mut watched: Vec<PollFd> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let due = due.saturating_duration_since(Instant::now());
        let left = self.left().map_or(due, |left| left.min(due));
        // EINTR is a signal, and its byte is in the pipe.
        let _ = poll(&mut watched, PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX));
        let spoken = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let has = |fd: &PollFd| fd.revents().is_some_and(|events| events.intersects(spoken));
        PollResult { signal: has(&watched[0]), writer: watched.get(1).is_some_and(has) }
    }

    /// How long until the first deadline; none if there is none.
    fn left(&self) -> Option<Duration> {
        let first = self.running.iter().map(|running| running.begun).min().filter(|_| !self.background)?;
        Some(self.timeout.saturating_sub(first.elapsed()))
    }

    /// Tells what became of a write.
    fn event(&self, running: &Running, end: &End) -> Event {
        let action = &running.step.action;
        let answer = match end {
            End::NotBegun(errno) => return Event::NotBegun(running.mark, Errno::from_raw(*errno)),
            End::Answered(0) => Ok(()),
            End::Answered(errno) => Err(Errno::from_raw(*errno)),
            // Killed: before the write, or after the kernel was done with it. The tree tells, where it can.
            End::Lost if crate::plan::step_state::is_done(self.sysfs, action) == Some(true) => Ok(()),
            End::Lost => Err(Errno::ECANCELED),
        };
        Event::Ended(running.mark, interpret_result(self.sysfs, action, answer))
    }

    /// Splits: the process that goes on gets nothing, the one that returns to the operator the report.
    fn detach(&mut self, reason: Reason) -> Option<Event> {
        let oldest = self.running.iter().min_by_key(|running| running.begun)?;
        let helper = self.writer.as_ref().map_or(0, WriterProcess::id);
        let (thread, kernel) = kernel_state(helper, &self.sysfs.display(&oldest.step.file), &oldest.step.value);
        let mut unfinished = DetachedWrite {
            action: oldest.step.action.clone(),
            waited_seconds: oldest.begun.elapsed().as_secs_f64(),
            late: reason == Reason::Late,
            helper,
            thread,
            background: None,
            scope: None,
            running: self.running.len(),
            kernel,
        };
        if !is_single_threaded() {
            unfinished.scope = self.move_to_own_scope(None);
            return Some(Event::Detached(Box::new(unfinished)));
        }
        // The background process reads to its end what the other closes when it has moved it.
        let (moving, moved) = UnixStream::pair().ok().unzip();
        // SAFETY: this is the only thread, so no lock of another can be left held in the child.
        match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Parent { child }) => {
                drop(moved);
                unfinished.background = u32::try_from(child.as_raw()).ok();
                // Before this process ends, and its unit or session with it.
                unfinished.scope = self.move_to_own_scope(unfinished.background);
                drop(moving);
                // It is the other process's now.
                self.writer = None;
                Some(Event::Detached(Box::new(unfinished)))
            }
            Ok(ForkResult::Child) => {
                drop(moving);
                self.go_on_in_background();
                if let Some(moved) = moved {
                    wait_for_move(moved);
                }
                None
            }
            // The writer goes on, and holds the locks; the rest is for `pcictl recover`.
            Err(_) => {
                unfinished.scope = self.move_to_own_scope(None);
                Some(Event::Detached(Box::new(unfinished)))
            }
        }
    }

    fn move_to_own_scope(&self, background: Option<u32>) -> Option<String> {
        let pids: Vec<u32> = background.into_iter().chain(self.writer.as_ref().map(WriterProcess::id)).collect();
        scope::move_to_own(&Procfs::live().ok()?, &pids)
    }

    fn go_on_in_background(&mut self) {
        self.background = true;
        let _ = nix::unistd::setsid();
        if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = nix::unistd::dup2_stdin(&null);
            let _ = nix::unistd::dup2_stdout(&null);
            let _ = nix::unistd::dup2_stderr(&null);
        }
    }
}

/// Starts nothing until the scope is there: a process that began before would stay in the unit, and be killed with it. The
/// process that asks for the scope may itself be stopped or killed.
fn wait_for_move(mut moved: UnixStream) {
    if moved.set_read_timeout(Some(scope::LONGEST)).is_ok() {
        let _ = moved.read(&mut [0]);
    }
}

struct PollResult {
    signal: bool,
    writer: bool,
}

impl StepRunner for Supervisor<'_> {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        let order = Order { mark, path: self.sysfs.display(&step.file), value: step.value.clone() };
        self.order(&order).map_err(errno)?;
        self.running.push(Running { mark, step: step.clone(), begun: Instant::now() });
        Ok(())
    }

    fn next_event(&mut self) -> Event {
        let due = Instant::now() + TICK;
        loop {
            // What has ended has ended, however late.
            if let Some((running, end)) = self.over.pop_front() {
                return self.event(&running, &end);
            }
            let heard = self.wait(due);
            if heard.writer {
                self.take_in();
                continue;
            }
            let signals = if heard.signal { self.signals.take() } else { 0 };
            let asked = signals > 0;
            if asked && !self.interrupt_reported {
                (self.interrupt_reported, self.second_interrupt) = (true, signals > 1);
                return Event::Interrupted;
            }
            let reason = match asked || self.second_interrupt {
                _ if self.background => None,
                true => Some(Reason::AskedTwice),
                false => self.left().is_some_and(|left| left.is_zero()).then_some(Reason::Late),
            };
            match reason.map(|reason| self.detach(reason)) {
                Some(Some(event)) => return event,
                Some(None) => {}
                None if Instant::now() >= due => return Event::Nothing,
                None => {}
            }
        }
    }

    fn is_interrupted(&mut self) -> bool {
        let signals = self.signals.take();
        if signals > 0 && !self.background && !self.interrupt_reported {
            (self.interrupt_reported, self.second_interrupt) = (true, signals > 1);
        }
        self.interrupt_reported
    }
}

impl Drop for Supervisor<'_> {
    /// The locks are let go after this, and the writer has them, too. One that still writes keeps them.
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        if self.running.is_empty() { writer.end() } else { writer.close() }
    }
}

/// The writer's thread that makes this write, what the kernel is doing for it, and whether it will ever be done.
fn kernel_state(writer: u32, path: &str, value: &str) -> (Option<u32>, KernelState) {
    let procfs = Procfs::live().ok();
    let (thread, task) = procfs.as_ref().map_or((None, None), |procfs| look_asleep(procfs, writer, path, value));
    let diagnosis = Diagnosis::of(&snapshot::take(procfs.as_ref()));
    let position = task.as_ref().map(Position::of);
    let state = KernelState {
        state: task.as_ref().map(|task| task.state),
        wchan: task.as_ref().and_then(|task| task.wchan.clone()),
        stack: task.map(|task| task.stack.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        waits: position.map(|position| position.waits),
        stuck: diagnosis.stuck,
    };
    (thread, state)
}

/// The thread as it sleeps in the kernel. A driver that waits in slices runs between two of them, and a task that runs shows
/// no stack; so it is looked at a few times.
fn look_asleep(procfs: &Procfs, writer: u32, path: &str, value: &str) -> (Option<u32>, Option<Task>) {
    const LOOKS: usize = 5;
    const BETWEEN: Duration = Duration::from_millis(10);
    let look = || {
        let thread = writes::thread_of(&snapshot::writer_command(procfs, writer), path, value);
        (thread, thread.and_then(|thread| snapshot::look(procfs, writer, thread)))
    };
    let mut found = look();
    for _ in 1..LOOKS {
        if matches!(&found, (Some(_), None)) || found.1.as_ref().is_some_and(|task| !task.stack.is_empty()) {
            break;
        }
        std::thread::sleep(BETWEEN);
        found = look();
    }
    found
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
