//! `pcictl unbind`: lock, check users, stop the driver, verify that it let go.

use crate::cli::change::UnbindArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::change::{self, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::drivers;
use crate::plan::drivers::plan_unbind;
use crate::report::text;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &UnbindArgs) -> Result<ExitStatus> {
    let options = &args.in_place.options();
    let selectors = parse_exact_selectors(&args.selectors)?;
    let read = || InPlaceTarget::read(context, &selectors, options, "unbinding", plan_unbind);
    let summary = |subject: &InPlaceTarget| {
        let line = |address: &_| match subject.driver(*address) {
            Some(driver) => format!("would unbind {address} from {driver}"),
            None => format!("{address}: has no driver, nothing to unbind"),
        };
        subject.addresses.iter().map(line).collect()
    };
    let report = |subject: &InPlaceTarget, changed| Ok(drivers::report(context, subject, changed));
    change::run(context, options, &read, &summary, &report, text::drivers::unbound)
}
