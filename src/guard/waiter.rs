//! Those who stand in line for somebody who waits in open(2): a process for each, because a lock is waited for in the kernel.
//!
//! It takes the locks as every command does, hands them to the guard, and ends. When the guard ends, or does not want them any
//! more, it is killed, and so leaves the line.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::execute::rerun;
use crate::guard::checks::{check_awake, check_scan, check_users, copies, stop_drivers};
use crate::guard::link::{self, Message, Wanted};
use crate::guard::needs::needs_of;
use crate::host::machine::Machine;
use crate::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use crate::lock::claims::Claims;
use crate::lock::files::LockDirectory;
use crate::lock::host_view::HostView;
use crate::operation::context::Context;
use crate::terminal::output::{Output, Talk};

/// The word that turns pcictl into one of them.
pub(crate) const SUBCOMMAND: &str = "guard-wait";

/// Somebody in line, from the guard's side.
#[derive(Debug)]
pub(crate) struct Waiter {
    child: Child,
    line: OwnedFd,
    locks: Vec<OwnedFd>,
    /// It stops drivers, and gives them back if nobody wants it any more.
    stops: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The locks.
    Locked(Vec<OwnedFd>),
    /// They could not be had, and why.
    Refused(String),
}

impl Waiter {
    /// Starts one; `title` is what others see who it waits for.
    ///
    /// # Errors
    /// No process can be started.
    pub(crate) fn start(title: &str, wanted: Wanted) -> io::Result<Self> {
        let (line, theirs) = link::pair()?;
        let mut command = rerun::command(Path::new(rerun::PROGRAM));
        let child = command
            .args([SUBCOMMAND, title])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let waiter = Self { child, line, locks: Vec::new(), stops: false };
        link::send(&waiter.line, &Message::Wanted(wanted), &[])?;
        Ok(waiter)
    }

    /// What came of it; none as long as it waits.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        loop {
            match link::receive(&self.line, false) {
                Ok(Some((Message::Locks(_), mut descriptors))) => self.locks.append(&mut descriptors),
                Ok(Some((Message::Complete, _))) => return Some(Outcome::Locked(std::mem::take(&mut self.locks))),
                Ok(Some((Message::Refused(why), _))) => return Some(Outcome::Refused(why)),
                Ok(Some((Message::Stops, _))) => self.stops = true,
                Ok(Some(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Ok(None) | Err(_) => return Some(Outcome::Refused("it was killed while it waited".to_owned())),
            }
        }
    }
}

impl AsFd for Waiter {
    /// Readable when there is an outcome.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.stops {
            // flock(2) waits where a signal ends it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Becomes one of those in line, if this process was started by a guard to be one; else it is no command at all.
pub(crate) fn run_if_started() -> Option<ExitCode> {
    let line = std::io::stdin();
    rerun::is_of_parent(&line).then_some(())?;
    rerun::be_called("pcictl-in-line");
    let _ = set_pdeathsig(Signal::SIGKILL);
    let Ok(Some((Message::Wanted(wanted), _))) = link::receive(line.as_fd(), true) else {
        return Some(ExitCode::FAILURE);
    };
    let said = match acquire(&wanted).and_then(|held| prepare(&wanted, held, line.as_fd())) {
        Ok(locks) => {
            let locks: Vec<BorrowedFd> = locks.iter().map(AsFd::as_fd).collect();
            let sent = link::send(line.as_fd(), &Message::Locks(0), &locks);
            sent.and_then(|()| link::send(line.as_fd(), &Message::Complete, &[]))
        }
        Err(error) => link::send(line.as_fd(), &Message::Refused(error.to_string()), &[]),
    };
    Some(said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn acquire(wanted: &Wanted) -> Result<Held> {
    let run = Path::new(&wanted.run);
    let directory =
        if wanted.is_of_host { LockDirectory::open_on_host(run, HostView::live())? } else { LockDirectory::open(run)? };
    let deadline = Instant::now() + Duration::from_millis(wanted.milliseconds);
    directory.acquire(&Claims::changing(wanted.tops.clone()), WaitLimit::Until(deadline), &mut Silent)
}

/// Does what is asked for besides; gives what carries the locks.
fn prepare(wanted: &Wanted, held: Held, line: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let locks = copies(&held).map_err(|error| Error::io("the locks cannot be handed over", &error))?;
    let Wanted { file, conditions, .. } = wanted;
    // The drivers and users of a dumped tree are not this machine's.
    if !wanted.is_of_host || !wanted.stops && !conditions.concern(file.kind) {
        return Ok(locks);
    }
    let output = Output::new(Talk { quiet: true, ..Talk::PLAIN });
    let context = Context::new(Machine::open(None)?, &output, None);
    let needs = needs_of(&context.machine.sysfs, file, conditions.stop_first)?;
    if needs.is_none_or(|needs| needs.claims.tops() != wanted.tops || needs.stops != wanted.stops) {
        // The guard sees it, too, and has somebody stand in line for what it is now.
        return Ok(locks);
    }
    check_users(&context, file, &conditions.refuse)?;
    check_scan(&context, file)?;
    check_awake(&context, file)?;
    if wanted.stops {
        link::send(line, &Message::Stops, &[]).map_err(|error| Error::io("the guard", &error))?;
        stop_drivers(&context, file, held, line)?;
    }
    Ok(locks)
}

/// Tells nobody: the guard does.
struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _wait: &Waiting<'_>) {}

    fn waits_for_ancestors(&self) -> bool {
        true
    }
}
