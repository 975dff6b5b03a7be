//! Takes the locks and reads again: what was read before the locks were held may have changed in the meantime.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use crate::lock::claims::{Claim, Claims};
use crate::lock::files::LockDirectory;
use crate::lock::holders::describe_holders;
use crate::operation::context::Context;
use crate::operation::options::ChangeOptions;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;

/// How often to plan again with --no-wait.
const MAX_REREADS: u32 = 10;

/// What an operation works on, as it was read at one moment.
pub(crate) trait LockTarget {
    /// What must be held to work on it.
    fn claims(&self) -> &Claims;
    /// Whether another reading found the same devices in the same places.
    fn same_devices(&self, other: &Self) -> bool;
}

/// Reads, takes the locks, reads again; starts over until both readings agree. One deadline for all of it.
///
/// # Errors
/// The reading fails, a lock is held by someone else for too long, or the tree never stops changing.
pub(crate) fn acquire_and_reread<T: LockTarget>(
    context: &Context,
    options: &ChangeOptions,
    mut read: impl FnMut() -> Result<T>,
) -> Result<(Held, T)> {
    let directory = LockDirectory::open(&context.machine.run)?;
    let deadline = Instant::now() + options.wait;
    let no_wait = options.wait.is_zero();
    let limit = if no_wait { WaitLimit::NoWait } else { WaitLimit::Until(deadline) };
    let mut watch = Announce { context, told: Vec::new(), devices: None };
    let mut first = read()?;
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

/// Tenths where they matter.
fn seconds_text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.5 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// What is needed to know which function sits at a place.
const PLACES: Fields = Fields { virtual_of: true, index: true, buses: false, driver: false, ids: IdsOf::Nobody };

/// Reports who holds a lock that is waited for: a line that is kept up to date on a terminal, else a line at the start and
/// one at the end.
struct Announce<'a> {
    context: &'a Context<'a>,
    told: Vec<Claim>,
    /// Which function sits where, read when the first wait begins.
    devices: Option<HashMap<Place, PciAddress>>,
}

impl Announce<'_> {
    /// A node of the lock tree as an operator knows it: the function that sits there, or the host bridge.
    fn device(&mut self, place: &Place) -> String {
        let devices = self.devices.get_or_insert_with(|| {
            let Ok(topology) = Topology::load_all(&self.context.machine.sysfs, PLACES) else { return HashMap::new() };
            topology.by_address().into_iter().map(|id| (topology.place(id), topology.function(id).address)).collect()
        });
        devices.get(place).map_or_else(|| place.to_string(), ToString::to_string)
    }
}

impl WatchWait for Announce<'_> {
    fn waiting(&mut self, wait: &Waiting<'_>) {
        let output = self.context.output;
        if output.can_move() {
            let device = self.device(&wait.claim.place);
            let (waited, limit) = (wait.waited.as_secs(), seconds_text(wait.waited + wait.left));
            let by = describe_holders(&wait.holders());
            output.progress(&format!("{device}: waiting for {by}  {waited} s of {limit}"));
        } else if !self.told.contains(wait.claim) {
            self.told.push(wait.claim.clone());
            let device = self.device(&wait.claim.place);
            let (left, by) = (seconds_text(wait.left), describe_holders(&wait.holders()));
            output.say(&format!("{device}: waiting for up to {left}; locked by {by}"));
        }
    }

    fn done_waiting(&mut self, claim: &Claim, waited: Duration, well: bool) {
        self.context.output.end_progress();
        // An error reports for itself how the wait ended.
        if well {
            let device = self.device(&claim.place);
            self.context.output.say(&format!("{device}: got the lock after {:.1} s", waited.as_secs_f64()));
        }
    }
}
