//! `pcictl remove`: lock, stop the whole subtree bottom-up, remove it in one short step, verify that it is gone.

use crate::cli::change::RemoveArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::acquire::acquire_and_reread;
use crate::operation::context::Context;
use crate::operation::remove::{RemovalTarget, RemovalTiming, planned, report, stop_and_remove};
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::report::text::change;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &RemoveArgs) -> Result<ExitStatus> {
    let options = &args.options();
    context.refuse_in_dump(&options.change)?;
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || RemovalTarget::read(context, &selectors, options);

    if options.change.dry_run {
        let subject = read()?;
        context.tell_notes(&subject.notes);
        let plan = planned(context, &subject, options)?;
        context.print_plan(&plan);
        return Ok(plan.status());
    }

    let subject = read()?;
    context.tell_notes(&subject.notes);
    if subject.plan.tops.is_empty() {
        context.output.outcome(&report(context, &subject, RemovalTiming::default()), change::removed);
        return Ok(ExitStatus::Done);
    }
    refuse_if_stuck(context)?;
    let approval = subject.check_users(context, options)?;
    let (held, mut subject) = acquire_and_reread(context, &options.change, subject, read)?;
    subject.prepare(context);
    let mut operation = Operation::begin(context, held, &subject.plan.all_steps(), options.change.timeout)?;
    let timing = stop_and_remove(context, &mut operation, &subject, options, approval, &[]);
    operation.end(&timing);
    let timing = timing?;
    context.output.outcome(&report(context, &subject, timing), change::removed);
    Ok(ExitStatus::Done)
}
