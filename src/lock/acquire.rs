//! Taking locks: one claim after the other, each through its gate, with one deadline for all of them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, ErrorKind, Result, plain};
use crate::lock::claims::{Claim, Claims, Mode};
use crate::lock::conflict::{self, NodeName};
use crate::lock::fdinfo::each_descriptor;
use crate::lock::files::{LockDirectory, LockFile, LockFileState};
use crate::lock::flock;
use crate::lock::holders::{self, Holder, conflicting};
use crate::lock::offset_tag::OffsetTag;
use crate::lock::proc_locks::{FlockLine, Role, all_flocks};
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
    files: Vec<LockFile>,
}

/// What a child is given of this process: the locks, or nothing but the limits that this process itself was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover {
    locks: Vec<RawFd>,
}

/// Told while a lock is waited for.
pub trait WatchWait {
    /// Called when a wait has lasted for a moment, and then about twice a second.
    fn waiting(&mut self, wait: &Waiting<'_>);
    /// Called when a wait that was reported has ended; not well if there is an error to follow.
    fn done_waiting(&mut self, _wait: &Waiting<'_>, _well: bool) {}
    /// Whether a process that started this one may be waited for: it keeps the lock for somebody else, and does not wait for
    /// this one.
    fn waits_for_ancestors(&self) -> bool {
        false
    }
    /// What people call a node, which is but a place here.
    fn name(&mut self, place: &Place) -> NodeName {
        NodeName::of_place(place)
    }
}

/// A wait as it is now.
pub struct Waiting<'a> {
    /// What was asked for.
    pub(crate) target: &'a Place,
    /// What is waited for: the target, or something above or below it.
    pub(crate) claim: &'a Claim,
    /// For how long already.
    pub(crate) waited: Duration,
    /// For how long still.
    pub(crate) left: Duration,
    directory: &'a LockDirectory,
}

impl Waiting<'_> {
    /// Whom for: those who keep this claim out, or stand in line before it.
    pub(crate) fn describe(&self, name: &mut dyn FnMut(&Place) -> NodeName) -> String {
        conflict::describe(self.target, self.claim, &conflicting_holders(self.directory, self.claim), name)
    }

    /// The same in as few words as possible.
    pub(crate) fn brief(&self) -> String {
        conflict::brief(&conflicting_holders(self.directory, self.claim))
    }
}

impl Held {
    /// What is held.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The descriptors that carry the locks: whoever has a copy of one of them open keeps its lock.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|file| file.file.as_fd())
    }

    /// What a program gets that is to keep the locks until it ends, and all that it starts in turn. The locks must still be
    /// held when it is started.
    pub(crate) fn handover(&self) -> Handover {
        Handover { locks: self.descriptors().map(|descriptor| descriptor.as_raw_fd()).collect() }
    }
}

impl Handover {
    /// The numbers of the descriptors that carry the locks.
    pub(crate) fn locks(&self) -> &[RawFd] {
        &self.locks
    }

    /// Has a program that is about to be started get it. In this process the descriptors stay closed to all others.
    pub(crate) fn apply(&self, command: &mut Command) {
        let (locks, limit) = (self.locks.clone(), FIRST_LIMIT.get().copied());
        let prepare = move || {
            for &descriptor in &locks {
                // SAFETY: only a flag of the child's own copy is changed; a number that is not open gives an error.
                let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
                fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            if let Some((soft, hard)) = limit {
                setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec nothing but fcntl(2) and prlimit(2) is called, and no memory is allocated.
        unsafe { command.pre_exec(prepare) };
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
        let mut new = Vec::new();
        for (index, claim) in claims.in_order().iter().enumerate() {
            let (file, state) = self.take(claims, claim, limit, watch)?;
            held.files.push(file);
            if state == LockFileState::Unvalidated {
                new.push(index);
            }
        }
        let locked = |index: usize| (&claims.in_order()[index].place, &held.files[index]);
        let first = new.first().or(Some(&0)).and_then(|index| claims.in_order().get(*index));
        self.validate(&new.iter().map(|index| locked(*index)).collect::<Vec<_>>())
            .and_then(|()| self.check_all_in_place((0..held.files.len()).map(locked)))
            .map_err(|error| match first {
                Some(claim) => cannot_lock(error, claims, &claim.place, watch),
                None => error,
            })?;
        Ok(held)
    }

    /// Takes all claims if nobody is in the way or in line; else none of them. It never waits: neither for a lock, nor for the
    /// look at all processes that new lock files take.
    ///
    /// # Errors
    /// The lock files cannot be used or trusted.
    pub(crate) fn try_acquire(&self, claims: &Claims) -> Result<Option<Held>> {
        raise_fd_limit(claims.in_order().len());
        let mut held = Held { claims: claims.clone(), files: Vec::with_capacity(claims.in_order().len()) };
        for claim in claims.in_order() {
            let place = &claim.place;
            let failed = |error: std::io::Error| self.lock_file_error(place, &error);
            let tag = OffsetTag::now(claim.mode, claims.tops().binary_search(place).is_err());
            let (gate, lock) = (self.gate(place)?, self.lock(place)?);
            tag.put(&gate.file).and_then(|()| tag.put(&lock.file)).map_err(failed)?;
            let is_free = flock::try_lock(&gate.file, Mode::Exclusive).map_err(failed)?
                && flock::try_lock(&lock.file, claim.mode).map_err(failed)?;
            if !is_free || self.state_of(place, &lock)? != LockFileState::Valid {
                return Ok(None);
            }
            held.files.push(lock);
        }
        self.check_all_in_place(claims.in_order().iter().map(|claim| &claim.place).zip(&held.files))?;
        Ok(Some(held))
    }

    /// Takes one lock, through its gate.
    fn take(
        &self,
        claims: &Claims,
        claim: &Claim,
        limit: WaitLimit,
        watch: &mut dyn WatchWait,
    ) -> Result<(LockFile, LockFileState)> {
        let begun = Instant::now();
        let intention = claims.tops().binary_search(&claim.place).is_err();
        let target = conflict::target(claims, &claim.place);
        let mut wait = Wait { directory: self, target, claim, intention, limit, watch, begun, told: false };
        let taken = wait.through_gate();
        wait.finish(taken.is_ok());
        taken.map_err(|error| cannot_lock(error, claims, &claim.place, watch))
    }

    /// Who holds or waits for a node now, as the kernel tells it.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn holders(&self, place: &Place) -> Result<Vec<Holder>> {
        self.holders_of(std::slice::from_ref(place))
    }

    fn holders_of(&self, places: &[Place]) -> Result<Vec<Holder>> {
        holders::of_nodes(self.procfs(), places, self.mount(), &|place| self.kernel_files(place))
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

/// Names the device that cannot be locked.
fn cannot_lock(error: Error, claims: &Claims, place: &Place, watch: &mut dyn WatchWait) -> Error {
    let name = watch.name(conflict::target(claims, place)).name;
    error.prefixed(&format!("cannot lock {name}: "))
}

/// The limit of open files that this process was started with, once it has raised it. Programs that use select(2) break
/// where it is higher than they expect.
static FIRST_LIMIT: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the limit of open files where the claims need it: reading everything on a big machine takes a file a function.
fn raise_fd_limit(claims: usize) {
    /// For all that is open besides.
    const OTHERS: u64 = 64;
    let wanted = u64::try_from(claims).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        if soft < wanted && soft < hard {
            let _ = FIRST_LIMIT.set((soft, hard));
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
    target: &'a Place,
    claim: &'a Claim,
    intention: bool,
    limit: WaitLimit,
    watch: &'a mut dyn WatchWait,
    begun: Instant,
    told: bool,
}

impl Wait<'_> {
    fn through_gate(&mut self) -> Result<(LockFile, LockFileState)> {
        let (directory, place) = (self.directory, &self.claim.place);
        loop {
            let gate = self.lock(directory.gate(place)?, Mode::Exclusive, Stage::Gate)?;
            let locked = self.lock(directory.lock(place)?, self.claim.mode, Stage::Lock)?;
            drop(gate);
            match directory.state_of(place, &locked)? {
                state @ (LockFileState::Valid | LockFileState::Unvalidated) => return Ok((locked, state)),
                // Somebody has changed the run directory while this waited: the lock is worth nothing.
                LockFileState::Replaced => directory.check_in_place()?,
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

    fn lock_in_background(&self, file: File, mode: Mode) -> Result<flock::Pending> {
        flock::lock_in_background(file, mode).map_err(|error| {
            let message = format!("no thread can be started to wait for the lock: {}", plain(&error));
            let hint = "raise the limit of processes (ulimit -u, pids.max of the control group)";
            Error::new(ErrorKind::Failed, message).hint(hint)
        })
    }

    /// Waits in the kernel's line until the deadline, and keeps whoever watches informed.
    fn sleep(&mut self, file: LockFile, mode: Mode, deadline: Instant) -> Result<LockFile> {
        let LockFile { file, id } = file;
        let pending = self.lock_in_background(file, mode)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A wait that is over in a moment is not worth a word.
            let tick = if self.told { TICK } else { TICK / 5 };
            match pending.wait(tick.min(left)) {
                Some(result) => {
                    let locked = LockFile { file: result.map_err(|e| self.lock_file_error(&e))?, id };
                    self.tag(&locked)?;
                    return Ok(locked);
                }
                None if left.is_zero() => return Err(self.give_up()),
                None => self.tell(deadline)?,
            }
        }
    }

    /// Without limit: somebody who only passes the gate is let pass, somebody who waits in it is not waited for.
    fn wait_briefly_at_gate(&mut self, file: LockFile, mode: Mode) -> Result<LockFile> {
        let LockFile { file, id } = file;
        let pending = self.lock_in_background(file, mode)?;
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
        let [lock, _] = self.directory.kernel_files(&self.claim.place);
        let waits = |line: &FlockLine| line.role == Role::Waits && lock == Some(line.file);
        Ok(all_flocks(self.directory.procfs())?.iter().any(waits))
    }

    fn tell(&mut self, deadline: Instant) -> Result<()> {
        let (waited, left) = (self.begun.elapsed(), deadline.saturating_duration_since(Instant::now()));
        if !std::mem::replace(&mut self.told, true) && !self.watch.waits_for_ancestors() {
            self.refuse_to_wait_for_ancestor()?;
        }
        let (target, claim, directory) = (self.target, self.claim, self.directory);
        self.watch.waiting(&Waiting { target, claim, waited, left, directory });
        Ok(())
    }

    /// `pcictl lock X -- pcictl remove X` would wait for itself.
    fn refuse_to_wait_for_ancestor(&self) -> Result<()> {
        let procfs = self.directory.procfs();
        let mut ancestors = procfs.own_pid().map_or_else(Vec::new, |pid| procfs.ancestors(pid));
        // Init adopts those whose parents have ended, and does not wait for them.
        ancestors.retain(|pid| *pid != 1);
        // Who else holds it takes a look at everybody, which is too much for every wait.
        ancestors.retain(|pid| self.has_lock(*pid));
        if ancestors.is_empty() {
            return Ok(());
        }
        let holders = conflicting_holders(self.directory, self.claim);
        let own = holders.iter().find(|holder| ancestors.contains(&holder.process.pid));
        let Some(holder) = own else { return Ok(()) };
        let message = format!(
            "it is locked by {}, which this command was started by and which waits for it",
            holder.process.name()
        );
        let hint = "under pcictl lock, change the device with plain writes, or run this outside";
        Err(self.locked(message, &holders).hint(hint))
    }

    /// Whether a process has a lock on what is waited for, in whichever mode; not if it may not be looked into.
    fn has_lock(&self, pid: u32) -> bool {
        let [lock, _] = self.directory.kernel_files(&self.claim.place);
        let mut has_it = false;
        let _ = each_descriptor(self.directory.procfs(), pid, &mut |descriptor| {
            has_it |= lock.is_some() && descriptor.info.locked == lock;
        });
        has_it
    }

    fn finish(&mut self, well: bool) {
        if self.told {
            let (target, claim, directory) = (self.target, self.claim, self.directory);
            let wait = Waiting { target, claim, waited: self.begun.elapsed(), left: Duration::ZERO, directory };
            self.watch.done_waiting(&wait, well);
        }
    }

    fn give_up(&mut self) -> Error {
        let holders = conflicting_holders(self.directory, self.claim);
        let what = conflict::describe(self.target, self.claim, &holders, &mut |place| self.watch.name(place));
        let target = self.watch.name(self.target).name;
        // Not what is not an argument of any command.
        let selector = if self.target.chain().is_empty() { String::new() } else { format!(" {target}") };
        let error = match self.limit {
            WaitLimit::NoWait => self.locked(what, &holders),
            WaitLimit::Until(_) => {
                self.locked(format!("{what} (waited {:.1} s)", self.begun.elapsed().as_secs_f64()), &holders)
            }
        };
        error.hint(format!("wait longer with --wait TIME; pcictl locks{selector} shows who else waits"))
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
