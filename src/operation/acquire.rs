//! Takes the locks and reads again: what was read before the locks were held may have changed in the meantime.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use crate::lock::claims::{Claim, Claims};
use crate::lock::conflict::NodeName;
use crate::lock::files::LockDirectory;
use crate::lock::host_view::HostView;
use crate::operation::context::Context;
use crate::operation::options::ChangeOptions;
use crate::pci::place::Place;
use crate::resolve::place_names::node_name;
use crate::terminal::event::Event;
use crate::terminal::live::{Activity, seconds_text};
use crate::terminal::output::Output;
use crate::topology::fields::{Fields, IdsOf};

/// How often to plan again with --no-wait.
const MAX_REREADS: u32 = 10;

/// What an operation works on, as it was read at one moment.
pub(crate) trait LockTarget {
    /// What must be held to work on it.
    fn claims(&self) -> &Claims;
    /// Whether another reading found the same devices in the same places.
    fn same_devices(&self, other: &Self) -> bool;
}

/// Takes the locks for what was read, reads again, and starts over until both readings agree. One deadline for all of it.
///
/// # Errors
/// The reading fails, a lock is held by someone else for too long, or the tree never stops changing.
pub(crate) fn acquire_and_reread<T: LockTarget>(
    context: &Context,
    options: &ChangeOptions,
    mut first: T,
    mut read: impl FnMut() -> Result<T>,
) -> Result<(Held, T)> {
    let directory = open_lock_directory(context)?;
    let deadline = Instant::now() + options.wait;
    let no_wait = options.wait.is_zero();
    let limit = if no_wait { WaitLimit::NoWait } else { WaitLimit::Until(deadline) };
    let mut watch = Announce { output: context.output, sysfs: &context.machine.sysfs, told: Vec::new() };
    let mut tries = 0;
    loop {
        let held = directory.acquire(first.claims(), limit, &mut watch)?;
        let second = read()?;
        if second.same_devices(&first) {
            return Ok((held, second));
        }
        drop(held);
        context.output.detail("the device tree changed while the locks were taken; planning again");
        tries += 1;
        let enough = if no_wait { tries >= MAX_REREADS } else { Instant::now() >= deadline };
        if enough {
            let message = "the device tree keeps changing; nothing was changed";
            return Err(Error::new(ErrorKind::Failed, message).hint("try again when hotplug has settled"));
        }
        first = second;
    }
}

/// This machine's locks, or those of a dumped tree or a rehearsal, which are wherever the environment says.
pub(crate) fn open_lock_directory(context: &Context) -> Result<LockDirectory> {
    let run = &context.machine.run;
    if context.machine.sysfs.is_dump() {
        return LockDirectory::open(run);
    }
    if context.machine.has_own_run_directory() {
        let message = "PCICTL_RUN_DIR is set: locks that nobody else takes protect nothing on this machine";
        return Err(Error::usage(message).hint("unset it, or give --sysroot to work on a dumped tree"));
    }
    LockDirectory::open_on_host(run, HostView::live())
}

/// For those who only look: why what they see is not what holds on this machine; none if it is, or nobody can tell.
pub(crate) fn other_world(context: &Context) -> Option<String> {
    if context.machine.sysfs.is_dump() {
        return None;
    }
    if context.machine.has_own_run_directory() {
        let run = context.machine.run.display();
        return Some(format!("PCICTL_RUN_DIR is set: what {run} tells is not what holds on this machine"));
    }
    HostView::live().difference(&context.machine.run)
}

/// All that places are made of.
pub(crate) const PLACES: Fields =
    Fields { virtual_of: true, index: true, buses: false, driver: false, ids: IdsOf::Nobody };

/// Says whom a lock is waited for: a line that is kept up to date on a terminal, else a line at the start and the end.
struct Announce<'a> {
    output: &'a Output,
    sysfs: &'a Sysfs,
    told: Vec<Claim>,
}

impl WatchWait for Announce<'_> {
    fn waiting(&mut self, wait: &Waiting<'_>) {
        let is_new = !self.told.contains(wait.claim);
        let target = self.name(wait.target).name;
        if self.output.can_move() {
            let text = format!("waiting for {target}: {}", wait.brief());
            self.output.goes_on(Activity::Lock, text, wait.waited, Some(wait.waited + wait.left));
        }
        if !is_new {
            return;
        }
        self.told.push(wait.claim.clone());
        let why = wait.describe(&mut |place| self.name(place));
        if !self.output.can_move() {
            self.output.detail(&format!("waiting at {}", wait.claim.place));
            self.output.say(&format!("{target}: waiting for up to {}; {why}", seconds_text(wait.left)));
        }
        self.output.event(&Event::WaitingForLock {
            target: &target,
            holders: why,
            waited_seconds: wait.waited.as_secs_f64(),
            left_seconds: wait.left.as_secs_f64(),
        });
    }

    fn done_waiting(&mut self, wait: &Waiting<'_>, well: bool) {
        self.output.is_over(Activity::Lock);
        // An error says for itself how it ended.
        if well {
            let target = self.name(wait.target).name;
            let waited = wait.waited.as_secs_f64();
            self.output.say(&format!("{target}: got the lock after {waited:.1} s"));
            self.output.event(&Event::LockTaken { target: &target, waited_seconds: waited });
        }
    }

    fn name(&mut self, place: &Place) -> NodeName {
        node_name(self.sysfs, place)
    }
}
