//! `pcictl reset`: lock, check users, stop the driver, reset, give the device back, verify that all is as before.

use crate::cli::change::ResetArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::change::{self, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::reset;
use crate::operation::run::Operation;
use crate::operation::targets::{TargetOptions, Targets};
use crate::report::text;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &ResetArgs) -> Result<ExitStatus> {
    let options = &args.options();
    let selectors = parse_exact_selectors(&args.selectors)?;
    if args.list {
        let targets = TargetOptions {
            selection: options.in_place.change.selection,
            if_present: false,
            whole_device: true,
            doing: "resetting",
        };
        let targets = Targets::read(context, &selectors, &targets)?;
        context.tell_notes(&targets.notes);
        let listing = reset::list(&context.machine.sysfs, &targets.addresses)?;
        context.output.report(&listing, text::reset::ways);
        return Ok(ExitStatus::Done);
    }
    let read = || reset::read(context, &selectors, options);
    let summary = |subject: &InPlaceTarget| reset::summary(context, subject, options);
    let report = |_: Option<&mut Operation>, subject: &InPlaceTarget, changed| {
        Ok(reset::report(context, subject, changed, options))
    };
    change::run_with(context, &options.in_place, &read, &summary, &report, text::reset::done, reset::status)
}
