//! `pcictl recover`: brings interrupted operations to their end or back to their start, under the locks.

use std::rc::Rc;

use crate::cli::args::RecoverArgs;
use crate::commands::{Context, status};
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::executor::Outcomes;
use crate::host::boot_id;
use crate::lock::claims::Claims;
use crate::operation::acquire::{Reading, hold};
use crate::operation::run::{Operation, Why, refuse_if_stuck};
use crate::plan::action::Step;
use crate::report::rows::{RecoverReport, Recovered};
use crate::report::text::{self, change};
use crate::state::journal::progress::{Look, Standing, Way, other_device};
use crate::state::journal::record::Record;
use crate::state::journal::store::Found;

pub fn run(context: &Context, args: &RecoverArgs) -> Result<ExitStatus> {
    if context.is_only_to_look_at() {
        return Err(Error::usage("--sysroot is for looking; pcictl status --sysroot DIR shows what is interrupted"));
    }
    if args.changing.dry_run {
        return status::run(context);
    }
    let journals = context.journals();
    let boot = boot_id();
    let mut report = RecoverReport::default();
    let wanted = |id: &str| args.ids.is_empty() || args.ids.iter().any(|wanted| wanted == id);
    let mut seen = Vec::new();
    for found in journals.list()? {
        let id = found.record.as_ref().map_or_else(|_| file_name(&found), |record| record.header.id.clone());
        if !wanted(&id) {
            continue;
        }
        seen.push(id.clone());
        let recovered = match &found.record {
            Err(why) => set_aside(context, &found, &id, why)?,
            Ok(record) if record.over.is_some() => continue,
            Ok(_) if found.busy => Recovered::new(&id, "is under way; nothing to recover"),
            Ok(record) if record.header.boot != boot => close(context, &found, record, "cut off by a reboot")?,
            Ok(record) => match other_device(record, &context.sysfs) {
                Some(address) => set_aside(context, &found, &id, &format!("{address} is another device now"))?,
                None => recover(context, args, &found, record)?,
            },
        };
        report.operations.push(recovered);
    }
    let (cut_off, bad) = journals.cut_off(&boot);
    for header in cut_off.iter().filter(|header| wanted(&header.id)) {
        seen.push(header.id.clone());
        journals.forget(&header.id).map_err(|error| Error::io("the note cannot be removed", &error))?;
        report.operations.push(Recovered::new(&header.id, "was cut off by a reboot; nothing is left of it"));
    }
    for path in bad.iter().filter(|_| args.ids.is_empty()) {
        let aside = journals.set_aside(path).map_err(|error| Error::io(path.display(), &error))?;
        report
            .operations
            .push(Recovered::new(&path.display().to_string(), &format!("set aside as {}", aside.display())));
    }
    if let Some(unknown) = args.ids.iter().find(|id| !seen.contains(id)) {
        let message = format!("{unknown}: there is no such operation; pcictl status lists those that there are");
        return Err(Error::new(ErrorKind::NoSuchDevice, message));
    }
    context.output.outcome(&report, text::status::recovered);
    Ok(ExitStatus::Done)
}

fn file_name(found: &Found) -> String {
    let name = found.path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn set_aside(context: &Context, found: &Found, id: &str, why: &str) -> Result<Recovered> {
    let aside = context.journals().set_aside(&found.path).map_err(|error| Error::io(found.path.display(), &error))?;
    let _ = context.journals().forget(id);
    Ok(Recovered::new(id, &format!("cannot be trusted ({why}); set aside as {}", aside.display())))
}

/// Notes that nothing is left to be done.
fn close(context: &Context, found: &Found, record: &Record, how: &str) -> Result<Recovered> {
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

fn recover(context: &Context, args: &RecoverArgs, found: &Found, record: &Record) -> Result<Recovered> {
    if let Some(how) = settled(&Look::at(record, &context.sysfs)) {
        return close(context, found, record, how);
    }
    refuse_if_stuck(context)?;
    let places = record.header.places.clone();
    let (held, _) = hold(context, &args.changing, || Ok(Nodes(Claims::changing(places.clone()))))?;
    let journal = context.journals().take_over(found, record).map_err(|e| Error::io(found.path.display(), &e))?;
    let Some(journal) = journal else {
        return Ok(Recovered::new(&record.header.id, "is under way; nothing to recover"));
    };
    // Somebody may have been here while the locks were waited for.
    let look = Look::at(record, &context.sysfs);
    if let Some(how) = settled(&look) {
        drop(journal);
        return close(context, found, record, how);
    }
    let way = look.way();
    let mut operation = Operation::resume(context, held, Rc::new(journal), args.writing.timeout)?;
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
        done.push(change::in_words(&step.action));
    }
    Ok(done)
}

/// Takes back what was done.
fn undo(context: &Context, operation: &mut Operation, record: &Record, look: &Look) -> Result<Vec<String>> {
    // What is gone is gone, and nothing of it can be put back.
    let is_there = |step: &Step| step.action.address().is_some_and(|address| context.sysfs.has_function(address));
    let steps = record.header.steps.iter().zip(look.flags());
    let outcomes = Outcomes::done_where(steps.map(|(step, done)| *done && is_there(step)));
    let why = Why { message: format!("{}: taking back what was done", record.header.id), kind: ErrorKind::Failed };
    let error = operation.put_back(&record.header.steps, 0, &outcomes, why, "");
    if operation.is_half_done() || operation.goes_on() {
        return Err(error);
    }
    context.output.detail(&error.to_string());
    let back = look.done().filter_map(|step| step.action.undo());
    Ok(back.map(|action| change::in_words(&action)).collect())
}
