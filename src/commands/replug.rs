//! `pcictl replug`: remove, rescan, verify, and the lock is not let go in between.

use crate::cli::change::ReplugArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::acquire::acquire_and_reread;
use crate::operation::bring_back::{close, status, tell_failures};
use crate::operation::context::Context;
use crate::operation::remove;
use crate::operation::replug::{ReplugTarget, all_steps, planned, replug};
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::operation::scannable::refuse_unfit_bridges;
use crate::report::text::change;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &ReplugArgs) -> Result<ExitStatus> {
    let options = &args.options();
    let change = &options.remove.change;
    context.refuse_in_dump(change)?;
    let selectors = parse_exact_selectors(&args.remove.selectors)?;
    let read = || ReplugTarget::read(context, &selectors, options);

    let subject = read()?;
    context.tell_notes(&subject.removal.notes);
    if change.dry_run {
        refuse_unfit_bridges(&context.machine.sysfs, &subject.back.targets, &subject.removal.plan.gone)?;
        let plan = planned(context, &subject, options)?;
        context.print_plan(&plan);
        return Ok(plan.status());
    }
    if subject.removal.plan.tops.is_empty() {
        let report = remove::report(context, &subject.removal, remove::RemovalTiming::default());
        context.output.outcome(&report, change::removed);
        return Ok(ExitStatus::Done);
    }
    refuse_if_stuck(context)?;
    let approval = subject.removal.check_users(context, &options.remove)?;
    let (held, mut subject) = acquire_and_reread(context, change, subject, read)?;
    subject.removal.prepare(context);
    let mut operation = Operation::begin(context, held, &all_steps(&subject), change.timeout)?;
    let report = replug(context, &mut operation, &subject, options, approval);
    operation.end(&report);
    let report = report?;
    let status = status(&report.rescanned);
    tell_failures(context.output, &report.rescanned.restored);
    context.output.outcome(&report, change::replugged);
    close(context, &report.rescanned);
    Ok(status)
}
