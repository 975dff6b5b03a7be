//! `pcictl slot`: what slots there are, what is in them, and their power.

use crate::cli::slot::SlotArgs;
use crate::cli::slot::SlotCommand;
use crate::cli::slot::SlotIdentifyArgs;
use crate::cli::slot::SlotListArgs;
use crate::cli::slot::SlotOffArgs;
use crate::cli::slot::SlotOnArgs;
use crate::cli::slot::SlotShowArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::acquire::acquire_and_reread;
use crate::operation::bring_back::{bring_back, close, status, tell_failures};
use crate::operation::context::Context;
use crate::operation::identify::{IdentifyTarget, identify};
use crate::operation::remove::{self, RemovalTiming, stop_and_remove};
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::operation::scannable::refuse_unfit_bridges;
use crate::operation::slot::{SlotOffTarget, SlotOnTarget};
use crate::report::change::{PlannedChange, RescanReport};
use crate::report::inspector::Inspector;
use crate::report::slot::{SlotList, SlotOffReport, SlotOnReport, SlotRow};
use crate::report::text;
use crate::resolve::slots::find_slot;
use crate::topology::slots::Slot;

pub(crate) fn run(context: &Context, args: &SlotArgs) -> Result<ExitStatus> {
    match &args.command {
        SlotCommand::List(args) => list(context, args),
        SlotCommand::Show(args) => show(context, args),
        SlotCommand::On(args) => on(context, args),
        SlotCommand::Off(args) => off(context, args),
        SlotCommand::Identify(args) => light(context, args),
    }
}

fn list(context: &Context, args: &SlotListArgs) -> Result<ExitStatus> {
    let sysfs = &context.machine.sysfs;
    let mut inspector = Inspector::new(sysfs);
    let slots = Slot::all(sysfs);
    let slots: Vec<SlotRow> =
        slots.iter().map(|slot| SlotRow::read(sysfs, &mut inspector, slot, args.status)).collect();
    if slots.is_empty() {
        context.output.say("the kernel knows no slot");
    }
    context
        .output
        .report(&SlotList { slots }, |list| if list.slots.is_empty() { String::new() } else { text::slot::list(list) });
    Ok(ExitStatus::Done)
}

fn show(context: &Context, args: &SlotShowArgs) -> Result<ExitStatus> {
    let sysfs = &context.machine.sysfs;
    let slot = find_slot(sysfs, &args.slot)?;
    let row = SlotRow::read(sysfs, &mut Inspector::new(sysfs), &slot, true);
    context.output.report(&row, text::slot::show);
    Ok(ExitStatus::Done)
}

fn off(context: &Context, args: &SlotOffArgs) -> Result<ExitStatus> {
    let options = &args.options();
    context.refuse_in_dump(&options.change)?;
    let read = || SlotOffTarget::read(context, &args.slot, options);
    let subject = read()?;
    let is_off = subject.is_off(context);
    if options.change.dry_run {
        let plan = planned_off(context, &subject, options, is_off)?;
        context.print_plan(&plan);
        return Ok(plan.status());
    }
    if is_off {
        context
            .output
            .outcome(&off_report(context, &subject, RemovalTiming::default(), None), text::slot::switched_off);
        return Ok(ExitStatus::Done);
    }
    refuse_if_stuck(context)?;
    let approval = subject.removal.check_users(context, options)?;
    let (held, mut subject) = acquire_and_reread(context, &options.change, subject, read)?;
    subject.removal.prepare(context);
    let power = subject.slot.power(context);
    let steps = subject.removal.plan.all_steps();
    let mut operation = Operation::begin(context, held, &steps, options.change.timeout)?;
    let timing = stop_and_remove(context, &mut operation, &subject.removal, options, approval, &[]);
    operation.end(&timing);
    let report = off_report(context, &subject, timing?, Some(power));
    if report.power == "on" {
        let title = subject.slot.slot.title();
        context.output.say(&format!("{title}: still says that it has power; its port may have no power controller"));
    }
    context.output.outcome(&report, text::slot::switched_off);
    Ok(ExitStatus::Done)
}

fn planned_off(
    context: &Context,
    subject: &SlotOffTarget,
    options: &crate::operation::options::RemoveOptions,
    is_off: bool,
) -> Result<PlannedChange> {
    let title = subject.slot.slot.title();
    if is_off {
        return Ok(PlannedChange { summary: vec![format!("{title}: is off already")], ..PlannedChange::default() });
    }
    let mut plan = remove::planned(context, &subject.removal, options)?;
    plan.summary.insert(0, format!("would switch off {title}"));
    Ok(plan)
}

/// `power` is what the slot said of it before; none if nothing was done.
fn off_report(
    context: &Context,
    subject: &SlotOffTarget,
    timing: RemovalTiming,
    power: Option<&'static str>,
) -> SlotOffReport {
    let now = subject.slot.power(context);
    let changed = power.is_some_and(|before| before != now || !subject.slot.functions.is_empty());
    let removed = remove::report(context, &subject.removal, timing);
    SlotOffReport { slot: subject.slot.name(), power: now, changed, removed }
}

fn on(context: &Context, args: &SlotOnArgs) -> Result<ExitStatus> {
    let (change, settle) = &args.options();
    context.refuse_in_dump(change)?;
    let read = || SlotOnTarget::read(context, &args.slot);
    let subject = read()?;
    let is_on = subject.is_on(context);
    if change.dry_run {
        refuse_unfit_bridges(&context.machine.sysfs, &subject.scan.targets, &[])?;
        context.print_plan(&planned_on(&subject, is_on));
        return Ok(ExitStatus::Done);
    }
    if is_on {
        let report = on_report(context, &subject, None, None);
        context.output.outcome(&report, text::slot::switched_on);
        return Ok(ExitStatus::Done);
    }
    refuse_if_stuck(context)?;
    let (held, subject) = acquire_and_reread(context, change, subject, read)?;
    let power = subject.slot.power(context);
    let mut operation = Operation::begin(context, held, &subject.scan.plan.steps, change.timeout)?;
    let rescanned = bring_back(context, &mut operation, &subject.scan, settle);
    operation.end(&rescanned);
    let rescanned = rescanned?;
    let status = status(&rescanned);
    tell_failures(context.output, &rescanned.restored);
    let report = on_report(context, &subject, Some(power), Some(rescanned));
    context.output.outcome(&report, text::slot::switched_on);
    report.rescanned.iter().for_each(|rescanned| close(context, rescanned));
    Ok(status)
}

fn planned_on(subject: &SlotOnTarget, is_on: bool) -> PlannedChange {
    let title = subject.slot.slot.title();
    if is_on {
        let summary = vec![format!("{title}: is on already, with what is in it")];
        return PlannedChange { summary, ..PlannedChange::default() };
    }
    PlannedChange {
        summary: vec![format!("would switch on {title}")],
        locks: subject.scan.plan.claims.in_order().to_vec(),
        steps: subject.scan.plan.steps.clone(),
        ..PlannedChange::default()
    }
}

/// `power` is what the slot said of it before; none if nothing was done.
fn on_report(
    context: &Context,
    subject: &SlotOnTarget,
    power: Option<&'static str>,
    rescanned: Option<RescanReport>,
) -> SlotOnReport {
    let now = subject.slot.power(context);
    let has_come = rescanned.as_ref().is_some_and(|rescanned| !rescanned.appeared.is_empty());
    let changed = has_come || power.is_some_and(|before| before != now);
    SlotOnReport { slot: subject.slot.name(), power: now, changed, rescanned }
}

fn light(context: &Context, args: &SlotIdentifyArgs) -> Result<ExitStatus> {
    let options = &args.options();
    context.refuse_in_dump(&options.change)?;
    let read = || IdentifyTarget::read(context, &args.slot, options);
    let subject = read()?;
    if options.change.dry_run {
        context.print_plan(&subject.planned(options));
        return Ok(ExitStatus::Done);
    }
    let report = match subject.plan.steps.is_empty() {
        true => subject.report(options, None),
        false => identify(context, options, subject, &read)?,
    };
    context.output.outcome(&report, text::slot::identified);
    Ok(ExitStatus::Done)
}
