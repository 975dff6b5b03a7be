//! The keeper: a process beside the guard that holds what must not end with it.
//!
//! It has a copy of the group, so that those who wait in open(2) wait for the next guard when this one is killed, and copies of
//! the locks of those who were let go on. What is new it marks, so that its openers wait for that guard as well. It ends a guard
//! that has not been heard of for [`SILENCE`]; where no other one comes within [`ORPHANED`], it lets all go on as if there had
//! never been a guard, and keeps only the locks of those who are inside, until they are done. It knows nothing else of devices,
//! and its end, too, leaves the machine as without a guard: the guard has copies of all of this, and starts another one.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::getppid;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with};
use rustix::process::pidfd_send_signal;

use crate::execute::rerun;
use crate::guard::inside::is_inside;
use crate::guard::link::{self, Granted, Message, Waiting};
use crate::guard::marker::Marker;
use crate::host::pidfd;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;

/// The word that turns pcictl into a keeper.
pub(crate) const SUBCOMMAND: &str = "guard-keeper";

/// A guard that says nothing for so long is ended.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// So long those who wait in open(2) wait for another guard.
pub(crate) const ORPHANED: Duration = Duration::from_secs(10);

/// Where a keeper is found, below the run directory.
pub(crate) const SOCKET: &str = "guard.keeper";

/// Becomes a keeper, if this process was started by a guard to be one; else it is no command at all.
pub(crate) fn run_if_started(run: &Path) -> Option<ExitCode> {
    let line = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let guard = Guard::of(line).filter(|guard| guard.pid == getppid().as_raw().unsigned_abs())?;
    // A wish to stop is for the guard.
    rerun::detach();
    rerun::be_called("pcictl-keeper");
    let (Ok(procfs), Ok(listener)) = (Procfs::live(), listen_at(&run.join(SOCKET))) else {
        return Some(ExitCode::FAILURE);
    };
    let mut keeper = Keeper::new(procfs, listener, guard);
    while keeper.is_needed() {
        keeper.step();
    }
    Some(ExitCode::SUCCESS)
}

/// The guard that is kept for.
struct Guard {
    line: OwnedFd,
    pid: u32,
    /// To end it, and nobody who has got its number since.
    process: OwnedFd,
    heard: Instant,
}

impl Guard {
    /// The one at the other end of a line; none if it is not of this user.
    fn of(line: OwnedFd) -> Option<Self> {
        let pid = rerun::peer(&line)?;
        let process = pidfd::of(pid)?;
        Some(Self { line, pid, process, heard: Instant::now() })
    }
}

struct Keeper {
    procfs: Procfs,
    listener: OwnedFd,
    guard: Option<Guard>,
    group: Option<OwnedFd>,
    marker: Option<Marker>,
    /// Those of whom nothing is known but that they have come.
    taken: Vec<Waiting>,
    waiting: BTreeMap<i32, Waiting>,
    granted: BTreeMap<u64, (Granted, Vec<OwnedFd>)>,
    /// Since when there has been no guard.
    orphaned: Instant,
    looked: Instant,
}

impl Keeper {
    fn new(procfs: Procfs, listener: OwnedFd, guard: Guard) -> Self {
        let (taken, waiting, granted) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (orphaned, looked) = (Instant::now(), Instant::now());
        Self {
            procfs,
            listener,
            guard: Some(guard),
            group: None,
            marker: None,
            taken,
            waiting,
            granted,
            orphaned,
            looked,
        }
    }

    fn is_needed(&self) -> bool {
        self.guard.is_some() || self.group.is_some() || !self.granted.is_empty()
    }

    fn step(&mut self) {
        self.wait();
        self.hear();
        if let Some(guard) = self.guard.as_ref().filter(|guard| guard.heard.elapsed() > SILENCE) {
            // It may be stopped. Once it is ended, its end of the line is closed.
            let _ = pidfd_send_signal(&guard.process, rustix::process::Signal::KILL);
        }
        self.welcome();
        if self.guard.is_none() {
            self.go_on_alone();
        }
    }

    fn wait(&self) {
        let mut watched = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        watched.extend(self.guard.iter().map(|guard| PollFd::new(guard.line.as_fd(), PollFlags::POLLIN)));
        let timeout: u16 = if self.guard.is_some() { 1000 } else { 100 };
        // A signal, or an error of poll, ends the wait like a message does.
        let _ = poll(&mut watched, PollTimeout::from(timeout));
    }

    /// Heeds all that the guard has said by now, its end included.
    fn hear(&mut self) {
        while let Some(guard) = &self.guard {
            match link::receive(&guard.line, false) {
                Ok(Some((message, descriptors))) => self.heed(message, descriptors),
                Ok(None) => self.guard_is_gone(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.guard_is_gone(),
            }
        }
    }

    fn heed(&mut self, message: Message, mut descriptors: Vec<OwnedFd>) {
        if let Some(guard) = &mut self.guard {
            guard.heard = Instant::now();
        }
        match message {
            Message::Group => {
                self.group = descriptors.pop();
                // Without it the guard is the only one who marks what is new.
                self.marker = self.group.as_ref().and_then(|group| Marker::start(group.as_fd()).ok());
            }
            Message::Sysfs(name) => self.mark_in(name, descriptors.pop()),
            Message::NoSysfs(name) => self.marker.iter().for_each(|marker| marker.remove(&name)),
            Message::Taken(taken) => self.taken = taken,
            Message::Waiting(waiting) => {
                self.taken.retain(|taken| taken.number != waiting.number);
                self.waiting.insert(waiting.number, waiting);
            }
            Message::Answered(number) => {
                self.waiting.remove(&number);
            }
            Message::Granted(granted) => {
                self.taken.retain(|taken| Some(taken.number) != granted.number);
                self.granted.insert(granted.id, (granted, descriptors));
            }
            Message::Locks(id) => {
                self.granted.get_mut(&id).into_iter().for_each(|(_, kept)| kept.append(&mut descriptors))
            }
            Message::Released(id) => {
                self.granted.remove(&id);
            }
            Message::Bye => self.let_all_go(),
            _ => {}
        }
    }

    fn guard_is_gone(&mut self) {
        self.guard = None;
        self.orphaned = Instant::now();
    }

    fn mark_in(&self, name: Option<String>, mount: Option<OwnedFd>) {
        let sysfs = mount.and_then(|mount| Sysfs::mounted(mount).ok());
        if let (Some(marker), Some(sysfs)) = (&self.marker, sysfs) {
            marker.add(name.unwrap_or_default(), sysfs);
        }
    }

    /// The group ends with its last descriptor, and whoever waits is let go on by the kernel.
    fn let_all_go(&mut self) {
        self.marker = None;
        self.group = None;
        self.taken.clear();
        self.waiting.clear();
    }

    fn go_on_alone(&mut self) {
        /// A look takes all processes.
        const BETWEEN: Duration = Duration::from_millis(100);
        if self.orphaned.elapsed() > ORPHANED {
            self.let_all_go();
        }
        if self.looked.elapsed() < BETWEEN {
            return;
        }
        let Self { procfs, waiting, granted, .. } = self;
        granted.retain(|_, (granted, _)| {
            let waits = waiting.values().any(|waiting| waiting.opener.tid == granted.opener.tid);
            is_inside(procfs, &granted.opener, &granted.file, waits)
        });
        self.looked = Instant::now();
    }

    /// Lets another guard take over, if there is none.
    fn welcome(&mut self) {
        while let Ok(line) = accept_with(&self.listener, SocketFlags::CLOEXEC) {
            let Some(next) = Guard::of(line) else { continue };
            // The one before may have ended since it was last heard.
            self.hear();
            if let Some(guard) = &self.guard {
                let _ = link::send(&next.line, &Message::Busy(guard.pid), &[]);
            } else if self.hand_over(&next.line).is_ok() {
                self.guard = Some(next);
            }
        }
    }

    fn hand_over(&self, line: &OwnedFd) -> io::Result<()> {
        if let Some(group) = &self.group {
            link::send(line, &Message::Group, &[group.as_fd()])?;
        }
        link::send(line, &Message::Taken(self.taken.clone()), &[])?;
        for waiting in self.waiting.values() {
            link::send(line, &Message::Waiting(waiting.clone()), &[])?;
        }
        for (granted, locks) in self.granted.values() {
            let locks: Vec<BorrowedFd> = locks.iter().map(AsFd::as_fd).collect();
            link::send(line, &Message::Granted(granted.clone()), &locks)?;
        }
        link::send(line, &Message::Complete, &[])
    }
}

fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    // The guard that started this one is the only one, and has found nobody there.
    let _ = std::fs::remove_file(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listen(&listener, 8)?;
    Ok(listener)
}
