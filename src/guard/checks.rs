//! What is done for somebody in line, under his locks, before he is let go on: users are looked for, bridges that a scan must not
//! go over, and whether a function sleeps whose VFs are to change; drivers are stopped.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::guard::kinds::{Kind, MarkedFile};
use crate::guard::needs::scanned_by;
use crate::host::sysfs::last_step;
use crate::lock::acquire::Held;
use crate::operation::audit;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::remove::RemovalTarget;
use crate::operation::run::{Operation, refuse_if_being_removed};
use crate::operation::scannable::refuse_unfit_bridges;
use crate::pci::address::PciAddress;
use crate::plan::remove::plan_removal;
use crate::topology::attributes::is_asleep;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::slots::Slot;
use crate::usage::find::find_for_change;
use crate::usage::model::{Danger, describe_users};
use crate::usage::policy::{Decision, decide};
use crate::usage::scope::Scope;

/// How long a driver may take to stop before its writer is told so.
const TIMEOUT: Duration = Duration::from_secs(120);

/// So many drivers are stopped at a time, as by `remove`.
const JOBS: usize = 32;

/// What an operator asks for besides the locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// Uses of a device that a raw write must not end.
    pub(crate) refuse: Vec<Danger>,
    /// Drivers are stopped before a removal.
    pub(crate) stop_first: bool,
}

impl Conditions {
    /// Whether anything is looked at before such a write.
    pub(crate) fn concern(&self, kind: Kind) -> bool {
        kind.scans() || kind == Kind::SetVfs || !self.refuse.is_empty() && takes_away(kind)
    }
}

/// Whether a write may take a device away from its users. Which one `unbind` takes is in the data.
fn takes_away(kind: Kind) -> bool {
    matches!(kind, Kind::Remove | Kind::SetVfs | Kind::Reset | Kind::ResetBelow | Kind::SlotPower)
}

/// Refuses what would end one of these uses.
///
/// # Errors
/// It would, or that cannot be told.
pub(crate) fn check_users(context: &Context, file: &MarkedFile, refuse: &[Danger]) -> Result<()> {
    if refuse.is_empty() || !takes_away(file.kind) {
        return Ok(());
    }
    let sysfs = &context.machine.sysfs;
    let about = match file.kind {
        Kind::SlotPower => in_slot(context, file)?,
        _ => file.address().into_iter().collect(),
    };
    let topology = Topology::load_around(sysfs, &about, Fields::ALL)?;
    let hit =
        about.iter().filter_map(|address| topology.find(*address)).flat_map(|id| hit_by(&topology, id, file.kind));
    let users = find_for_change(&context.machine, &Scope::of(&topology, hit))?;
    let borne: Vec<Danger> = Danger::ALL.iter().copied().filter(|danger| !refuse.contains(danger)).collect();
    match decide(&users, &borne) {
        Decision::Allow | Decision::Override(..) => Ok(()),
        Decision::Refuse { users, unchecked, .. } => {
            let why = if users.is_empty() { unchecked.join("; ") } else { describe_users(&users) };
            Err(Error::new(ErrorKind::InUse, format!("the device is in use: {why}")))
        }
    }
}

/// Refuses a scan that would corrupt the kernel.
///
/// # Errors
/// It would, or that cannot be told.
pub(crate) fn check_scan(context: &Context, file: &MarkedFile) -> Result<()> {
    let sysfs = &context.machine.sysfs;
    let refused = refuse_unfit_bridges(sysfs, &scanned_by(sysfs, file)?, &[]);
    // What helps is told in one line with the rest.
    refused.map_err(|error| match error.next() {
        Some(next) => Error::new(error.kind(), format!("{error}; {next}")),
        None => error,
    })
}

/// Refuses to change the VFs of a function that its driver has put to sleep, see [`awake`](crate::plan::awake).
///
/// # Errors
/// It sleeps.
pub(crate) fn check_awake(context: &Context, file: &MarkedFile) -> Result<()> {
    let Some(address) = file.address().filter(|_| file.kind == Kind::SetVfs) else { return Ok(()) };
    if !is_asleep(&context.machine.sysfs, file.directory()) {
        return Ok(());
    }
    let message = format!(
        "{address}: sleeps, and to change its VFs now would corrupt the kernel when it wakes; pcictl sriov {address} wakes it first"
    );
    Err(Error::new(ErrorKind::Refused, message).about(address))
}

fn hit_by(topology: &Topology, id: FunctionId, kind: Kind) -> Vec<FunctionId> {
    match kind {
        Kind::SetVfs => topology.virtual_functions(id),
        Kind::ResetBelow => topology.subtree(id).into_iter().skip(1).collect(),
        _ => topology.subtree(id),
    }
}

fn in_slot(context: &Context, file: &MarkedFile) -> Result<Vec<PciAddress>> {
    let sysfs = &context.machine.sysfs;
    let Some(slot) = Slot::read(sysfs, last_step(file.directory()))? else { return Ok(Vec::new()) };
    slot.bridge(sysfs)?.map_or(Ok(Vec::new()), |bridge| slot.functions(sysfs, &bridge))
}

/// Stops the drivers of what is going to be removed, from the bottom up and side by side, without the kernel's mutex. If one
/// will not stop, or whoever wants it removed has gone meanwhile (`line` tells), they are given back.
///
/// # Errors
/// They do not stop.
pub(crate) fn stop_drivers(context: &Context, file: &MarkedFile, held: Held, line: BorrowedFd<'_>) -> Result<()> {
    let Some(address) = file.address() else { return Ok(()) };
    let topology = Topology::load_around(&context.machine.sysfs, &[address], Fields::ALL)?;
    let Some(id) = topology.find(address) else { return Ok(()) };
    let plan = plan_removal(&topology, &[id])?;
    let mut target = RemovalTarget::new(context, topology, plan)?;
    target.prepare(context);
    let steps = &target.plan.stop.steps;
    if steps.is_empty() {
        return Ok(());
    }
    refuse_if_being_removed(context, &[file.directory().to_owned()])?;
    let mut operation = Operation::begin(context, held, steps, TIMEOUT)?;
    let result = operation.run(steps, JOBS).and_then(|outcomes| {
        let why = StepFailure::first(steps, &outcomes).or_else(|| has_hung_up(line).then(nobody_waits));
        why.map_or(Ok(()), |why| Err(operation.roll_back(steps, 0, &outcomes, why, "")))
    });
    operation.end(&result);
    audit::end(context, result.as_ref().map(|()| ExitStatus::Done));
    result
}

fn has_hung_up(line: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(line, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn nobody_waits() -> StepFailure {
    StepFailure { message: "whoever wanted it removed has gone".to_owned(), kind: ErrorKind::Interrupted, hint: None }
}

/// Copies of what carries the locks, which outlive an operation that uses them.
///
/// # Errors
/// There are no descriptors left.
pub(crate) fn copies(held: &Held) -> io::Result<Vec<std::os::fd::OwnedFd>> {
    held.descriptors().map(|descriptor| descriptor.try_clone_to_owned()).collect()
}
