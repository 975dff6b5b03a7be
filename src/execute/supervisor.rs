//! Writes that may take for ever, made so that nobody has to wait for ever.
//!
//! Each write is made by a helper, which is this program run again (by /proc/self/exe, so that an upgrade in between
//! changes nothing) and which inherits the locks. This process only waits, and hears signals and deadlines while it does.
//! When a write takes too long, or a second signal comes, the process forks: the one that the shell knows reports and
//! ends, the other goes on with the operation in the background, and both locks and journal stay with it. Should all of
//! them be killed, the helper that is in the kernel still holds the locks until the kernel is done, and notes the end if it
//! was not killed itself; `pcictl recover` sees it in the tree.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::ForkResult;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::snapshot;
use crate::doctor::stack::Position;
use crate::doctor::task::Task;
use crate::execute::executor::{Event, StepRunner};
use crate::execute::helper_pool::{Helper, HelperPool, HelperSpec};
use crate::execute::outcome::{DetachedWrite, KernelState};
use crate::execute::signals::Signals;
use crate::execute::{rerun, scope};
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::lock::acquire::Held;
use crate::plan::action::{Step, StepRef};
use crate::plan::step_state::interpret_result;

/// How often whoever waits for a write is told that it goes on.
const TICK: Duration = Duration::from_millis(500);

/// Makes writes by helpers and watches over them.
pub struct Supervisor<'a> {
    sysfs: &'a Sysfs,
    spec: HelperSpec,
    pool: HelperPool,
    timeout: Duration,
    signals: Signals,
    running: Vec<Running>,
    /// The first wish to stop was passed on.
    interrupt_reported: bool,
    /// Another one came with it.
    second_interrupt: bool,
    /// The terminal is somebody else's by now, and nobody waits for this process.
    background: bool,
}

/// A helper at work.
struct Running {
    mark: StepRef,
    step: Step,
    helper: Helper,
    begun: Instant,
}

/// Why the terminal is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Late,
    AskedTwice,
}

impl<'a> Supervisor<'a> {
    /// Watches over writes to this machine, under locks that are held, each for at most `timeout`.
    ///
    /// # Errors
    /// There are no descriptors left for signals.
    pub fn new(sysfs: &'a Sysfs, held: &Held, journal: Option<OwnedFd>, timeout: Duration) -> io::Result<Self> {
        let (signals, program) = (Signals::listen()?, PathBuf::from(rerun::PROGRAM));
        let running = Vec::new();
        Ok(Self {
            sysfs,
            spec: HelperSpec { program, locks: held.handover(), journal },
            pool: HelperPool::default(),
            timeout,
            signals,
            running,
            interrupt_reported: false,
            second_interrupt: false,
            background: false,
        })
    }

    /// Uses another binary for the helpers: for tests, whose own is not pcictl.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.spec.program = program;
        self
    }

    /// A helper at work on this step: the one that was started for it, if it is still there.
    fn helper(&mut self, mark: StepRef, step: &Step) -> io::Result<Helper> {
        let path = self.sysfs.display(&step.file);
        let ready = self.pool.take(mark, &path, &step.value);
        if let Some(helper) = ready.and_then(|mut helper| helper.go().is_ok().then_some(helper)) {
            return Ok(helper);
        }
        let mut helper = Helper::start(&self.spec, mark, &path, &step.value)?;
        // One that was killed by now is found out when its answer is read.
        let _ = helper.go();
        Ok(helper)
    }

    /// Waits until a helper says something, a signal comes, the first deadline is over, or it is time for another word.
    fn wait(&self, due: Instant) -> PollResult {
        if self.second_interrupt && !self.background {
            return PollResult { signal: false, helper: None };
        }
        let lines = self.running.iter().map(|running| running.helper.as_fd());
        let mut watched: Vec<PollFd> = lines.map(|line| PollFd::new(line, PollFlags::POLLIN)).collect();
        let helpers = watched.len();
        watched.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        let timeout = match self.left() {
            // Nothing is waited for while there is something to prepare.
            _ if self.pool.has_room() => PollTimeout::ZERO,
            left => {
                let due = due.saturating_duration_since(Instant::now());
                let left = left.map_or(due, |left| left.min(due));
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        // EINTR is a signal, and its byte is in the pipe.
        let _ = poll(&mut watched, timeout);
        let has = |fd: &PollFd, flags| fd.revents().is_some_and(|events| events.intersects(flags));
        let spoken = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        PollResult {
            helper: watched[..helpers].iter().position(|fd| has(fd, spoken)),
            signal: watched[helpers..].iter().any(|fd| has(fd, spoken)),
        }
    }

    /// How long until the first deadline; none if there is none.
    fn left(&self) -> Option<Duration> {
        let first = self.running.iter().map(|running| running.begun).min().filter(|_| !self.background)?;
        Some(self.timeout.saturating_sub(first.elapsed()))
    }

    /// Takes what a helper said at its end.
    fn ended(&mut self, index: usize) -> Event {
        let running = self.running.remove(index);
        let action = &running.step.action;
        let answer = match running.helper.answer() {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw(code)),
            // Killed: before the write, or after the kernel was done with it. The tree tells, where it can.
            None if crate::plan::step_state::is_done(self.sysfs, action) == Some(true) => Ok(()),
            None => Err(Errno::ECANCELED),
        };
        Event::Ended(running.mark, interpret_result(self.sysfs, action, answer))
    }

    /// Splits: the process that goes on gets nothing, the one that returns to the operator the report.
    fn detach(&mut self, reason: Reason) -> Option<Event> {
        let oldest = self.running.iter().min_by_key(|running| running.begun)?;
        let kernel = kernel_state(oldest.helper.id());
        let mut unfinished = DetachedWrite {
            action: oldest.step.action.clone(),
            waited_seconds: oldest.begun.elapsed().as_secs_f64(),
            late: reason == Reason::Late,
            helper: oldest.helper.id(),
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
                self.pool.abandon();
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
            // The helper goes on, and holds the locks; the rest is for `pcictl recover`.
            Err(_) => {
                unfinished.scope = self.move_to_own_scope(None);
                Some(Event::Detached(Box::new(unfinished)))
            }
        }
    }

    fn move_to_own_scope(&self, background: Option<u32>) -> Option<String> {
        let helpers = self.running.iter().map(|running| running.helper.id());
        let pids: Vec<u32> = background.into_iter().chain(helpers).chain(self.pool.ids()).collect();
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

/// Starts nothing until the scope is there: a helper that began before would stay in the unit, and be killed with it. The
/// process that asks for the scope may itself be stopped or killed.
fn wait_for_move(mut moved: UnixStream) {
    if moved.set_read_timeout(Some(scope::LONGEST)).is_ok() {
        let _ = moved.read(&mut [0]);
    }
}

struct PollResult {
    signal: bool,
    helper: Option<usize>,
}

impl StepRunner for Supervisor<'_> {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        let helper = self.helper(mark, step).map_err(errno)?;
        self.running.push(Running { mark, step: step.clone(), helper, begun: Instant::now() });
        Ok(())
    }

    fn prestart(&mut self, first: usize, steps: &[Step]) {
        let sysfs = self.sysfs;
        self.pool.prestart(&self.spec, first, steps, |step| sysfs.display(&step.file));
    }

    fn next_event(&mut self) -> Event {
        let due = Instant::now() + TICK;
        loop {
            let heard = self.wait(due);
            // What has ended has ended, however late.
            if let Some(index) = heard.helper {
                return self.ended(index);
            }
            let signals = if heard.signal { self.signals.take() } else { 0 };
            let asked = signals > 0;
            if asked && !self.interrupt_reported {
                (self.interrupt_reported, self.second_interrupt) = (true, signals > 1);
                self.pool.shut_down();
                return Event::Interrupted;
            }
            let reason = match asked || self.second_interrupt {
                _ if self.background => None,
                true => Some(Reason::AskedTwice),
                false => self.left().is_some_and(|left| left.is_zero()).then_some(Reason::Late),
            };
            let Some(reason) = reason else {
                self.pool.start_one(&self.spec);
                if Instant::now() >= due {
                    return Event::Nothing;
                }
                continue;
            };
            if let Some(event) = self.detach(reason) {
                return event;
            }
        }
    }

    fn is_interrupted(&mut self) -> bool {
        let signals = self.signals.take();
        if signals > 0 && !self.background && !self.interrupt_reported {
            (self.interrupt_reported, self.second_interrupt) = (true, signals > 1);
            self.pool.shut_down();
        }
        self.interrupt_reported
    }
}

impl Drop for Supervisor<'_> {
    /// The locks are let go after this, and those that were not needed have them, too.
    fn drop(&mut self) {
        self.pool.shut_down();
    }
}

/// What the kernel is doing for a process, and whether it will ever be done.
fn kernel_state(pid: u32) -> KernelState {
    let procfs = Procfs::live().ok();
    let task = procfs.as_ref().and_then(|procfs| look_asleep(procfs, pid));
    let diagnosis = Diagnosis::of(&snapshot::take(procfs.as_ref()));
    let position = task.as_ref().map(Position::of);
    KernelState {
        state: task.as_ref().map(|task| task.state),
        wchan: task.as_ref().and_then(|task| task.wchan.clone()),
        stack: task.map(|task| task.stack.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        waits: position.map(|position| position.waits),
        stuck: diagnosis.stuck,
    }
}

/// A process as it sleeps in the kernel. A driver that waits in slices runs between two of them, and a task that runs shows
/// no stack; so it is looked at a few times.
fn look_asleep(procfs: &Procfs, pid: u32) -> Option<Task> {
    const LOOKS: usize = 5;
    const BETWEEN: Duration = Duration::from_millis(10);
    let mut task = snapshot::look(procfs, pid);
    for _ in 1..LOOKS {
        if task.as_ref().is_none_or(|task| !task.stack.is_empty()) {
            break;
        }
        std::thread::sleep(BETWEEN);
        task = snapshot::look(procfs, pid);
    }
    task
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
