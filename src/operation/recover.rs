//! Bringing one interrupted operation to its end or back to its start, under its locks.

use std::rc::Rc;

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::Outcomes;
use crate::lock::claims::Claims;
use crate::operation::acquire::{Reading, hold};
use crate::operation::context::Context;
use crate::operation::failure::Why;
use crate::operation::options::ChangeOptions;
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::plan::action::Step;
use crate::report::status::Recovered;
use crate::report::text::words;
use crate::state::journal::progress::{Look, Standing, Way};
use crate::state::journal::record::Record;
use crate::state::journal::store::Found;

pub(crate) fn set_aside(context: &Context, found: &Found, id: &str, why: &str) -> Result<Recovered> {
    let aside = context.journals().set_aside(&found.path).map_err(|error| Error::io(found.path.display(), &error))?;
    let _ = context.journals().forget(id);
    Ok(Recovered::new(id, &format!("cannot be trusted ({why}); set aside as {}", aside.display())))
}

/// Notes that nothing is left to be done.
pub(crate) fn close(context: &Context, found: &Found, record: &Record, how: &str) -> Result<Recovered> {
    let id = &record.header.id;
    let trouble = |error: &std::io::Error| Error::io(found.path.display(), error);
    if let Some(journal) = context.journals().take_over(found, record).map_err(|error| trouble(&error))? {
        journal.over(how).map_err(|errno| trouble(&errno.into()))?;
    }
    Ok(Recovered::new(id, how))
}

/// The nodes of an operation, which its journal names.
struct Nodes(Claims);

impl Reading for Nodes {
    fn claims(&self) -> &Claims {
        &self.0
    }

    fn is_same_as(&self, _other: &Self) -> bool {
        true
    }
}

pub(crate) fn recover(context: &Context, options: &ChangeOptions, found: &Found, record: &Record) -> Result<Recovered> {
    if let Some(how) = settled(&Look::at(record, &context.machine.sysfs)) {
        return close(context, found, record, how);
    }
    refuse_if_stuck(context)?;
    let places = record.header.places.clone();
    let (held, _) = hold(context, options, || Ok(Nodes(Claims::changing(places.clone()))))?;
    let journal = context.journals().take_over(found, record).map_err(|e| Error::io(found.path.display(), &e))?;
    let Some(journal) = journal else {
        return Ok(Recovered::new(&record.header.id, "is under way; nothing to recover"));
    };
    // Somebody may have been here while the locks were waited for.
    let look = Look::at(record, &context.machine.sysfs);
    if let Some(how) = settled(&look) {
        drop(journal);
        return close(context, found, record, how);
    }
    let way = look.way();
    let mut operation = Operation::resume(context, held, Rc::new(journal), options.timeout)?;
    let result = match way {
        Way::Complete => complete(&mut operation, &look),
        Way::Undo => undo(context, &mut operation, record, &look),
    };
    operation.end(&result);
    let done = result?;
    let what = match way {
        Way::Complete => "completed",
        Way::Undo => "undone",
    };
    Ok(Recovered { steps: done, ..Recovered::new(&record.header.id, what) })
}

/// How it is over already; none if something is half done.
fn settled(look: &Look) -> Option<&'static str> {
    match look.standing() {
        Standing::AtEnd => Some("all was done already"),
        Standing::AtStart => Some("all is as it was before"),
        Standing::Between => None,
    }
}

/// Does what is left, one step after the other.
fn complete(operation: &mut Operation, look: &Look) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for (index, step) in look.left() {
        let steps = [Step { after: Vec::new(), ..step.clone() }];
        operation.go_to(index);
        let outcomes = operation.run(&steps, 1)?;
        if let Some(why) = Why::of(&steps, &outcomes).filter(|_| !outcomes.is_complete()) {
            operation.leave();
            return Err(Error::new(why.kind, format!("{}; pcictl status shows what is left", why.message)));
        }
        done.push(words::in_words(&step.action));
    }
    Ok(done)
}

/// Takes back what was done.
fn undo(context: &Context, operation: &mut Operation, record: &Record, look: &Look) -> Result<Vec<String>> {
    // What is gone is gone, and nothing of it can be put back.
    let is_there =
        |step: &Step| step.action.address().is_some_and(|address| context.machine.sysfs.has_function(address));
    let steps = record.header.steps.iter().zip(look.flags());
    let outcomes = Outcomes::done_where(steps.map(|(step, done)| *done && is_there(step)));
    let why = Why { message: format!("{}: taking back what was done", record.header.id), kind: ErrorKind::Failed };
    let error = operation.put_back(&record.header.steps, 0, &outcomes, why, "");
    if operation.is_half_done() || operation.goes_on() {
        return Err(error);
    }
    context.output.detail(&error.to_string());
    let back = look.done().filter_map(|step| step.action.undo());
    Ok(back.map(|action| words::in_words(&action)).collect())
}
