//! Taking locks: one claim after the other, each through its gate, with one deadline for all of them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::claims::{Claim, Claims, Mode};
use crate::lock::files::{LockDirectory, LockFile, LockFileState};
use crate::lock::flock;
use crate::lock::holders::{self, Holder, Role, conflicting, describe_holders};
use crate::lock::offset_tag::OffsetTag;
use crate::pci::place::Place;

/// How long `--no-wait` bears with a gate that is shut although nobody behind it waits for the lock.
const GATE_GRACE: Duration = Duration::from_secs(2);

/// How often whoever watches a wait is told of it.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait for the whole set of locks.
#[derive(Clone, Copy, Debug)]
pub enum WaitLimit {
    /// Not at all.
    NoWait,
    /// Until this moment, however many locks there are.
    Until(Instant),
}

/// Locks that are held; dropping it releases them, and so does the end of the process and of all that inherited them.
#[derive(Debug)]
pub struct Held {
    claims: Claims,
    /// Taken ancestors first; let go the other way round.
    files: Vec<File>,
}

/// Told while a lock is waited for.
pub trait WatchWait {
    /// Called when a wait has lasted for a moment, and then about twice a second.
    fn waiting(&mut self, wait: &Waiting<'_>);
    /// Called when a wait that was reported has ended; not well if there is an error to follow.
    fn done_waiting(&mut self, _claim: &Claim, _waited: Duration, _well: bool) {}
}

/// A wait as it is now.
pub struct Waiting<'a> {
    /// What is waited for.
    pub(crate) claim: &'a Claim,
    /// For how long already.
    pub(crate) waited: Duration,
    /// For how long still.
    pub(crate) left: Duration,
    directory: &'a LockDirectory,
}

impl Waiting<'_> {
    /// Whom for: those who keep this claim out, or stand in line before it.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        conflicting_holders(self.directory, self.claim)
    }
}

impl Held {
    /// What is held.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The descriptors that carry the locks: whoever has a copy of one of them open keeps its lock.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(AsFd::as_fd)
    }

    /// Lets a program that is about to be started keep the locks until it ends, and all that it starts in turn.
    ///
    /// The locks must still be held when it is spawned.
    pub(crate) fn pass_on(&self, command: &mut Command) {
        let descriptors: Vec<RawFd> = self.files.iter().map(AsRawFd::as_raw_fd).collect();
        let keep = move || {
            for &descriptor in &descriptors {
                // SAFETY: only a flag of the child's own copy is changed; a number that is not open gives an error.
                let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
                fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec nothing but fcntl(2) is called, and no memory is allocated.
        unsafe { command.pre_exec(keep) };
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closed, not unlocked: whoever inherited a descriptor is to keep the lock.
        while let Some(file) = self.files.pop() {
            drop(file);
        }
    }
}

impl LockDirectory {
    /// Takes all claims in their order, or none of them.
    ///
    /// # Errors
    /// Somebody else holds one for too long, or the lock files cannot be trusted.
    pub fn acquire(&self, claims: &Claims, limit: WaitLimit, watch: &mut dyn WatchWait) -> Result<Held> {
        raise_fd_limit(claims.in_order().len());
        let mut held = Held { claims: claims.clone(), files: Vec::with_capacity(claims.in_order().len()) };
        let mut is_new = Vec::with_capacity(claims.in_order().len());
        for claim in claims.in_order() {
            let intention = claims.tops().binary_search(&claim.place).is_err();
            let (file, state) = self.take(claim, intention, limit, watch)?;
            held.files.push(file);
            is_new.push(state == LockFileState::Unvalidated);
        }
        let all = claims.in_order().iter().zip(&held.files).zip(is_new);
        let new: Vec<(&Place, &File)> =
            all.filter(|(_, is_new)| *is_new).map(|((claim, file), _)| (&claim.place, file)).collect();
        self.validate(&new)?;
        Ok(held)
    }

    /// Takes one lock, through its gate.
    fn take(
        &self,
        claim: &Claim,
        intention: bool,
        limit: WaitLimit,
        watch: &mut dyn WatchWait,
    ) -> Result<(File, LockFileState)> {
        let begun = Instant::now();
        let mut wait = Wait { directory: self, claim, intention, limit, watch, begun, told: false };
        let taken = wait.through_gate();
        wait.finish(taken.is_ok());
        taken
    }

    /// Who holds or waits for a node now, as the kernel tells it.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn holders(&self, place: &Place) -> Result<Vec<Holder>> {
        self.holders_of(std::slice::from_ref(place))
    }

    fn holders_of(&self, places: &[Place]) -> Result<Vec<Holder>> {
        holders::of_nodes(self.procfs(), places, &|place| self.file_ids(place))
    }

    /// Who keeps others from changing a node: those at the node itself, and those who have an ancestor to themselves.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(crate) fn holders_covering(&self, place: &Place) -> Result<Vec<Holder>> {
        let mut places = place.ancestors();
        places.push(place.clone());
        let mut holders = self.holders_of(&places)?;
        holders.retain(|holder| holder.place == *place || holder.mode == Mode::Exclusive);
        Ok(holders)
    }

    /// Who holds or waits for any node, in lock order.
    ///
    /// # Errors
    /// /proc or the lock directory cannot be read.
    pub fn all_holders(&self) -> Result<Vec<Holder>> {
        self.holders_of(&self.places()?)
    }
}

/// Raises the limit of open files where the claims need it: reading everything on a big machine takes a file a function.
fn raise_fd_limit(claims: usize) {
    /// For all that is open besides.
    const OTHERS: u64 = 64;
    let wanted = u64::try_from(claims).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        if soft < wanted && soft < hard {
            // If it cannot be raised, opening the files says so.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
        }
    }
}

/// Who is in the way of a claim, this process left out. What cannot be seen is left out, too: it is only for messages.
fn conflicting_holders(directory: &LockDirectory, claim: &Claim) -> Vec<Holder> {
    /// /proc/locks loses lines while it is read and others lock and unlock.
    const LOOKS: usize = 3;
    let this = directory.procfs().own_pid();
    let look = || {
        let mut holders = directory.holders(&claim.place).unwrap_or_default();
        holders.retain(|holder| Some(holder.process.pid) != this);
        conflicting(&holders, claim.mode).into_iter().cloned().collect::<Vec<_>>()
    };
    (0..LOOKS).map(|_| look()).find(|holders| !holders.is_empty()).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Gate,
    Lock,
}

/// One claim's way through gate and lock.
struct Wait<'a> {
    directory: &'a LockDirectory,
    claim: &'a Claim,
    intention: bool,
    limit: WaitLimit,
    watch: &'a mut dyn WatchWait,
    begun: Instant,
    told: bool,
}

impl Wait<'_> {
    fn through_gate(&mut self) -> Result<(File, LockFileState)> {
        let (directory, place) = (self.directory, &self.claim.place);
        loop {
            let gate = self.lock(directory.gate(place)?, Mode::Exclusive, Stage::Gate)?;
            let locked = self.lock(directory.lock(place)?, self.claim.mode, Stage::Lock)?;
            drop(gate);
            match directory.state_of(place, &locked)? {
                state @ (LockFileState::Valid | LockFileState::Unvalidated) => return Ok((locked.file, state)),
                // Somebody has wiped the run directory while this waited: the lock is state nothing.
                LockFileState::Replaced => directory.check_still_there()?,
            }
        }
    }

    fn lock(&mut self, file: LockFile, mode: Mode, stage: Stage) -> Result<LockFile> {
        self.tag(&file)?;
        if flock::try_lock(&file.file, mode).map_err(|e| self.lock_file_error(&e))? {
            return Ok(file);
        }
        match (self.limit, stage) {
            (WaitLimit::Until(deadline), _) => self.sleep(file, mode, deadline),
            (WaitLimit::NoWait, Stage::Lock) => Err(self.give_up()),
            (WaitLimit::NoWait, Stage::Gate) => self.wait_briefly_at_gate(file, mode),
        }
    }

    fn tag(&self, file: &LockFile) -> Result<()> {
        OffsetTag::now(self.claim.mode, self.intention).put(&file.file).map_err(|e| self.lock_file_error(&e))
    }

    /// Waits in the kernel's line until the deadline, and keeps whoever watches informed.
    fn sleep(&mut self, file: LockFile, mode: Mode, deadline: Instant) -> Result<LockFile> {
        let LockFile { file, id } = file;
        let pending = flock::lock_in_background(file, mode).map_err(|e| self.lock_file_error(&e))?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A wait that is over in a moment is not state a word.
            let tick = if self.told { TICK } else { TICK / 5 };
            match pending.wait(tick.min(left)) {
                Some(result) => {
                    let locked = LockFile { file: result.map_err(|e| self.lock_file_error(&e))?, id };
                    self.tag(&locked)?;
                    return Ok(locked);
                }
                None if left.is_zero() => return Err(self.give_up()),
                None => self.tell(left)?,
            }
        }
    }

    /// Without limit: somebody who only passes the gate is let pass, somebody who waits in it is not waited for.
    fn wait_briefly_at_gate(&mut self, file: LockFile, mode: Mode) -> Result<LockFile> {
        let LockFile { file, id } = file;
        let pending = flock::lock_in_background(file, mode).map_err(|e| self.lock_file_error(&e))?;
        let deadline = Instant::now() + GATE_GRACE;
        loop {
            if let Some(result) = pending.wait(Duration::from_millis(1)) {
                return Ok(LockFile { file: result.map_err(|e| self.lock_file_error(&e))?, id });
            }
            if Instant::now() >= deadline || self.somebody_waits_for_the_lock()? {
                return Err(self.give_up());
            }
        }
    }

    fn somebody_waits_for_the_lock(&self) -> Result<bool> {
        let [lock, _] = self.directory.file_ids(&self.claim.place);
        let waits = |holding: &holders::FlockLine| {
            holding.role == Role::Waits && lock.is_some_and(|(_, inode)| inode == holding.inode)
        };
        Ok(holders::all_flocks(self.directory.procfs())?.iter().any(waits))
    }

    fn tell(&mut self, left: Duration) -> Result<()> {
        let first = !std::mem::replace(&mut self.told, true);
        let (directory, claim, waited) = (self.directory, self.claim, self.begun.elapsed());
        if first {
            self.refuse_to_wait_for_ancestor()?;
        }
        self.watch.waiting(&Waiting { claim, waited, left, directory });
        Ok(())
    }

    /// `pcictl lock X -- pcictl remove X` would wait for itself.
    fn refuse_to_wait_for_ancestor(&self) -> Result<()> {
        let procfs = self.directory.procfs();
        let ancestors = procfs.own_pid().map_or_else(Vec::new, |pid| procfs.ancestors(pid));
        let own = |holder: &Holder| {
            holder.role == Role::Holds && holder.process.pid != 1 && ancestors.contains(&holder.process.pid)
        };
        let holders = conflicting_holders(self.directory, self.claim);
        let Some(holder) = holders.iter().find(|holder| own(holder)) else { return Ok(()) };
        let message = format!(
            "{}: locked by {}, which this command was started by and which waits for it; under pcictl lock, change the device with plain writes, or run this outside",
            self.claim.place,
            holder.process.name()
        );
        Err(self.locked(message, &holders))
    }

    fn finish(&mut self, well: bool) {
        if self.told {
            self.watch.done_waiting(self.claim, self.begun.elapsed(), well);
        }
    }

    fn give_up(&self) -> Error {
        let holders = conflicting_holders(self.directory, self.claim);
        let (place, by) = (&self.claim.place, describe_holders(&holders));
        let after = match self.limit {
            WaitLimit::NoWait => String::new(),
            WaitLimit::Until(_) => format!(" after {:.1} s", self.begun.elapsed().as_secs_f64()),
        };
        self.locked(format!("{place}: still locked{after} by {by}; try again, or give --wait SECONDS"), &holders)
    }

    fn locked(&self, message: String, holders: &[Holder]) -> Error {
        Error::new(ErrorKind::Locked, message)
            .fact("place", serde_json::json!(self.claim.place))
            .fact("waited_seconds", self.begun.elapsed().as_secs_f64())
            .fact("holders", serde_json::json!(holders))
    }

    fn lock_file_error(&self, error: &std::io::Error) -> Error {
        self.directory.lock_file_error(&self.claim.place, error)
    }
}

/// Locks a file that is no node, for as long as it or a copy of its descriptor is open; false if somebody else has it.
///
/// # Errors
/// The call failed.
pub(crate) fn try_lock_file(file: &File) -> std::io::Result<bool> {
    flock::try_lock(file, Mode::Exclusive)
}

/// Whether somebody else has locked a file that is no node.
///
/// # Errors
/// The call failed.
pub(crate) fn is_locked(file: &File) -> std::io::Result<bool> {
    // The descriptor is closed by the caller, and this lock with it.
    flock::try_lock(file, Mode::Shared).map(|free| !free)
}

#[cfg(test)]
mod tests;
