//! `--watch`: a look that is made again whenever something has happened, until a signal ends it.
//!
//! The kernel tells of devices, drivers and slots (uevents), and of the files that locks and operations have (inotify). What
//! comes together is looked at once, a moment later; a look that shows the same as the last one prints nothing. Ages are left
//! out by whoever looks, for they would be old at once.
//!
//! Not promised: that something which nobody announces is seen at once. A process that opens a device is seen at the next look,
//! which is made after a while where such things are shown.

use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::signals::Signals;
use crate::host::directory_watch::{DirectoryWatch, Happened};
use crate::host::uevent::{Announcements, hears_kernel};
use crate::operation::context::Context;

/// What a look depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources {
    /// Functions, drivers, slots, disks, interfaces.
    pub(crate) devices: bool,
    /// Locks, journals and the ledger.
    pub(crate) files: bool,
    /// Processes, mounts, addresses: nobody tells of these.
    pub(crate) users: bool,
}

/// What comes together is looked at together: until nothing has come for so long, and at the latest after so long.
const QUIET: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Whoever opens a lock file takes the lock right afterwards, which nobody tells: what was heard is looked at a second time.
const AGAIN: Duration = Duration::from_millis(500);

/// When to look again at what nobody tells of.
const UNTOLD: Duration = Duration::from_secs(10);

/// Makes the look once, or again and again.
///
/// # Errors
/// The first look failed, or a later one for another reason than that what it is about is gone.
pub(crate) fn watch(
    context: &Context,
    again: bool,
    sources: Sources,
    look: &dyn Fn() -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    if !again {
        return look();
    }
    let signals = Signals::listen().map_err(|error| Error::io("cannot listen to signals", &error))?;
    let listeners = Listeners::begin(context, sources);
    let (mut last, mut is_second) = (None, false);
    loop {
        listeners.renew();
        context.output.begin_frame();
        let looked = look();
        let mut frame = context.output.end_frame();
        match looked {
            Ok(_) => {}
            // It may come back.
            Err(error) if last.is_some() && error.kind() == ErrorKind::NoSuchDevice => frame.say(&error.to_string()),
            Err(error) => return Err(error),
        }
        if !context.output.show_frame(&frame, last.as_ref()) {
            return Ok(ExitStatus::Done);
        }
        last = Some(frame);
        let soon = (!is_second && listeners.files.is_some()).then_some(AGAIN);
        // A look opens files itself: that is no reason for another one, but what else happened meanwhile is.
        is_second = listeners.take_in() != Happened::Changed;
        if is_second {
            match listeners.wait(&signals, soon) {
                Woken::End => return Ok(ExitStatus::Done),
                Woken::Time => {}
                Woken::Event => is_second = false,
            }
        }
    }
}

/// Who tells that something happened.
struct Listeners {
    devices: Option<Announcements>,
    files: Option<DirectoryWatch>,
    /// How long until a look is made anyway.
    period: Option<Duration>,
}

impl Listeners {
    fn begin(context: &Context, sources: Sources) -> Self {
        let machine = &context.machine;
        // What this machine announces says nothing of a dumped tree.
        let is_heard = sources.devices && !machine.sysfs.is_dump();
        let devices = if is_heard && hears_kernel() { Announcements::listen().ok() } else { None };
        let is_deaf = is_heard && devices.is_none();
        if is_deaf {
            let seconds = UNTOLD.as_secs();
            context.tell_once(format!("what the kernel announces is not heard here; looking every {seconds} s"));
        }
        let run = ["", "locks", "journal"].map(|name| machine.run.join(name));
        let state = ["", "ledger", "operations"].map(|name| machine.state.join(name));
        let directories = run.into_iter().chain(state).collect();
        let files = if sources.files { DirectoryWatch::listen(directories).ok() } else { None };
        let period = (is_deaf || sources.users && !machine.sysfs.is_dump()).then_some(UNTOLD);
        Self { devices, files, period }
    }

    fn renew(&self) {
        if let Some(files) = &self.files {
            files.renew();
        }
    }

    /// Takes in all that has happened.
    fn take_in(&self) -> Happened {
        let mut happened = self.files.as_ref().map_or(Happened::Nothing, DirectoryWatch::take_in);
        if let Some(devices) = &self.devices {
            let is_complete = devices.take_in(&mut |announced| {
                if announced.path.contains("pci") {
                    happened = Happened::Changed;
                }
            });
            if !is_complete {
                happened = Happened::Changed;
            }
        }
        happened
    }

    /// Waits until there is a reason to look again: something happened, or it is time to look anyway.
    fn wait(&self, signals: &Signals, soon: Option<Duration>) -> Woken {
        let end = soon.or(self.period).map(|longest| Instant::now() + longest);
        let mut heard: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let due = match heard {
                Some(first) => Some((now + QUIET).min(first + LONGEST)),
                None => end,
            };
            let left = due.map(|due| due.saturating_duration_since(now));
            let is_due = left == Some(Duration::ZERO);
            match self.poll(signals, left) {
                Woken::End => return Woken::End,
                _ if is_due && heard.is_some() => return Woken::Event,
                _ if is_due => return Woken::Time,
                Woken::Event if self.take_in() != Happened::Nothing => {
                    heard.get_or_insert_with(Instant::now);
                }
                Woken::Event | Woken::Time => {}
            }
        }
    }

    fn poll(&self, signals: &Signals, longest: Option<Duration>) -> Woken {
        let stdout = io::stdout();
        // A millisecond more, as poll counts whole ones.
        let timeout = longest
            .map(|longest| PollTimeout::try_from(longest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX));
        let mut waited =
            vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(stdout.as_fd(), PollFlags::empty())];
        waited.extend(self.devices.iter().map(|devices| PollFd::new(devices.as_fd(), PollFlags::POLLIN)));
        waited.extend(self.files.iter().map(|files| PollFd::new(files.as_fd(), PollFlags::POLLIN)));
        let ready = poll(&mut waited, timeout.unwrap_or(PollTimeout::NONE));
        let is_ready = |index: usize| waited[index].revents().is_some_and(|events| !events.is_empty());
        match ready {
            // A signal, or the reader of the output has gone.
            Ok(_) if is_ready(0) || is_ready(1) => Woken::End,
            Ok(0) => Woken::Time,
            Ok(_) | Err(_) => Woken::Event,
        }
    }
}

/// Why a wait ended.
enum Woken {
    End,
    Time,
    Event,
}
