//! Bringing one interrupted operation to its end or back to its start, under its locks.

use std::rc::Rc;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::Outcomes;
use crate::lock::claims::Claims;
use crate::operation::acquire::{LockTarget, acquire_and_reread};
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ChangeOptions;
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::plan::action::Step;
use crate::report::status::Recovered;
use crate::report::text::words;
use crate::state::journal::progress::{Assessment, Progress, RecoveryAction};
use crate::state::journal::record::OperationRecord;
use crate::state::journal::store::JournalFile;

pub(crate) fn set_aside(context: &Context, found: &JournalFile, id: &str, why: &str) -> Result<Recovered> {
    let aside = context.journals().set_aside(&found.path).map_err(|error| Error::io(found.path.display(), &error))?;
    let _ = context.journals().remove_marker(id);
    Ok(Recovered::new(id, &format!("cannot be trusted ({why}); set aside as {}", aside.display())))
}

/// Notes that nothing is left to be done.
pub(crate) fn close(context: &Context, found: &JournalFile, record: &OperationRecord, how: &str) -> Result<Recovered> {
    let id = &record.header.id;
    let trouble = |error: &std::io::Error| Error::io(found.path.display(), error);
    if let Some(journal) = context.journals().take_over(found, record).map_err(|error| trouble(&error))? {
        journal.close(how).map_err(|errno| trouble(&errno.into()))?;
    }
    Ok(Recovered::new(id, how))
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

pub(crate) fn recover(
    context: &Context,
    options: &ChangeOptions,
    found: &JournalFile,
    record: &OperationRecord,
) -> Result<Recovered> {
    if let Some(how) = already_over(&Assessment::of(record, &context.machine.sysfs)) {
        return close(context, found, record, how);
    }
    refuse_if_stuck(context)?;
    let places = record.header.places.clone();
    let (held, _) = acquire_and_reread(context, options, || Ok(Nodes(Claims::changing(places.clone()))))?;
    let journal = context.journals().take_over(found, record).map_err(|e| Error::io(found.path.display(), &e))?;
    let Some(journal) = journal else {
        return Ok(Recovered::new(&record.header.id, "is under way; nothing to recover"));
    };
    // Somebody may have been here while the locks were waited for.
    let look = Assessment::of(record, &context.machine.sysfs);
    if let Some(how) = already_over(&look) {
        drop(journal);
        return close(context, found, record, how);
    }
    let way = look.action();
    let mut operation = Operation::resume(context, held, Rc::new(journal), options.timeout)?;
    let result = match way {
        RecoveryAction::RollForward => roll_forward(&mut operation, &look),
        RecoveryAction::RollBack => roll_back(context, &mut operation, record, &look),
    };
    operation.end(&result);
    let done = result?;
    let what = match way {
        RecoveryAction::RollForward => "completed",
        RecoveryAction::RollBack => "undone",
    };
    Ok(Recovered { steps: done, ..Recovered::new(&record.header.id, what) })
}

/// How it is over already; none if something is half done.
fn already_over(look: &Assessment) -> Option<&'static str> {
    match look.progress() {
        Progress::Complete => Some("all was done already"),
        Progress::NotStarted => Some("all is as it was before"),
        Progress::Partial => None,
    }
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
            return Err(Error::new(why.kind, format!("{}; pcictl status shows what is left", why.message)));
        }
        done.push(words::describe_action(&step.action));
    }
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
    let is_there =
        |step: &Step| step.action.address().is_some_and(|address| context.machine.sysfs.has_function(address));
    let steps = record.header.steps.iter().zip(look.done_flags());
    let outcomes = Outcomes::done_where(steps.map(|(step, done)| *done && is_there(step)));
    let why =
        StepFailure { message: format!("{}: taking back what was done", record.header.id), kind: ErrorKind::Failed };
    let error = operation.roll_back(&record.header.steps, 0, &outcomes, why, "");
    if operation.is_half_done() || operation.continues_in_background() {
        return Err(error);
    }
    context.output.detail(&error.to_string());
    let back = look.done().filter_map(|step| step.action.undo());
    Ok(back.map(|action| words::describe_action(&action)).collect())
}
