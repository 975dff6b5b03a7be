//! `pcictl remove`: lock, stop the whole subtree bottom-up, remove it in one short step, verify that it is gone.

use std::time::Instant;

use nix::errno::Errno;

use super::hold::{Reading, hold};
use super::{Context, keep, not_there, parse_exact_selectors};
use crate::address::PciAddress;
use crate::claims::Claims;
use crate::cli::RemoveArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::execute::{Outcome, Outcomes, RunningKernel, execute, undo};
use crate::inspect::Inspector;
use crate::ledger::Entry;
use crate::lock::Held;
use crate::output;
use crate::plan::{Action, Removal, Step, plan_removal};
use crate::report::{PlannedChange, RemoveReport, Seen};
use crate::resolve::{Named, Resolver};
use crate::selector::Selector;
use crate::topology::{Fields, FunctionId, Ids, Topology};

pub fn run(context: &Context, args: &RemoveArgs) -> Result<ExitStatus> {
    context.refuse_in_dump(&args.changing)?;
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || Subject::read(context, &selectors, args);

    if args.changing.dry_run {
        let subject = read()?;
        context.tell_notes(&subject.notes);
        context.output.report(&planned(&subject), output::planned);
        return Ok(ExitStatus::Done);
    }

    let subject = read()?;
    context.tell_notes(&subject.notes);
    if subject.removal.tops.is_empty() {
        context.output.outcome(&report(context, &subject, Took::default()), output::removed);
        return Ok(ExitStatus::Done);
    }
    let (held, subject) = hold(context, &args.changing, read)?;
    let took = take_away(context, &held, &subject, args, &[])?;
    context.output.outcome(&report(context, &subject, took), output::removed);
    Ok(ExitStatus::Done)
}

/// The steps of a removal, from the last look before the first write to the proof that all is gone; the same for
/// whoever removes, and never without the locks.
///
/// `between` is done when all is stopped and still there.
pub(super) fn take_away(
    context: &Context,
    _held: &Held,
    subject: &Subject,
    args: &RemoveArgs,
    between: &[Step],
) -> Result<Took> {
    let entries = keep::observe(context, &subject.topology, &subject.removal);
    let stop_seconds = stop(context, subject, args)?;
    while_stopped(context, subject, args, between)?;
    keep::write(context, &entries);
    let remove_seconds = remove(context, subject, args).inspect_err(|_| forget_present(context, &entries))?;
    verify_gone(context, subject)?;
    Ok(Took { stop_seconds, remove_seconds })
}

/// Takes from the ledger again what was not removed after all.
fn forget_present(context: &Context, entries: &[Entry]) {
    let is_there = |entry: &&Entry| context.sysfs.exists(&format!("bus/pci/devices/{}", entry.record.address));
    keep::withdraw(context, &entries.iter().filter(is_there).cloned().collect::<Vec<_>>());
}

/// How long the two phases took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    stop_seconds: f64,
    remove_seconds: f64,
}

/// What is to be removed, as it was read at one moment.
pub(super) struct Subject {
    pub(super) removal: Removal,
    topology: Topology,
    functions: Vec<(PciAddress, Option<Ids>, Option<String>)>,
    absent: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Subject {
    pub(super) fn read(context: &Context, selectors: &[Selector], args: &RemoveArgs) -> Result<Self> {
        let mut resolver = Resolver::new(&context.sysfs);
        let (mut addresses, mut absent) = (Vec::new(), Vec::new());
        for selector in selectors {
            let named = match resolver.targets(selector, args.changing.each) {
                Err(error) if error.kind() == ErrorKind::NoSuchDevice && args.if_present => {
                    absent.push(selector.text.clone());
                    continue;
                }
                other => other?,
            };
            for named in named {
                match named {
                    Named::Functions(found) => addresses.extend(found),
                    Named::Absent(address) if args.if_present => absent.push(address.to_string()),
                    Named::Absent(address) => return Err(not_there(selector, address)),
                    Named::HostBridge(_) => return Err(host_bridge(selector)),
                }
            }
        }
        // What is really to be removed must be known, each function of it; for a plan its place and driver will do.
        let fields = if args.changing.dry_run { Fields::PLAN } else { Fields::ALL };
        let topology = Topology::load_around_with(&context.sysfs, &addresses, fields)?;
        let found: Vec<FunctionId> = addresses.iter().filter_map(|address| topology.find(*address)).collect();
        // One that went away between the two looks is absent like any other.
        for address in addresses.iter().filter(|address| topology.find(**address).is_none()) {
            if !args.if_present {
                return Err(Error::new(
                    ErrorKind::NoSuchDevice,
                    format!("{address}: went away while it was looked at"),
                )
                .about(*address));
            }
            absent.push(address.to_string());
        }
        let removal = plan_removal(&topology, &found)?;
        let facts = |address: &PciAddress| {
            let function = topology.function(topology.find(*address)?);
            Some((*address, function.ids, function.driver.as_deref().map(str::to_owned)))
        };
        let functions = removal.gone.iter().filter_map(facts).collect();
        Ok(Self { removal, topology, functions, absent, notes: resolver.notes })
    }
}

impl Reading for Subject {
    fn claims(&self) -> &Claims {
        self.removal.claims()
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.removal == other.removal && self.functions == other.functions
    }
}

fn host_bridge(selector: &Selector) -> Error {
    let message = format!(
        "{selector}: is a host bridge; only functions below it can be removed, pcictl tree {selector} lists them"
    );
    Error::usage(message)
}

/// The stop phase: no kernel PCI lock is held while drivers let go. If one will not, the others are given back.
fn stop(context: &Context, subject: &Subject, args: &RemoveArgs) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.removal.stop.steps;
    let kernel = RunningKernel::new(&context.sysfs);
    let outcomes = execute(steps, &kernel, args.jobs.into());
    detail(context, steps, &outcomes);
    match outcomes.failure() {
        None => Ok(begun.elapsed().as_secs_f64()),
        Some((index, errno)) => Err(stopped_short(context, subject, &outcomes, &steps[index], errno, args)),
    }
}

/// What is done between the two phases, a reset for one.
fn while_stopped(context: &Context, subject: &Subject, args: &RemoveArgs, steps: &[Step]) -> Result<()> {
    let outcomes = execute(steps, &RunningKernel::new(&context.sysfs), 1);
    detail(context, steps, &outcomes);
    let Some((index, errno)) = outcomes.failure() else { return Ok(()) };
    let stopped = Outcomes::all_done(subject.removal.stop.steps.len());
    Err(stopped_short(context, subject, &stopped, &steps[index], errno, args))
}

/// The remove phase: short, for nothing is left to be stopped.
fn remove(context: &Context, subject: &Subject, args: &RemoveArgs) -> Result<f64> {
    let begun = Instant::now();
    let steps = &subject.removal.remove.steps;
    let outcomes = execute(steps, &RunningKernel::new(&context.sysfs), 1);
    detail(context, steps, &outcomes);
    let Some((index, errno)) = outcomes.failure() else { return Ok(begun.elapsed().as_secs_f64()) };
    if outcomes.each().iter().any(|outcome| outcome.has_changed()) {
        let message = format!(
            "{}: {}; others of the list are removed already",
            said_no(&steps[index], errno),
            "it was stopped and is still there"
        );
        return Err(Error::new(ErrorKind::Partly, message));
    }
    let stopped = Outcomes::all_done(subject.removal.stop.steps.len());
    Err(stopped_short(context, subject, &stopped, &steps[index], errno, args))
}

/// Puts back what was stopped, and tells both what failed and what could not be put back.
fn stopped_short(
    context: &Context,
    subject: &Subject,
    outcomes: &Outcomes,
    failed: &Step,
    errno: Errno,
    args: &RemoveArgs,
) -> Error {
    let why = said_no(failed, errno);
    let changed = outcomes.each().iter().filter(|outcome| outcome.has_changed()).count();
    if args.no_rollback {
        let kind = if changed == 0 { ErrorKind::Failed } else { ErrorKind::Partly };
        return Error::new(kind, format!("{why}; {changed} steps that were done are left as they are (--no-rollback)"));
    }
    let steps = &subject.removal.stop.steps;
    let directory_of =
        |action: &Action| action.address().map_or_else(String::new, |address| format!("bus/pci/devices/{address}"));
    let back = undo(steps, outcomes, &directory_of, &RunningKernel::new(&context.sysfs));
    let lost: Vec<String> = back
        .iter()
        .filter_map(|(action, outcome)| match outcome {
            Outcome::Failed(errno) => Some(format!("{}: {}", output::in_words(action), errno.desc())),
            _ => None,
        })
        .collect();
    let kind =
        if errno == Errno::EACCES || errno == Errno::EPERM { ErrorKind::NotPermitted } else { ErrorKind::Failed };
    if lost.is_empty() {
        let back =
            if changed == 0 { "nothing was changed".to_owned() } else { format!("all {changed} steps were undone") };
        return Error::new(kind, format!("{why}; {back}")).fact("undone", changed);
    }
    Error::new(ErrorKind::Partly, format!("{why}; and could not be undone: {}", lost.join("; ")))
        .fact("not_undone", lost)
}

fn said_no(step: &Step, errno: Errno) -> String {
    format!("{}: the kernel said no: {}", output::in_words(&step.action), errno.desc())
}

fn detail(context: &Context, steps: &[Step], outcomes: &Outcomes) {
    for (step, outcome) in steps.iter().zip(outcomes.each()) {
        let end = match outcome {
            Outcome::Done(_, took) => format!("done in {:.2} s", took.as_secs_f64()),
            Outcome::Failed(errno) => errno.desc().to_owned(),
            Outcome::NotBegun => "not begun".to_owned(),
        };
        context.output.detail(&format!("{}: {end}", output::in_words(&step.action)));
    }
}

fn verify_gone(context: &Context, subject: &Subject) -> Result<()> {
    let there = |address: &&PciAddress| context.sysfs.exists(&format!("bus/pci/devices/{address}"));
    let left: Vec<String> = subject.removal.gone.iter().filter(there).map(ToString::to_string).collect();
    if left.is_empty() {
        return Ok(());
    }
    let message =
        format!("removed, but {} is there again or still; a slot that is on may have brought it back", left.join(", "));
    Err(Error::new(ErrorKind::Partly, message).fact("still_there", left))
}

pub(super) fn planned(subject: &Subject) -> PlannedChange {
    let mut summary: Vec<String> =
        subject.absent.iter().map(|absent| format!("{absent}: not there, nothing to remove")).collect();
    for top in &subject.removal.tops {
        summary.push(format!("would remove {top}"));
    }
    if !subject.functions.is_empty() {
        summary.push(format!("functions that will be gone: {}", subject.functions.len()));
    }
    PlannedChange { summary, locks: subject.claims().in_order().to_vec(), steps: subject.removal.all_steps() }
}

pub(super) fn report(context: &Context, subject: &Subject, took: Took) -> RemoveReport {
    let mut inspector = Inspector::new(&context.sysfs);
    let removed: Vec<Seen> = subject
        .functions
        .iter()
        .map(|(address, ids, driver)| inspector.seen(*address, *ids, driver.as_deref()))
        .collect();
    RemoveReport {
        targets: subject.removal.tops.clone(),
        removed,
        absent: subject.absent.clone(),
        stop_seconds: took.stop_seconds,
        remove_seconds: took.remove_seconds,
    }
}
