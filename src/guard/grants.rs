//! Those who were let go on: what is held for each, and when he is done.
//!
//! A close is told by inotify, also that of a file that is gone by then, but not whose it was; so it only says when to look. He
//! is done when he has the file open no more and is not about to. Between the answer and the end of open(2) he has no
//! descriptor yet, and his own system call tells; one who was killed there never closes, and his process tells.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::error::{Error, Result};
use crate::guard::inside::{anybody_has, has_open, is_inside, is_opening};
use crate::guard::link::Granted;
use crate::guard::opener::{is_in_call, opening_call};
use crate::host::procfs::Procfs;
use crate::host::procfs::texts::TaskStat;
use crate::lock::acquire::Held;

/// How soon one who may not have got the file is looked at, and then at longer and longer intervals.
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// How often at least, where nothing else tells.
const EVERY: Duration = Duration::from_millis(100);

/// How often all processes are looked at, for one who has ended and left the open file to others.
const HEIRS: Duration = Duration::from_millis(500);

/// So long one has whose system call does not tell that he opens a file. Nobody runs that long inside open(2).
const UNTOLD: Duration = Duration::from_secs(1);

/// What is held for somebody.
#[derive(Debug)]
pub(crate) enum Locks {
    /// Taken by the guard.
    Own(Held),
    /// Taken by somebody else for it.
    Given(Vec<OwnedFd>),
}

impl Locks {
    /// The descriptors that carry them.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Own(held) => held.descriptors().collect(),
            Self::Given(descriptors) => descriptors.iter().map(AsFd::as_fd).collect(),
        }
    }
}

/// Somebody who was let go on.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Who, and what.
    pub(crate) granted: Granted,
    /// What is held for him.
    pub(crate) locks: Rc<Locks>,
    /// How long he waited.
    pub(crate) waited: Duration,
    /// Since when.
    pub(crate) begun: Instant,
    process: Option<OwnedFd>,
    watch: Option<i32>,
    opened: bool,
    closed: bool,
    dead: bool,
    /// The call in which he waited, if it opens a file.
    call: Option<String>,
    /// What his thread was like when he was found to take long.
    slow: Option<TaskStat>,
    interval: Duration,
    next: Instant,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Grants {
    all: Vec<Grant>,
    closes: OwnedFd,
    last: u64,
}

impl Grants {
    /// None yet.
    ///
    /// # Errors
    /// Closes cannot be heard.
    pub(crate) fn new() -> Result<Self> {
        let closes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| Error::io("closes of files cannot be heard", &errno.into()))?;
        Ok(Self { all: Vec::new(), closes, last: 0 })
    }

    /// The number of the next one.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.all.iter()
    }

    /// Where closes are heard.
    pub(crate) fn closes(&self) -> BorrowedFd<'_> {
        self.closes.as_fd()
    }

    /// Adds one. `path` leads to his file; without it, or without a watch, looks must do. To be called before he is answered.
    pub(crate) fn add(
        &mut self,
        procfs: &Procfs,
        granted: Granted,
        locks: Rc<Locks>,
        waited: Duration,
        path: Option<&str>,
    ) {
        let flags = WatchFlags::OPEN | WatchFlags::CLOSE_WRITE;
        let watch = path.and_then(|path| inotify::add_watch(&self.closes, path, flags).ok());
        let process = granted.opener.watch_process();
        let (begun, dead) = (Instant::now(), process.is_none());
        // Whoever was inside before has opened it before the watch.
        let opened = granted.number.is_none();
        let call = opening_call(procfs, granted.opener.tid);
        self.last = self.last.max(granted.id);
        self.all.push(Grant {
            granted,
            locks,
            waited,
            begun,
            process,
            watch,
            opened,
            closed: false,
            dead,
            call,
            slow: None,
            interval: FIRST_LOOK,
            next: begun + FIRST_LOOK,
        });
    }

    /// Takes away one who did not want it any more.
    pub(crate) fn withdraw(&mut self, id: u64) -> Option<Grant> {
        let at = self.all.iter().position(|grant| grant.granted.id == id)?;
        let grant = self.all.swap_remove(at);
        self.unwatch(&grant);
        Some(grant)
    }

    /// The processes whose end is to be heard, with the number of the grant.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let alive = self.all.iter().filter(|grant| !grant.dead);
        alive.filter_map(|grant| Some((grant.granted.id, grant.process.as_ref()?.as_fd())))
    }

    /// His process has ended.
    pub(crate) fn note_end(&mut self, id: u64) {
        for grant in self.all.iter_mut().filter(|grant| grant.granted.id == id) {
            (grant.dead, grant.next) = (true, Instant::now());
        }
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.all.iter().map(|grant| grant.next).min()
    }

    /// Takes away those who are done. `waits` says whether a thread waits to open another file.
    pub(crate) fn take_done(&mut self, procfs: &Procfs, waits: &dyn Fn(u32) -> bool) -> Vec<Grant> {
        self.hear_closes();
        let now = Instant::now();
        let mut done = Vec::new();
        for at in (0..self.all.len()).rev() {
            if self.all[at].next <= now && self.is_done(procfs, at, waits) {
                let grant = self.all.swap_remove(at);
                self.unwatch(&grant);
                done.push(grant);
            }
        }
        done
    }

    fn is_done(&mut self, procfs: &Procfs, at: usize, waits: &dyn Fn(u32) -> bool) -> bool {
        let grant = &self.all[at];
        let (opener, file) = (grant.granted.opener.clone(), grant.granted.file.clone());
        let waits = waits(opener.tid);
        if grant.watch.is_none() {
            let is_done = !is_inside(procfs, &opener, &file, waits);
            self.all[at].next = Instant::now() + EVERY;
            return is_done;
        }
        let opening = !waits && self.is_opening_still(procfs, at);
        let has_it = has_open(procfs, opener.pid, &file);
        self.all[at].opened |= has_it;
        // What was closed before that look is heard now.
        self.hear_closes();
        let grant = &mut self.all[at];
        let pause = match (grant.opened, grant.closed) {
            _ if opening || has_it => grant.interval,
            (true, true) => return true,
            // Between the two that open(2) does last, telling of it and giving out the descriptor.
            (true, false) if !grant.dead && !waits && is_opening(procfs, opener.tid) => EVERY,
            // Others may have got it from him; where none has, the close was not heard.
            (true, false) if !anybody_has(procfs, &file) => return true,
            (true, false) => HEIRS,
            (false, _) if grant.dead || grant.call.is_some() || grant.begun.elapsed() > UNTOLD => return true,
            (false, _) => grant.interval,
        };
        grant.interval = (grant.interval * 2).min(EVERY);
        grant.next = Instant::now() + pause;
        false
    }

    /// Whether he may be between the answer and the end of open(2).
    fn is_opening_still(&mut self, procfs: &Procfs, at: usize) -> bool {
        let grant = &mut self.all[at];
        let tid = grant.granted.opener.tid;
        let is_slow = grant.begun.elapsed() >= UNTOLD;
        let is_in_it = match &grant.call {
            // The same call with the same arguments, and not one that opens something else. A close that was heard is his, as nobody
            // else is let in; but for files that are for all functions.
            Some(call) => {
                let is_in_doubt = !(grant.opened && grant.closed) || grant.granted.file.address().is_none();
                is_in_call(procfs, tid, call, is_in_doubt)
            }
            None => is_slow && !grant.opened && is_opening(procfs, tid),
        };
        is_in_it && (!is_slow || is_kept_from_running(procfs, tid, &mut grant.slow))
    }

    fn hear_closes(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.closes, &mut buffer);
        while let Ok(event) = reader.next() {
            let (watch, events) = (event.wd(), event.events());
            let lost = events.contains(ReadFlags::QUEUE_OVERFLOW);
            for grant in self.all.iter_mut().filter(|grant| lost || grant.watch == Some(watch)) {
                if lost {
                    grant.watch = None;
                }
                grant.opened |= events.contains(ReadFlags::OPEN);
                grant.closed |= grant.opened && events.contains(ReadFlags::CLOSE_WRITE);
                if lost || grant.closed {
                    grant.next = Instant::now();
                }
            }
        }
    }

    fn unwatch(&self, gone: &Grant) {
        let Some(watch) = gone.watch else { return };
        if self.all.iter().all(|grant| grant.watch != Some(watch)) {
            // With its file the watch has gone, too.
            let _ = inotify::remove_watch(&self.closes, watch);
        }
    }
}

/// Whether a thread has not had the processor for long enough since it was `first` found to take long. On a busy machine, or in a
/// control group that has used up its share, that may be minutes. One that sleeps is not kept from anything: in open(2) of a file
/// of sysfs there is nothing but mutexes to wait for, in which a thread does not hear signals.
fn is_kept_from_running(procfs: &Procfs, tid: u32, first: &mut Option<TaskStat>) -> bool {
    let Some(now) = procfs.stat(&format!("{tid}/task/{tid}")) else { return false };
    let first = first.get_or_insert(now);
    now.state != 'S' && now.used_since(first) < UNTOLD
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::guard::kinds::{Kind, MarkedFile};
    use crate::guard::opener::Opener;

    #[test]
    fn who_goes_on_without_the_file_is_done_although_no_close_was_heard() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("remove"), directory.path().join("other"));
        std::fs::write(&other, "").unwrap();
        let script = format!("exec 9>{}; echo open; read line; exec 9>&-; echo closed; read line", file.display());
        let mut shell =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "open");
        let procfs = Procfs::live().unwrap();
        let path = file.display().to_string().trim_start_matches('/').to_owned();
        let granted = Granted {
            id: 1,
            number: Some(7),
            opener: Opener::of(&procfs, shell.id()),
            file: MarkedFile { kind: Kind::Remove, path },
            tops: Vec::new(),
        };
        let mut grants = Grants::new().unwrap();
        // What is watched is another file: nothing is ever heard of this one.
        grants.add(&procfs, granted, Rc::new(Locks::Given(Vec::new())), Duration::ZERO, other.to_str());
        while !grants.all[0].opened {
            assert!(grants.take_done(&procfs, &|_| false).is_empty());
        }
        shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "closed");
        while grants.take_done(&procfs, &|_| false).is_empty() {}
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn who_does_not_get_the_processor_may_be_inside_for_however_long_and_who_sleeps_is_not() {
        let procfs = Procfs::live().unwrap();
        let shell = |script: &str| Command::new("sh").args(["-c", script]).spawn().unwrap();
        let (mut busy, mut asleep) = (shell("while :; do :; done"), shell("exec sleep 600"));
        // A shell that begins may sleep for a moment.
        let mut first = None;
        while !is_kept_from_running(&procfs, busy.id(), &mut first) {
            first = None;
        }
        while is_kept_from_running(&procfs, busy.id(), &mut first) {}
        let used = procfs.stat(&busy.id().to_string()).unwrap().used_since(&first.unwrap());
        assert!(used >= UNTOLD, "{used:?}");
        let mut first = None;
        while is_kept_from_running(&procfs, asleep.id(), &mut first) {}
        for process in [&mut busy, &mut asleep] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        assert!(!is_kept_from_running(&procfs, busy.id(), &mut None), "it has ended");
    }
}
