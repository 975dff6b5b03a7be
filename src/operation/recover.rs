//! Bringing one interrupted operation to its end or back to its start, under its locks.
//!
//! What is decided is decided on what the journal says once the locks are held and the journal is taken over: somebody
//! else may have recovered the operation while the locks were waited for.

use std::time::Duration;

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::outcome::Outcomes;
use crate::lock::acquire::Held;
use crate::lock::claims::Claims;
use crate::operation::acquire::{LockTarget, acquire_and_reread};
use crate::operation::audit;
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ChangeOptions;
use crate::operation::removal_record;
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::operation::vf_drivers::{self, GivenDrivers, ProbeLimits, Undriven, Unset, VFS_AT_A_TIME};
use crate::order;
use crate::plan::action::Step;
use crate::report::status::Recovered;
use crate::report::text::words;
use crate::state::journal::progress::{Assessment, Progress, RecoveryAction, other_device};
use crate::state::journal::record::{Header, OperationRecord};
use crate::state::journal::store::{Journal, JournalFile};

const REBOOTED: &str = "cut off by a reboot";

const GONE: &str = "what was left to be done is about devices that are gone since";

const UNDER_WAY: &str = "is under way; nothing to recover";

/// Moves a journal out of the way that nobody can go by.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn set_aside(context: &Context, found: &JournalFile, why: &str) -> Result<Recovered> {
    let aside = context.journals().set_aside(&found.path).map_err(|error| Error::io(found.path.display(), &error))?;
    let _ = context.journals().remove_marker(found.id());
    Ok(Recovered::new(found.id(), &format!("cannot be trusted ({why}); set aside as {}", aside.display())))
}

/// Notes that nothing is left to be done for an operation of an earlier boot.
///
/// # Errors
/// Its journal cannot be written.
pub(crate) fn close_rebooted(context: &Context, found: &JournalFile) -> Result<Recovered> {
    match take_over(context, found)? {
        None => Ok(Recovered::new(found.id(), UNDER_WAY)),
        Some((journal, record)) => {
            let what = what_a_reboot_left(context, &record.header);
            close(&journal, &record, REBOOTED).map(|recovered| Recovered { what, ..recovered })
        }
    }
}

/// The same for one of which only its marker is left.
///
/// # Errors
/// The marker cannot be removed.
pub(crate) fn forget_rebooted(context: &Context, header: &Header) -> Result<Recovered> {
    let what = what_a_reboot_left(context, header);
    context.journals().remove_marker(&header.id).map_err(|error| Error::io("the note cannot be removed", &error))?;
    Ok(Recovered::new(&header.id, &what))
}

/// The devices were all found anew; whether one had been removed, so that what it was counts, nobody knows any more.
fn what_a_reboot_left(context: &Context, header: &Header) -> String {
    let entries = removal_record::waited_for(context, header);
    if entries.is_empty() {
        return REBOOTED.to_owned();
    }
    let listed: Vec<String> = entries.iter().map(|entry| entry.record.address.to_string()).collect();
    let selectors = order::set(entries.iter().map(|entry| removal_record::compared_by(context, entry)));
    let (listed, selectors) = (listed.join(", "), selectors.into_iter().collect::<Vec<_>>().join(" "));
    format!("{REBOOTED}; the ledger has what {listed} was, and pcictl rescan {selectors} compares and crosses it off")
}

/// Brings an operation to its end or back to its start whose journal is there.
///
/// # Errors
/// A lock is held by someone else, the journal cannot be written, or the kernel refuses a step.
pub(crate) fn recover(
    context: &Context,
    options: &ChangeOptions,
    found: &JournalFile,
    record: &OperationRecord,
) -> Result<Recovered> {
    recover_under_locks(context, options, &record.header, || take_over(context, found))
}

/// The same for an operation of this boot whose journal somebody removed: all its steps may have been started.
///
/// # Errors
/// As for [`recover`].
pub(crate) fn recover_lost(context: &Context, options: &ChangeOptions, header: &Header) -> Result<Recovered> {
    recover_under_locks(context, options, header, || match context.journals().restore(header) {
        Ok(restored) => Ok(Some(restored)),
        // Somebody else has restored it since.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(Error::io(format!("the journal of {}", header.id), &error)),
    })
}

fn recover_under_locks(
    context: &Context,
    options: &ChangeOptions,
    header: &Header,
    take_over: impl FnOnce() -> Result<Option<(Journal, OperationRecord)>>,
) -> Result<Recovered> {
    refuse_if_stuck(context)?;
    let nodes = || Nodes(Claims::changing(header.places.clone()));
    let (held, _) = acquire_and_reread(context, options, nodes(), || Ok(nodes()))?;
    let Some((journal, record)) = take_over()? else { return Ok(Recovered::new(&header.id, UNDER_WAY)) };
    if let Some(how) = &record.closed {
        return Ok(Recovered::new(&header.id, &format!("was closed by somebody else: {how}")));
    }
    if let Some(address) = other_device(&record, &context.machine.sysfs) {
        let message = format!("{}: {address} is another device now; nothing was done", header.id);
        return Err(Error::new(ErrorKind::Refused, message).about(address));
    }
    resume(context, options, held, journal, &record)
}

/// Goes the way that is left.
fn resume(
    context: &Context,
    options: &ChangeOptions,
    held: Held,
    journal: Journal,
    record: &OperationRecord,
) -> Result<Recovered> {
    let look = Assessment::of(record, &context.machine.sysfs);
    match look.progress() {
        Progress::Complete if look.has_lost_some() => return close(&journal, record, GONE),
        Progress::Complete => return close(&journal, record, "all was done already"),
        Progress::NotStarted => {
            // Before the journal is closed: whoever is killed in between leaves it to the next recovery.
            removal_record::discard_returned(context, record);
            return close(&journal, record, "all is as it was before");
        }
        Progress::Partial => {}
    }
    let way = look.action();
    audit::begin(context, &record.header.id, &record.header.places, &record.steps);
    let mut operation = Operation::resume(context, held, journal, record.steps.len(), options.timeout)?;
    let result = match way {
        RecoveryAction::RollForward => roll_forward(&mut operation, &look)
            .and_then(|done| give_drivers(context, &mut operation, record, &look, done)),
        RecoveryAction::RollBack => roll_back(context, &mut operation, record, &look),
    };
    if way == RecoveryAction::RollBack && result.is_ok() {
        removal_record::discard_returned(context, record);
    }
    operation.end(&result);
    audit::end(context, result.as_ref().map(|_| ExitStatus::Done));
    let done = result?;
    let what = match way {
        RecoveryAction::RollForward => "completed",
        RecoveryAction::RollBack => "undone",
    };
    Ok(Recovered { steps: done, ..Recovered::new(&record.header.id, what) })
}

/// The nodes of an operation, which its journal names.
struct Nodes(Claims);

impl LockTarget for Nodes {
    fn claims(&self) -> &Claims {
        &self.0
    }

    fn same_devices(&self, _other: &Self) -> bool {
        true
    }
}

fn take_over(context: &Context, found: &JournalFile) -> Result<Option<(Journal, OperationRecord)>> {
    context.journals().take_over(found).map_err(|error| Error::io(found.path.display(), &error))
}

fn close(journal: &Journal, record: &OperationRecord, how: &str) -> Result<Recovered> {
    let id = &record.header.id;
    let how = match &record.closed {
        Some(how) => how,
        None => {
            journal.close(how).map_err(|errno| Error::io(format!("the journal of {id}"), &errno.into()))?;
            how
        }
    };
    Ok(Recovered::new(id, how))
}

/// Does what is left, one step after the other.
fn roll_forward(operation: &mut Operation, look: &Assessment) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for (index, step) in look.left() {
        let steps = [Step { after: Vec::new(), ..step.clone() }];
        operation.seek(index);
        let outcomes = operation.run(&steps, 1)?;
        if let Some(why) = StepFailure::first(&steps, &outcomes).filter(|_| !outcomes.is_complete()) {
            operation.keep_half_done();
            return Err(Error::new(why.kind, why.message).hint("pcictl status shows what is left"));
        }
        done.push(words::describe_action(&step.action));
    }
    Ok(done)
}

/// Gives VFs to drivers that were created and got none, because nobody came to note the steps for that.
fn give_drivers(
    context: &Context,
    operation: &mut Operation,
    record: &OperationRecord,
    look: &Assessment,
    mut done: Vec<String>,
) -> Result<Vec<String>> {
    let Some((physical, drivers)) = look.vfs_undriven_in_the_end() else { return Ok(done) };
    operation.seek(record.steps.len());
    let limits = ProbeLimits { jobs: VFS_AT_A_TIME, settle: Duration::ZERO };
    let GivenDrivers { undriven, unset, .. } = vf_drivers::give_drivers(context, operation, physical, drivers, limits)?;
    if let Some(Undriven { address, why, .. }) = undriven.first() {
        let message = format!("{address}: is there, and has no driver: {why}");
        return Err(Error::new(ErrorKind::Partly, message).about(*address));
    }
    if let Some(Unset { why, .. }) = unset.first() {
        let message = format!("{physical}: its VFs are there, and not as they were: {why}");
        return Err(Error::new(ErrorKind::Partly, message).about(physical));
    }
    done.push(words::give_drivers(physical));
    Ok(done)
}

/// Takes back what was done.
fn roll_back(
    context: &Context,
    operation: &mut Operation,
    record: &OperationRecord,
    look: &Assessment,
) -> Result<Vec<String>> {
    // What is gone is gone, and nothing of it can be put back.
    let done = Outcomes::done_where(look.to_roll_back().into_iter());
    let outcomes = done.to_put_back(&context.machine.sysfs, &record.steps);
    let why = StepFailure::new(ErrorKind::Failed, format!("{}: taking back what was done", record.header.id));
    let error = operation.roll_back(&record.steps, 0, &outcomes, why, "");
    if operation.is_half_done() || operation.continues_in_background() {
        return Err(error);
    }
    context.output.detail(&error.to_string());
    let steps = record.steps.iter().zip(outcomes.each()).rev().filter(|(_, undone)| undone.has_changed());
    Ok(steps.flat_map(|(step, _)| step.action.undo()).map(|action| words::describe_action(&action)).collect())
}
