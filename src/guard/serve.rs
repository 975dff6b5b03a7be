//! The guard's loop: it never waits for anybody, so that whoever opens a file of the table is heard at once.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::signals::Signals;
use crate::guard::grants::Grants;
use crate::guard::keeping::{Keeping, SIGN_OF_LIFE, already_there};
use crate::guard::link::Message;
use crate::guard::looks::Looks;
use crate::guard::marks::Marks;
use crate::guard::notify::Unit;
use crate::guard::options::GuardOptions;
use crate::guard::record::Log;
use crate::guard::state::{Counts, Guard};
use crate::guard::status::Inquiries;
use crate::host::procfs::Procfs;
use crate::host::uevent::Announcements;
use crate::lock::acquire::try_lock_file;
use crate::operation::acquire::open_lock_directory;
use crate::operation::context::Context;

/// Enough for all who may wait.
const DESCRIPTORS: u64 = 16 << 10;

/// What the guard itself has open, and a moment's needs: those of a process that is started, of a look into /proc.
const OWN_DESCRIPTORS: u64 = 64;

/// With fewer than this nobody can be served.
const LEAST_DESCRIPTORS: u64 = 128;

/// Guards until a signal ends it.
///
/// # Errors
/// Another guard is there, this machine cannot be guarded, or not by this user.
pub(crate) fn serve(context: &Context, options: &GuardOptions) -> Result<ExitStatus> {
    let directory = open_lock_directory(context)?;
    let run = &context.machine.run;
    let _only = only_one(run)?;
    let descriptors = descriptors()?;
    let mut signals = Signals::listen().map_err(|error| Error::io("signals cannot be heard", &error))?;
    let (keeping, mut legacy) = Keeping::begin(run)?;
    let is_new = legacy.group.is_none();
    let marks = legacy.group.take().map_or_else(Marks::new, |group| Ok(Marks::inherited(group)))?;
    let procfs = Procfs::live().map_err(|error| Error::io("/proc, which tells who opens what", &error))?;
    let announcements = (!context.machine.sysfs.is_dump()).then(Announcements::listen).transpose();
    let announcements = announcements.map_err(|error| Error::io("new devices cannot be heard of", &error))?;
    let (log, unit) = (Log::in_directory(run), Unit::of_environment());
    let (grants, pending, counts) = (Grants::new()?, VecDeque::new(), Counts::default());
    let (inquiries, begun) = (Inquiries::listen(run)?, Instant::now());
    let mut guard = Guard {
        context,
        options,
        procfs,
        directory,
        marks,
        keeping,
        grants,
        pending,
        announcements,
        log,
        unit,
        inquiries,
        counts,
        begun,
        descriptors,
        views: Vec::new(),
        looked_for_views: begun,
        looks: Looks::default(),
        taken_numbers: BTreeMap::new(),
    };
    guard.begin(is_new, legacy)?;
    while signals.take() == 0 {
        guard.step(&signals);
    }
    guard.end();
    Ok(ExitStatus::Done)
}

/// A lock that ends with this process, so that there is no second guard.
fn only_one(run: &Path) -> Result<File> {
    let path = run.join("guard.lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let failed = |error: io::Error| Error::io(path.display(), &error);
    let file = options.open(&path).map_err(failed)?;
    if try_lock_file(&file).map_err(failed)? { Ok(file) } else { Err(already_there()) }
}

/// How many descriptors there are for those who come, after the limit was raised. With fewer of them fewer can wait at a time.
fn descriptors() -> Result<usize> {
    let failed = |errno: nix::errno::Errno| Error::io("the limit of open files", &errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let limit = soft.max(DESCRIPTORS.min(hard));
    if limit < LEAST_DESCRIPTORS {
        let message = format!("{limit} open files are too few for a guard, which may not run out of them");
        let hint = format!("raise the limit to {LEAST_DESCRIPTORS} at least (ulimit -n, LimitNOFILE=)");
        return Err(Error::new(ErrorKind::Failed, message).hint(hint));
    }
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).map_err(failed)?;
    Ok(usize::try_from(limit - OWN_DESCRIPTORS).unwrap_or(usize::MAX))
}

impl Guard<'_> {
    fn step(&mut self, signals: &Signals) {
        let ended = self.wait(signals);
        self.mark_announced();
        for id in ended.granted {
            self.grants.note_end(id);
        }
        // Who comes again has left, so this is asked before.
        let newcomers = self.newcomers();
        let pending = &self.pending;
        let waits = |tid: u32| {
            let waits_already = pending.iter().any(|pending| pending.waiting.opener.tid == tid);
            waits_already || newcomers.iter().any(|newcomer| newcomer.opener.tid == tid)
        };
        for grant in self.grants.take_done(&self.procfs, &waits) {
            self.release(grant);
        }
        self.adopt_when_due();
        self.look_at_line(&ended.pending);
        newcomers.into_iter().for_each(|newcomer| self.admit(newcomer));
        if ended.keeper || !self.keeping.is_alive() {
            self.keep_again();
        }
        self.unit.is_alive(SIGN_OF_LIFE);
        self.look_for_views();
        self.inquiries.answer(&|| self.report());
    }

    /// Waits until something happens; gives whose processes have ended.
    fn wait(&self, signals: &Signals) -> Ended {
        let mut watched: Vec<BorrowedFd> = vec![signals.as_fd(), self.grants.closes(), self.inquiries.as_fd()];
        watched.extend((self.room() > 0).then(|| self.marks.as_fd()));
        watched.extend(self.announcements.iter().map(|announcements| announcements.as_fd()));
        watched.extend(self.pending.iter().filter_map(|pending| Some(pending.waiter.as_ref()?.as_fd())));
        let keeper = watched.len();
        watched.push(self.keeping.as_fd());
        let openers: Vec<(i32, BorrowedFd)> = self
            .pending
            .iter()
            .filter_map(|pending| Some((pending.waiting.number, pending.process.as_ref()?.as_fd())))
            .collect();
        let writers: Vec<(u64, BorrowedFd)> = self.grants.processes().collect();
        watched.extend(openers.iter().map(|(_, process)| *process));
        watched.extend(writers.iter().map(|(_, process)| *process));
        let mut polled: Vec<PollFd> = watched.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let next = self.grants.next_look().into_iter().chain(self.looks.next()).min();
        let next = next.map(|next| next.saturating_duration_since(Instant::now()));
        let timeout = next.unwrap_or(SIGN_OF_LIFE).min(SIGN_OF_LIFE) + Duration::from_micros(500);
        // A signal, or an error of poll, ends the wait like an event does.
        let _ = poll(&mut polled, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        let is_ready = |at: usize| polled[at].revents().is_some_and(|events| !events.is_empty());
        let first = keeper + 1;
        let ended = |at: usize| is_ready(first + at);
        Ended {
            keeper: is_ready(keeper),
            pending: (0..openers.len()).filter(|at| ended(*at)).map(|at| openers[at].0).collect(),
            granted: (0..writers.len()).filter(|at| ended(openers.len() + at)).map(|at| writers[at].0).collect(),
        }
    }

    /// Lets all go on who wait. What is held for those inside is the keeper's from now on.
    fn end(&mut self) {
        self.unit.tell("STOPPING=1");
        let _ = self.keeping.tell(&Message::Bye, &[]);
        self.say("the guard ends: whoever waits goes on");
    }
}

/// Whose processes have ended.
struct Ended {
    keeper: bool,
    /// The numbers of those who waited.
    pending: Vec<i32>,
    /// The ids of those who were let go on.
    granted: Vec<u64>,
}
