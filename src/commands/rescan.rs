//! `pcictl rescan`: lock the bridge, scan the smallest bus that can bring the device back, report what came and went.

use crate::cli::change::RescanArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::acquire::acquire_and_reread;
use crate::operation::bring_back::{bring_back, close, status, tell_failures};
use crate::operation::context::Context;
use crate::operation::run::{Operation, refuse_if_stuck};
use crate::operation::scan::{ScanRequest, planned};
use crate::operation::scannable::refuse_unfit_bridges;
use crate::report::text::change;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &RescanArgs) -> Result<ExitStatus> {
    let options = &args.options();
    context.refuse_in_dump(&options.change)?;
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || ScanRequest::read(context, &selectors, options);

    let subject = read()?;
    context.tell_notes(&subject.notes);
    if options.change.dry_run {
        refuse_unfit_bridges(&context.machine.sysfs, &subject.targets, &[])?;
        context.print_plan(&planned(&subject));
        return Ok(ExitStatus::Done);
    }
    refuse_if_stuck(context)?;
    let (held, subject) = acquire_and_reread(context, &options.change, subject, read)?;
    let mut operation = Operation::begin(context, held, &subject.plan.steps, options.change.timeout)?;
    let report = bring_back(context, &mut operation, &subject, &options.settle);
    operation.end(&report);
    let report = report?;
    tell_failures(context.output, &report.restored);
    context.output.outcome(&report, change::rescanned);
    close(context, &report);
    Ok(status(&report))
}
